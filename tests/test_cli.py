"""The command line: exit codes, friendly errors, and a demo that leaves a picture."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import emfast
from emfast import cli


def test_info_names_version_threads_and_cuda(capsys):
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert emfast.__version__ in text
    assert "_core" in text
    assert f"{emfast.get_threads()} of" in text
    assert "CUDA is" in text


def test_doctor_finds_a_working_install(capsys):
    assert cli.main(["doctor"]) == 0
    assert "All is well." in capsys.readouterr().out


def test_doctor_reports_what_fails(capsys, monkeypatch):
    monkeypatch.setattr(cli, "PHANTOM_CRC", 1)
    monkeypatch.setattr(cli, "__version__", "0")
    assert cli.main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "2 of" in text
    assert "two installations are mixed" in text


def test_demo_writes_a_picture(capsys, tmp_path):
    assert cli.main(["demo", "--out", str(tmp_path), "--shape", "9,70,60", "--seed", "4"]) == 0
    text = capsys.readouterr().out
    assert "agglomerate" in text
    assert "bits merged" in text
    data = (tmp_path / "emfast-demo.png").read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data[:4] == b"\x89PNG"
    assert width > 1.4 * height * 60 / 70  # three panels by two


@pytest.mark.parametrize("shape", ["1,1,1", "1,40,3", "3,1,200"])
def test_demo_takes_any_shape(shape, tmp_path):
    assert cli.main(["demo", "--out", str(tmp_path), "--shape", shape]) == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["demo", "--out", "/no/such/folder"], "--out must be an existing folder, got '/no/such/folder'"),
        (["demo", "--seed", "-1"], "seed must be from 0"),
        (["demo", "--threads", "-2"], "n must be an integer from 0"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(arguments, message, capsys):
    assert cli.main(arguments) == 2
    text = capsys.readouterr().err
    assert message in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("arguments", [["demo", "--shape", "3,4"], ["demo", "--shape", "0,4,4"], ["nonsense"], []])
def test_unreadable_arguments_end_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    assert stop.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_interrupts_end_with_code_130(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "info", interrupted)
    assert cli.main(["info"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "emfast", "--version"],
        env=dict(os.environ, PYTHONPATH=str(Path(emfast.__file__).parents[1])),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == f"emfast {emfast.__version__}\n"
