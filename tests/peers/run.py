"""Run other people's test files over emfast's drop-ins: ``python tests/peers/run.py FOLDER [pytest's options]``.

Every ``*test*.py`` in FOLDER runs in FOLDER as it stands, in a process of its own. In the place of the peers it finds
modules of their names that hold ``emfast.compat``'s names and nothing else. They are written to a temporary folder and
come first on the path, before peers that are installed. scikit-image is too large to stand in for: where a file names
it, the functions that ``emfast.compat.skimage`` has take the place of its own. A summary of cases per file ends the
run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PEERS = ("cc3d", "edt", "fastremap", "fill_voids", "mwatershed", "waterz")
PACKAGES = {"affogato.segmentation": "affogato"}
# Private names that test files import beside public ones.
PRIVATE = {"waterz._codegen": ("build_wrapper",)}
SOURCE = Path(__file__).resolve().parents[2] / "python"

# Old test files name what NumPy and SciPy have since renamed.
CUSTOMIZE = """
import numpy
if not hasattr(numpy, "bool"):
    numpy.bool = bool
"""

IN_SKIMAGE = """
import importlib
from emfast.compat import skimage as ours
for part in ("measure", "metrics", "morphology", "segmentation"):
    theirs = importlib.import_module("skimage." + part)
    for name in ours.__all__:
        if name in dir(theirs):
            setattr(theirs, name, getattr(ours, name))
"""


def write_shims(folder: Path) -> None:
    for name, module in {**dict(zip(PEERS, PEERS, strict=True)), **PACKAGES}.items():
        place(folder, name).write_text(f"from emfast.compat.{module} import *  # noqa\n")
    for name, functions in PRIVATE.items():
        text = "".join(f"def {f}(*_):\n    raise NotImplementedError({f!r})\n" for f in functions)
        place(folder, name).write_text(text)
    (folder / "conftest_of_peers.py").write_text(CUSTOMIZE)
    (folder / "emfast_in_skimage.py").write_text(IN_SKIMAGE)


def place(folder: Path, name: str) -> Path:
    """The file of a module, which is a package: its parents are too."""
    for part in name.split("."):
        folder = folder / part
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
    return folder / "__init__.py"


def environment(shims: Path) -> dict[str, str]:
    path = [str(shims)]
    if list((SOURCE / "emfast").glob("_core.*")):  # a built checkout; otherwise the emfast that is installed
        path.append(str(SOURCE))
    return dict(os.environ, PYTHONPATH=os.pathsep.join([*path, os.environ.get("PYTHONPATH", "")]))


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        print(__doc__)
        return 2
    folder = Path(arguments[0]).resolve()
    files = sorted(folder.glob("*test*.py"))
    if not files:
        print(f"no *test*.py in {folder}")
        return 2
    worst, lines = 0, []
    with tempfile.TemporaryDirectory() as temporary:
        shims = Path(temporary)
        write_shims(shims)
        for file in files:
            command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest_of_peers", "-p", "no:cacheprovider"]
            if "skimage" in file.read_text():
                command += ["-p", "emfast_in_skimage"]
            command += ["--rootdir", str(folder), "--import-mode=importlib", *arguments[1:], file.name]
            done = subprocess.run(command, cwd=folder, env=environment(shims), stdout=subprocess.PIPE, text=True)
            print(done.stdout, end="")
            worst = max(worst, done.returncode)
            counts = re.findall(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)", done.stdout.splitlines()[-1])
            lines.append(f"{file.name}: " + (", ".join(" ".join(c) for c in counts) or "nothing ran"))
    print("\n".join(["", *lines]))
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
