"""The command line, verb first, with the names and defaults of the calls. The verbs on volumes are in the
package ``_cli``; ``info``, ``doctor`` and ``demo`` are here.

A mistake of the user's ends with one line and exit code 2, Ctrl-C with 130, a failed check of ``doctor``, blocks
that failed and training that diverged with 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import __version__
from ._cli import arrays, bench, convert, data, evaluate, mesh, networks, segment, view
from ._cli.options import add_threads

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code comes back."""
    parser = argparse.ArgumentParser(
        prog="emfast", description="Segmentation of electron microscopy volumes, exact and the same everywhere."
    )
    parser.add_argument("--version", action="version", version=f"emfast {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="command", required=True)

    verb = verbs.add_parser("info", help="what this installation is and can use; or what volumes files hold")
    verb.add_argument("places", metavar="FILE", nargs="*", help="files, folders or addresses of volumes")
    verb.set_defaults(run=info)

    verb = verbs.add_parser("doctor", help="check the installation; say what is missing and how to get it")
    verb.set_defaults(run=doctor)

    verb = verbs.add_parser(
        "demo",
        help="the whole way on a synthetic EM volume: train a network, predict, segment, evaluate, write a page",
    )
    verb.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where emfast-demo goes (default: here)")
    verb.add_argument("--shape", type=_shape, default=(48, 256, 256), metavar="Z,Y,X", help="default: 48,256,256")
    verb.add_argument("--seed", type=int, default=0, help="another seed is another tissue (default: 0)")
    verb.add_argument(
        "--steps", type=_steps, default=450, metavar="N", help="of the network (default: 450); 0: affinities are given"
    )
    add_threads(verb)
    verb.set_defaults(run=demo)

    for module in (networks, segment, arrays, mesh, convert, evaluate, data, view, bench):
        module.add(verbs)

    chosen = parser.parse_args(arguments)
    before, warnings.formatwarning = warnings.formatwarning, _one_line
    try:
        if getattr(chosen, "threads", 0):
            from ._native import set_threads

            set_threads(chosen.threads)
        return int(chosen.run(chosen))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `emfast info | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        code = _code_of(error)
        if code is None:
            raise
        words = error.args[0] if isinstance(error, KeyError) and error.args else error  # which would be in quotes
        print(f"emfast {chosen.verb}: {words or type(error).__name__}", file=sys.stderr)
        return code
    finally:
        warnings.formatwarning = before


def _one_line(message: Any, *_: Any, **__: Any) -> str:
    """A warning as users read it."""
    return f"emfast: {message}\n"


def _code_of(error: Exception) -> int | None:
    """The exit code of what was raised; None of what should not have been."""
    from .errors import BlocksFailed, DeviceUnavailable, Diverged, InUse

    if isinstance(error, (BlocksFailed, Diverged)):
        return 1
    told = (ValueError, TypeError, KeyError, OSError, MemoryError, ModuleNotFoundError, DeviceUnavailable, InUse)
    return 2 if isinstance(error, told) else None


def _shape(text: str) -> tuple[int, int, int]:
    try:
        z, y, x = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be three integers like 48,256,256, got {text!r}") from None
    if min(z, y, x) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1 along each axis, got {text!r}")
    return z, y, x


def info(chosen: argparse.Namespace) -> int:
    import platform

    import numpy as np

    from . import _native, cuda

    if chosen.places:
        for place in chosen.places:
            _show_volumes(place)
        return 0
    modules = ", ".join(path.name.partition(".")[0] for path in sorted(Path(__file__).parent.glob("_*.so")))
    rows = [
        ("emfast", f"{__version__} in {Path(__file__).parent}"),
        ("native modules", modules),
        ("threads", f"{_native.get_threads()} of {_native.host.available_processors()} processors"),
        ("CUDA", str(cuda.status())),
        ("Python", f"{platform.python_version()}, numpy {np.__version__}"),
        ("system", f"{platform.system()} {platform.machine()}"),
    ]
    for name, value in rows:
        print(f"{name:<15} " + value.replace("\n", "\n" + " " * 16))
    return 0


def _show_volumes(place: str) -> None:
    from .volumes import open_volume, volumes_in

    found = volumes_in(place)
    if not found:
        print(f"{place} holds no volumes")
    for name in found:
        with open_volume(name) as volume:
            sides = " x ".join(map(str, volume.shape))
            print(f"{volume.uri}\n    {volume.format}, {sides} ({', '.join(volume.axes)}) of {volume.dtype}")
            size = f"{volume.nbytes / 1e9:.3g} GB" if volume.nbytes >= 1e8 else f"{volume.nbytes / 1e6:.3g} MB"
            layout = "".join(f", {name} {sides}" for name in ("chunks", "shards") if (sides := getattr(volume, name)))
            print(f"    {size} unpacked{layout}")
            spacing = "unknown: --spacing says it" if volume.spacing is None else f"{volume.spacing} nm"
            print(f"    spacing {spacing}, offset {volume.offset} nm")


# ---- doctor ------------------------------------------------------------------------------------------------


def doctor(_: argparse.Namespace) -> int:
    failed = 0
    for name, check in _CHECKS:
        try:
            state, words = "ok", check()
        except _Remark as remark:
            state, words = "--", str(remark)
        except Exception as error:
            state, words = "FAILED", f"{type(error).__name__}: {error}"
            failed += 1
        print(f"{state:<7}{name:<22}{words}")
    print("All is well." if not failed else f"{failed} of {len(_CHECKS)} checks failed.")
    return 1 if failed else 0


class _Remark(Exception):
    """Something that need not be there."""


def _check_version() -> str:
    from . import _native

    found = _native.host.version
    if found != __version__:
        raise RuntimeError(
            f"the native module is version {found}, the Python files {__version__}: two installations are mixed. "
            "Remove both (pip uninstall emfast) and install again"
        )
    return f"native module {found}"


def _check_components() -> str:
    import numpy as np

    from .components import connected_components

    rng = np.random.default_rng(0)
    labels = rng.random((9, 33, 70)) < 0.3
    found, count = connected_components(labels, return_count=True)
    same = found[:, :, 1:] == found[:, :, :-1]
    if not (same[labels[:, :, 1:] & labels[:, :, :-1]].all() and count == found.max()):
        raise RuntimeError("connected components are wrong on this machine; please report it with `emfast info`")
    return f"{count} found in noise"


def _check_phantom() -> str:
    import zlib

    from . import phantom

    made = phantom.make((6, 40, 50), seed=7)
    value = 0
    for array in (made.image, made.labels, made.mitochondria, made.affinities):
        value = zlib.crc32(array.tobytes(), value)
    if value != PHANTOM_CRC:
        raise RuntimeError("a synthetic volume differs from what other machines make; please report it")
    return "bit-identical to other machines"


def _check_threads() -> str:
    from ._native import get_threads

    count = get_threads()
    if count == 1:
        raise _Remark("1: set EMFAST_THREADS or widen the affinity of this process to use more")
    return str(count)


def _check_cuda() -> str:
    from . import cuda

    now = cuda.status()
    if not now.available:
        raise _Remark(f"not used: {now.reason}")
    return f"{now.devices} device(s)"


def _check_library(name: str, use: str) -> Callable[[], str]:
    def check() -> str:
        from importlib import metadata
        from importlib.util import find_spec

        if find_spec(name) is None:
            raise _Remark(f"not installed; {use}")
        return metadata.version(name)

    return check


PHANTOM_CRC = 0x316075BC
_CHECKS: list[tuple[str, Callable[[], str]]] = [
    ("native module", _check_version),
    ("threads", _check_threads),
    ("components", _check_components),
    ("phantom", _check_phantom),
    ("CUDA", _check_cuda),
    ("torch", _check_library("torch", "needed for networks and torch tensors only: pip install 'emfast[nn]'")),
    ("h5py", _check_library("h5py", "needed to read and write .h5 files: pip install 'emfast[io]'")),
    ("tifffile", _check_library("tifffile", "needed to read and write .tif files: pip install 'emfast[io]'")),
    ("zarr", _check_library("zarr", "needed to read and write chunked volumes: pip install 'emfast[io]'")),
]


# ---- demo --------------------------------------------------------------------------------------------------


def demo(chosen: argparse.Namespace) -> int:
    import math
    from importlib.util import find_spec

    from . import _demo

    if not chosen.out.is_dir():
        raise ValueError(f"--out must be an existing folder, got {str(chosen.out)!r}")
    folder = chosen.out / "emfast-demo"
    folder.mkdir(exist_ok=True)
    missing = [name for name in ("torch", "yaml") if find_spec(name) is None]
    steps = 0 if missing else chosen.steps
    clock = Clock()
    report = _demo.run(chosen.shape, chosen.seed, steps, folder, clock)
    report.write(folder)
    print(f"{'step':<34}{'seconds':>9}{'Mvoxel/s':>10}")
    for name, shape, seconds in clock.laps:
        print(f"{name:<34}{seconds:>9.3f}{math.prod(shape) / max(seconds, 1e-9) / 1e6:>10.1f}")
    print()
    for line in report.lines():
        print(line)
    if steps:
        print(_AGAIN.format(folder=folder, recipe=_demo.RECIPE, steps=steps, seed=chosen.seed))
    elif missing:
        print(f"\nNetworks need {' and '.join(missing)}: pip install 'emfast[nn]'")
    print(f"\nReport: {folder / 'report.html'}")
    return 0


_AGAIN = """
The same by hand, as with your own volumes (any format of docs/volumes.md):
  emfast train --recipe {recipe} --image {folder}/train-image.npy --labels {folder}/train-labels.npy \\
    --run {folder}/run-2 --steps {steps} --seed {seed}
  emfast segment {folder}/image.npy {folder}/segments-2.npy --model {folder}/run-2
  emfast evaluate {folder}/truth.npy {folder}/segments-2.npy --protocol snemi3d --report {folder}/report-2.html"""


def _steps(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a number from 0, got {text!r}")
    return int(text)


class Clock:
    """Times the steps of a demo: ``clock("edt", labels.shape, emfast.edt, labels)`` calls and remembers."""

    def __init__(self) -> None:
        self.laps: list[tuple[str, Sequence[int], float]] = []

    def __call__(
        self, name: str, shape: Sequence[int], function: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **options)
        self.laps.append((name, shape, time.perf_counter() - start))
        return result
