"""The command line, verb first: ``emfast info``, ``doctor``, ``demo``, ``bench``; ``watershed``, ``agglomerate``,
``components``, ``distance``, ``skeletonize``, ``mesh``, ``convert``, ``evaluate`` and ``view`` on files, with the
names and defaults of the calls.

A mistake of the user's ends with one line and exit code 2, Ctrl-C with 130, a failed check of ``doctor`` and blocks
that failed with 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import (
    __version__,
    _cli_bench,
    _cli_convert,
    _cli_data,
    _cli_evaluate,
    _cli_mesh,
    _cli_segment,
    _cli_view,
    _files,
)
from ._cli_options import add_threads, spacing

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

    verb = verbs.add_parser("demo", help="make a synthetic EM volume, segment and measure it, write a picture")
    verb.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder of the picture (default: here)")
    verb.add_argument("--shape", type=_shape, default=(48, 256, 256), metavar="Z,Y,X", help="default: 48,256,256")
    verb.add_argument("--seed", type=int, default=0, help="another seed is another tissue (default: 0)")
    add_threads(verb)
    verb.set_defaults(run=demo)

    _add_verbs_on_files(verbs)
    for module in (_cli_convert, _cli_data, _cli_evaluate, _cli_mesh, _cli_segment, _cli_bench, _cli_view):
        module.add(verbs)

    chosen = parser.parse_args(arguments)
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
        print(f"emfast {chosen.verb}: {error or type(error).__name__}", file=sys.stderr)
        return code


def _code_of(error: Exception) -> int | None:
    """The exit code of what was raised; None of what should not have been."""
    from .errors import BlocksFailed, DeviceUnavailable, InUse

    if isinstance(error, BlocksFailed):
        return 1
    told = (ValueError, TypeError, OSError, MemoryError, ModuleNotFoundError, DeviceUnavailable, InUse)
    return 2 if isinstance(error, told) else None


def _add_verbs_on_files(verbs: Any) -> None:
    def add(name: str, run: Callable[[argparse.Namespace], int], source: str, text: str) -> argparse.ArgumentParser:
        verb: argparse.ArgumentParser = verbs.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog="Files are .npy, .npz, .h5 or .tif; of an archive with the name of the array, as in file.h5:path.",
        )
        verb.add_argument("source", metavar=source)
        verb.add_argument("out", metavar="OUT")
        add_threads(verb)
        verb.set_defaults(run=run)
        return verb

    flag: dict[str, Any] = dict(action="store_true")
    verb = add("watershed", watershed, "AFFINITIES", "fragments by steepest ascent on nearest affinities (c, z, y, x)")
    _add_watershed_options(verb, low=0.0, high=1.0)
    verb.add_argument("--quantile", **flag, help="low, high and merge-threshold are quantiles")
    verb.add_argument(
        "--merge-size", type=int, default=0, metavar="N", help="join smaller regions over their best edge"
    )
    verb.add_argument("--merge-threshold", type=float, default=0.0, metavar="A", help="if that edge is this or more")
    verb.add_argument("--dust", type=int, default=0, metavar="N", help="remove what is smaller in the end")

    verb = add("agglomerate", agglomerate, "AFFINITIES", "segments: fragments merged best score first")
    verb.add_argument(
        "--threshold", type=float, default=0.5, help="merge while the score is this or more (default: 0.5)"
    )
    verb.add_argument("--score", default="mean", help="as emfast.agglomerate names it (default: mean)")
    verb.add_argument("--fragments", metavar="FILE", help="default: those of the watershed")
    verb.add_argument("--tree", metavar="FILE.npz", help="save the tree of all merges too, for other thresholds")
    _add_watershed_options(verb, low=0.1, high=0.98)

    verb = add("components", components, "LABELS", "connected components of equal value")
    verb.add_argument("--connectivity", type=int, default=6, help="6, 18 or 26; 4 or 8 for pictures (default: 6)")
    verb.add_argument("--background", type=_background, default=0, help="a value, or none (default: 0)")
    verb.add_argument("--periodic", **flag, help="axes are closed to rings")
    verb.add_argument("--delta", type=float, help="join values that differ by no more")
    verb.add_argument("--dtype", help="of the result (default: the smallest unsigned one)")

    verb = add("distance", distance, "LABELS", "distance of every voxel to the nearest one of another label")
    verb.add_argument("--spacing", type=spacing, default=(1, 1, 1), metavar="Z,Y,X", help="nanometres per voxel")
    verb.add_argument("--border", **flag, help="beyond the volume is another label")
    verb.add_argument("--squared", **flag)
    verb.add_argument("--signed", **flag, help="positive on labels, negative on background")

    text = "centre lines of labels as SWC: OUT is a new or empty folder for a file per label, or a file .swc for all"
    verb = add("skeletonize", skeletonize, "LABELS", text)
    verb.add_argument("--spacing", type=spacing, default=(1, 1, 1), metavar="Z,Y,X", help="nanometres per voxel")
    verb.add_argument("--scale", type=float, default=1.5, help="a path covers so many radii (default: 1.5)")
    verb.add_argument("--const", type=float, metavar="NM", help="and so far beyond (default: 4 of the longest spacing)")
    verb.add_argument("--penalty", type=float, default=100000.0, help="0 lets paths cut corners (default: 100000)")
    verb.add_argument("--exponent", type=int, default=4, help="of the penalty (default: 4)")
    verb.add_argument("--border", **flag, help="beyond the volume is background")
    verb.add_argument("--dust", type=int, default=0, metavar="N", help="leave out connected parts of fewer voxels")
    verb.add_argument("--min-length", type=float, default=0.0, metavar="NM", help="leave out shorter trees")


def _add_watershed_options(verb: argparse.ArgumentParser, *, low: float, high: float) -> None:
    verb.add_argument(
        "--low", type=float, default=low, help=f"voxels with no better edge are background (default: {low})"
    )
    verb.add_argument("--high", type=float, default=high, help=f"edges from it on join always (default: {high})")
    verb.add_argument("--plateau", default="strict", help="strict or waterz (default: strict)")
    verb.add_argument("--mask", metavar="FILE", help="voxels that are 0 there are background")
    verb.add_argument("--per-section", action="store_true", help="each section by itself")


def _background(text: str) -> int | None:
    return None if text.lower() == "none" else int(text)


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


# ---- verbs on files ----------------------------------------------------------------------------------------


def watershed(chosen: argparse.Namespace) -> int:
    from .fragments import watershed as call

    with _Work(chosen, chosen.source) as work:
        work.result, count = call(
            work.array,
            **_watershed_options(chosen),
            quantile=chosen.quantile,
            merge_size=chosen.merge_size,
            merge_threshold=chosen.merge_threshold,
            dust=chosen.dust,
            return_count=True,
        )
        work.words = f"{count} fragments"
    return 0


def agglomerate(chosen: argparse.Namespace) -> int:
    from ._options import number_of
    from .fragments import watershed as call
    from .graphs import region_graph
    from .labels import renumber
    from .trees import agglomerate as merge
    from .trees import needs_histograms

    if chosen.tree and not chosen.tree.endswith(".npz"):
        raise ValueError(f"--tree must be a file that ends in .npz, got {chosen.tree!r}")
    if chosen.tree:
        _files.check(chosen.tree)
    threshold, histogram = number_of(chosen.threshold, "--threshold"), needs_histograms(chosen.score)
    with _Work(chosen, chosen.source) as work:
        if chosen.fragments:
            fragments = _files.load(chosen.fragments)
        else:
            work.say("watershed")
            fragments = call(work.array, **_watershed_options(chosen))
        work.say("region graph")
        graph = region_graph(work.array, fragments, histogram=histogram)
        work.say("merging")
        tree = merge(graph, score=chosen.score, until=None if chosen.tree else threshold)
        work.result, table = renumber(tree.relabel(fragments, threshold))
        if chosen.tree:
            tree.save(chosen.tree)
        work.words = f"{len(tree.fragments)} fragments, {len(table) - (0 in table)} segments"
    return 0


def components(chosen: argparse.Namespace) -> int:
    from .components import connected_components

    with _Work(chosen, chosen.source) as work:
        work.result, count = connected_components(
            work.array,
            connectivity=chosen.connectivity,
            background=chosen.background,
            periodic=chosen.periodic,
            delta=chosen.delta,
            dtype=chosen.dtype,
            return_count=True,
        )
        work.words = f"{count} components"
    return 0


def distance(chosen: argparse.Namespace) -> int:
    from .distance import edt, signed_distance

    with _Work(chosen, chosen.source) as work:
        call = signed_distance if chosen.signed else edt
        work.result = call(work.array, spacing=chosen.spacing, border=chosen.border, squared=chosen.squared)
        work.words = f"up to {work.result.max(initial=0):g}"
    return 0


def skeletonize(chosen: argparse.Namespace) -> int:
    from .skeletons import skeletonize as call

    with _Work(chosen, chosen.source, _check_swc, _save_swc) as work:
        names = ("spacing", "scale", "const", "penalty", "exponent", "border", "dust", "min_length")
        work.result = call(work.array, **{name: getattr(chosen, name) for name in names})
        work.words = f"{len(work.result)} skeletons"
    return 0


def _check_swc(chosen: argparse.Namespace) -> None:
    out = Path(chosen.out)
    if not out.absolute().parent.is_dir():
        raise ValueError(f"{chosen.out} must lie in an existing folder, got {str(out.parent)!r}")
    if out.suffix == ".swc":
        if out.is_dir():
            raise ValueError(f"{chosen.out} must be a file, got a folder")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"OUT must be a new or empty folder, or a file that ends in .swc, got {chosen.out!r}")


def _save_swc(out: str, skeletons: Any) -> str:
    skeletons.to_swc(out)
    return f"{len(skeletons.voxels)} vertices, {skeletons.lengths.sum():g} nm"


def _save_array(out: str, result: Any) -> str:
    import numpy as np

    array = np.asarray(result)
    _files.save(out, array)
    return f"{array.shape} {array.dtype}"


def _watershed_options(chosen: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    mask = None if chosen.mask is None else _files.load(chosen.mask)
    if mask is not None:
        if np.isnan(mask.min(initial=0)):
            raise ValueError("--mask must hold numbers, got NaN")
        mask = mask != 0
    names = ("low", "high", "plateau", "per_section")
    return {"mask": mask, **{name: getattr(chosen, name) for name in names}}


def _check_places(chosen: argparse.Namespace) -> None:
    """What is written can be, and does not take the place of what is read or written before."""
    _files.check(chosen.out)
    options = {name: getattr(chosen, name, None) for name in ("tree", "fragments", "mask")}
    places = {"OUT": chosen.out, "the input": chosen.source, **{f"--{k}": v for k, v in options.items() if v}}
    for target in ("OUT", "--tree"):
        for name, place in places.items():
            if target in places and name != target and _files.overwrites(places[target], place):
                raise ValueError(f"{target} must not be the file of {name} too, got {place!r} for both")


class _Work:
    """Reads the source, and writes the result when all went well; says what goes on where somebody looks."""

    def __init__(
        self,
        chosen: argparse.Namespace,
        source: str,
        check: Callable[[argparse.Namespace], None] = _check_places,
        save: Callable[[str, Any], str] = _save_array,
    ) -> None:
        check(chosen)
        self.out, self.words, self.start, self.save = chosen.out, "", time.perf_counter(), save
        self.say("reading")
        self.array = _files.load(source)
        self.result: Any = None
        self.say("working")

    def say(self, words: str) -> None:
        if sys.stderr.isatty():
            seconds = time.perf_counter() - self.start
            print(f"\r\x1b[K{seconds:6.1f} s  {words} …" if words else "\r\x1b[K", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> _Work:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None:
            self.say("")
            return
        self.say("writing")
        what = self.save(self.out, self.result)
        self.say("")
        seconds = time.perf_counter() - self.start
        print(f"{self.words}; {self.out}: {what}, {seconds:.1f} s")


# ---- demo --------------------------------------------------------------------------------------------------


def demo(chosen: argparse.Namespace) -> int:
    import math

    from . import _demo

    if not chosen.out.is_dir():
        raise ValueError(f"--out must be an existing folder, got {str(chosen.out)!r}")
    clock = Clock()
    report = _demo.run(chosen.shape, chosen.seed, clock)
    path = chosen.out / "emfast-demo.png"
    report.save(path)
    voxels = math.prod(chosen.shape)
    print(f"{'step':<34}{'seconds':>9}{'Mvoxel/s':>10}")
    for name, seconds in clock.laps:
        print(f"{name:<34}{seconds:>9.3f}{voxels / max(seconds, 1e-9) / 1e6:>10.1f}")
    print()
    for line in report.lines():
        print(line)
    print(f"\nPicture: {path}")
    return 0


class Clock:
    """Times the steps of a demo: ``clock("edt", emfast.edt, labels)`` calls and remembers."""

    def __init__(self) -> None:
        self.laps: list[tuple[str, float]] = []

    def __call__(self, name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **options)
        self.laps.append((name, time.perf_counter() - start))
        return result
