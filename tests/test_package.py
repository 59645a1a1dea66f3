"""The package as a whole: it starts quickly, imports nothing heavy, and its modules need only the C++ runtime."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

import emfast

PACKAGE = Path(emfast.__file__).parent
MODULES = sorted(PACKAGE.glob("_*.so"))
SYSTEM_LIBRARIES = ("libstdc++", "libgcc_s", "libc.", "libm.", "linux-vdso", "ld-linux")

# A fresh interpreter times `import emfast` after numpy, and tells what came with it.
PROBE = """
import json, sys, time
import numpy
before = set(sys.modules)
start = time.process_time()  # wall-clock time is that of the machine
import emfast
seconds = time.process_time() - start
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""


def fresh_import():
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


@pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="a sanitized import is slow")
def test_import_is_quick():
    medians = []
    for _ in range(4):  # a busy machine gets more than one chance
        medians.append(statistics.median(fresh_import()["seconds"] for _ in range(5)))
        if medians[-1] < 0.15:
            return
    pytest.fail(f"import emfast took {min(medians):.3f} s beyond numpy at best")


def test_import_brings_neither_frameworks_nor_the_device():
    modules = fresh_import()["modules"]
    heavy = {"torch", "cupy", "scipy", "skimage", "zarr", "h5py", "dask", "distributed", "tifffile", "neuroglancer"}
    assert heavy.isdisjoint(name.partition(".")[0] for name in modules)
    assert "emfast._cuda" not in modules
    assert "emfast._emu" not in modules


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
    assert emfast.__version__ == emfast._core.version
