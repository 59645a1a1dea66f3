"""The examples in docstrings give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import emfast

MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(emfast.__path__, "emfast.", onerror=lambda name: None)
    if found.name != "emfast.__main__" and not found.name.rpartition(".")[2].startswith(("_core", "_emu", "_cuda"))
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, monkeypatch, tmp_path):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("emfast"):
            raise
        pytest.skip(f"{error.name} is not installed")
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0, f"{found.failed} of {found.attempted} examples of {name} give something else"
