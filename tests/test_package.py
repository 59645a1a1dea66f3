"""The package as a whole: it starts quickly, imports nothing heavy, and its modules need only the C++ runtime."""

import ast
import importlib
import json
import os
import pkgutil
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import emfast
from emfast import _core

PACKAGE = Path(emfast.__file__).parent
MODULES = sorted(PACKAGE.glob("_*.so"))
SYSTEM_LIBRARIES = ("libstdc++", "libgcc_s", "libc.", "libm.", "linux-vdso", "ld-linux")

# A fresh interpreter times that names of emfast are asked for after numpy, and tells what came with them.
PROBE = """
import json, sys, time
import numpy
before = set(sys.modules)
start = time.process_time()  # wall-clock time is that of the machine
exec("from emfast import " + sys.argv[1])
seconds = time.process_time() - start
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""
MAIN = "agglomerate, connected_components, edt, phantom, region_graph, renumber, watershed"

# Another asks the command line for help, for that of each of its verbs and for the impossible; it tells the verbs, and
# what was imported for that.
HELP = r"""
import contextlib, io, re, sys
from emfast import cli
def said(*words):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(SystemExit):
            cli.main(words)
    return out.getvalue()
verbs = re.findall(r"^    ([a-z][-\w]*)\s", said("--help"), re.MULTILINE)
assert all(f"usage: emfast {verb} " in said(verb, "--help") for verb in verbs)
said("nonsense")
loaded = sorted(sys.modules)
import json
print(json.dumps([verbs, loaded]))
"""


def has_torch():
    """Whether it can be imported: it may be there and hidden."""
    try:
        importlib.import_module("torch")
    except ModuleNotFoundError:
        return False
    return True


def fresh(code, *words):
    """What a new interpreter prints, as JSON."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(done.stdout)


@pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="a sanitized import is slow")
def test_the_main_calls_are_imported_quickly():
    medians = []
    for _ in range(4):  # a busy machine gets more than one chance
        medians.append(statistics.median(fresh(PROBE, MAIN)["seconds"] for _ in range(5)))
        if medians[-1] < 0.15:
            return
    pytest.fail(f"the main calls took {min(medians):.3f} s beyond numpy at best")


def test_all_names_bring_neither_frameworks_nor_the_device():
    modules = fresh(PROBE, "*")["modules"]
    assert "emfast.trees" in modules
    heavy = {"torch", "cupy", "scipy", "skimage", "zarr", "h5py", "dask", "distributed", "tifffile", "neuroglancer"}
    assert heavy.isdisjoint(name.partition(".")[0] for name in modules)
    assert "emfast._cuda" not in modules
    assert "emfast._emu" not in modules


def test_the_package_imports_nothing_before_it_is_asked():
    loaded = fresh("import json, sys, emfast; print(json.dumps(sorted(sys.modules)))")
    assert [name for name in loaded if name.startswith(("emfast", "numpy"))] == ["emfast"]


def test_help_and_arguments_need_neither_numpy_nor_the_native_modules():
    verbs, loaded = fresh(HELP)
    assert {"info", "segment", "components", "evaluate", "data"} <= set(verbs)
    assert "emfast.cli" in loaded
    heavy = {"numpy", "emfast._core", "emfast._native", "dataclasses", "json", "importlib.metadata"}
    assert not heavy & set(loaded)


def test_public_names_are_the_same_to_checkers_and_at_run_time():
    seen = {}
    for node in ast.walk(ast.parse(Path(emfast.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                seen[alias.name] = node.module or alias.name
    homes = {name: home for home, names in (emfast._HOMES | emfast._WITH_TORCH).items() for name in names}
    public = {home: home for home in emfast._HOMES if home in emfast.__all__} | {
        home: home for home in emfast._WITH_TORCH
    }
    assert seen == homes | public
    with_torch = {name for home, names in emfast._WITH_TORCH.items() for name in (home, *names)}
    assert sorted(set(seen) - with_torch) == sorted(emfast.__all__)
    if not has_torch():
        homes, public = ({n: h for n, h in found.items() if n not in with_torch} for found in (homes, public))
    for name, home in homes.items():
        assert getattr(emfast, name) is getattr(importlib.import_module(f"emfast.{home}"), name)
    for name in public:
        assert getattr(emfast, name) is importlib.import_module(f"emfast.{name}")
    assert set(emfast.__all__) <= set(dir(emfast))
    with pytest.raises(AttributeError, match="module 'emfast' has no attribute 'nothing'"):
        _ = emfast.nothing


def test_no_module_has_the_name_of_a_call():
    names = [m.name for m in pkgutil.walk_packages(emfast.__path__, "emfast.", lambda name: None) if m.ispkg]
    hidden = set() if has_torch() else set(emfast._WITH_TORCH)
    inner = [importlib.import_module(name) for name in names if name.split(".")[1] not in hidden]
    assert len(inner) > 5
    for package in (emfast, *inner):
        modules = {module.name for module in pkgutil.iter_modules(package.__path__)} - hidden
        assert all(isinstance(getattr(package, name), ModuleType) for name in modules & set(dir(package)))


def test_asking_about_the_device_never_raises():
    assert emfast.cuda.is_available() in (True, False)


@pytest.mark.skipif(shutil.which("ldd") is None, reason="no ldd here")
@pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="a sanitized module links the sanitizer")
@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name.partition(".")[0])
def test_modules_link_the_cpp_runtime_alone(module):
    listing = subprocess.run(["ldd", str(module)], capture_output=True, text=True, check=True).stdout
    names = [Path(line.split()[0]).name for line in listing.splitlines()]
    assert names
    assert [name for name in names if not name.startswith(SYSTEM_LIBRARIES)] == []


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm here")
@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name.partition(".")[0])
def test_modules_export_no_cuda_symbol(module):
    command = ["nm", "-D", "--defined-only", str(module)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line for line in listing.splitlines() if line.split()[-1].startswith(("cuda", "cu", "__cuda"))] == []


def test_version_is_the_same_everywhere():
    assert emfast.__version__ == _core.version
