"""docs/scale.md and docs/volumes.md: what they show runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"
SECTIONS = (
    "The engine",
    "The journal",
    "On a Dask cluster",
    "What can go wrong",
    "From affinities to segments",
    "Operations in blocks",
    "Labels, distances, objects and lines",
)


pytestmark = [
    pytest.mark.skipif(not DOCS.exists(), reason="docs are beside a checkout only"),
    pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="Dask brings unsanitized threads and processes"),
]


def sections(page):
    parts = re.split(r"^## (.*)$", f"## \n{(DOCS / page).read_text(encoding='utf-8')}", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def codes(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(code, folder):
    return output([sys.executable, "-c", code], folder)  # as -c: the processes of a cluster do not run it again


def run_commands(code, folder):
    return output(["bash", "-ec", f'emfast() {{ "{sys.executable}" -m emfast "$@"; }}\n{code}'], folder)


def output(command, folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "EMFAST_THREADS": "2"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_scale(tmp_path):
    pytest.importorskip("distributed")
    found = sections("scale.md")
    blocks = [code for name in SECTIONS for code in codes(found[name])]
    assert len(blocks) >= 9
    out = run("\n".join(blocks), tmp_path)
    plan = re.search(r"^# (\d+ blocks of .*), at most", "\n".join(blocks), re.MULTILINE)
    assert plan is not None and plan[1] in out
    (commands,) = re.findall(r"```sh\n(.*?)```", found["From the command line"], re.DOTALL)
    out = run_commands(commands, tmp_path)
    assert len(out.splitlines()) == len(commands.splitlines())  # each says what it made
    assert {path.name for path in tmp_path.glob("*.work")} == {"segments.zarr.work"}


def test_volumes(tmp_path):
    h5py, _ = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    rng = np.random.default_rng(1)
    with h5py.File(tmp_path / "sample.hdf", "w") as file:
        raw = file.create_dataset("volumes/raw", data=rng.integers(0, 256, (70, 520, 514), "u1"))
        raw.attrs["resolution"], raw.attrs["offset"] = (40.0, 4.0, 4.0), (0.0, 80.0, 0.0)
    code = "\n".join(codes("\n".join(sections("volumes.md").values())))
    run(
        code
        + "\nassert em.spacing == (40, 4, 4) and part.shape == (10, 512, 257) and box.offset == (400, 80, 0)"
        + "\nfound = emfast.open_volume('labels.zarr')"
        + "\nassert found.shape == em.shape and found.offset == (0, 80, 0) and found.dtype == 'uint64'"
        + "\nassert (found[:64] == 1).all()",
        tmp_path,
    )
