"""The verbs that are one operation on a volume, as ``components``, ``distance`` or ``statistics``: in memory, or block
by block (see ``blocks``), with the same result."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .. import _files
from .blocks import EPILOG, anew, asked, engine, grows, in_blocks, nonzero, stem_of
from .options import add_threads, blocks, spacing

__all__ = ["add"]

_CHUNKED = "A volume that lies in chunks (.zarr, .n5, precomputed://…) is read block by block, memory is bounded."
_TABLES = f"OUT is a file .csv or .parquet. {_CHUNKED}"


def add(verbs: Any) -> None:
    """The verbs and their options."""
    flag: dict[str, Any] = dict(action="store_true")

    def verb(name: str, run: Any, source: str, text: str, epilog: str = EPILOG) -> argparse.ArgumentParser:
        about = f"{text[0].upper()}{text[1:]}."
        made: argparse.ArgumentParser = verbs.add_parser(
            name, help=text, description=about, epilog=epilog, parents=[blocks()]
        )
        made.add_argument("source", metavar=source)
        made.add_argument("out", metavar="OUT")
        add_threads(made)
        made.set_defaults(run=run)
        return made

    def add_spacing(made: argparse.ArgumentParser) -> None:
        made.add_argument("--spacing", type=spacing, default=(1, 1, 1), metavar="Z,Y,X", help="nanometres per voxel")

    def add_connectivity(made: argparse.ArgumentParser) -> None:
        made.add_argument("--connectivity", type=int, default=6, help="6, 18 or 26; 4 or 8 for pictures (default: 6)")

    def add_background(made: argparse.ArgumentParser) -> None:
        made.add_argument("--background", type=_background, default=0, help="a value, or none (default: 0)")

    made = verb("watershed", watershed, "AFFINITIES", "fragments by steepest ascent on nearest affinities (c, z, y, x)")
    _add_watershed_options(made, low=0.0, high=1.0)
    made.add_argument("--quantile", **flag, help="low, high and merge-threshold are quantiles")
    made.add_argument(
        "--merge-size", type=int, default=0, metavar="N", help="join smaller regions over their best edge"
    )
    made.add_argument("--merge-threshold", type=float, default=0.0, metavar="A", help="if that edge is this or more")
    made.add_argument("--dust", type=int, default=0, metavar="N", help="remove what is smaller in the end")

    made = verb("agglomerate", agglomerate, "AFFINITIES", "segments: fragments merged best score first")
    made.add_argument(
        "--threshold", type=float, default=0.5, help="merge while the score is this or more (default: 0.5)"
    )
    made.add_argument("--score", default="mean", help="as emfast.agglomerate names it (default: mean)")
    made.add_argument("--fragments", metavar="FILE", help="default: those of the watershed")
    made.add_argument("--tree", metavar="FILE.npz", help="save the tree of all merges too, for other thresholds")
    _add_watershed_options(made, low=0.1, high=0.98)

    made = verb("components", components, "LABELS", "connected components of equal value")
    add_connectivity(made)
    add_background(made)
    made.add_argument("--periodic", **flag, help="axes are closed to rings")
    made.add_argument("--delta", type=float, help="join values that differ by no more; not in blocks")
    made.add_argument("--dtype", help="of the result (default: the smallest unsigned one)")

    made = verb("distance", distance, "LABELS", "distance of every voxel to the nearest one of another label")
    add_spacing(made)
    made.add_argument("--border", **flag, help="beyond the volume is another label")
    made.add_argument("--squared", **flag)
    made.add_argument("--signed", **flag, help="positive on labels, negative on background")

    made = verb("dust", dust, "LABELS", "labels without their small components")
    made.add_argument("--below", type=int, required=True, metavar="N", help="components of fewer voxels become 0")
    add_connectivity(made)

    made = verb("largest", largest, "LABELS", "labels without all but their largest components")
    made.add_argument("--count", type=int, default=1, metavar="N", help="how many stay (default: 1)")
    add_connectivity(made)

    made = verb("fill-holes", fill_holes, "LABELS", "labels whose cavities are filled")
    made.add_argument("--per-section", **flag, help="each section by itself")

    made = verb("renumber", renumber, "LABELS", "labels numbered from 1 on")
    made.add_argument("--order", default="first", choices=("first", "size"), help="of the numbers (default: first)")
    made.add_argument("--start", type=int, default=1, metavar="N", help="the first number (default: 1)")
    made.add_argument("--dtype", help="of the result (default: the smallest unsigned one)")

    made = verb("remap", remap, "LABELS", "labels by a table of old and new ones, or by the cut of a tree of merges")
    made.add_argument("--table", metavar="FILE.csv", help="a line old,new for each label")
    made.add_argument("--tree", metavar="FILE.npz", help="as emfast agglomerate --tree and emfast segment leave it")
    made.add_argument("--threshold", type=float, default=0.5, help="of the tree (default: 0.5)")
    made.add_argument("--missing", default="error", help="labels in no line: error, keep or a number (default: error)")

    text = "centre lines of labels as SWC: OUT is a new or empty folder for a file per label, or a file .swc for all"
    lines = f"{_CHUNKED} With --memory objects whose box does not fit are drawn in pieces: docs/scale.md."
    made = verb("skeletonize", skeletonize, "LABELS", text, lines)
    add_spacing(made)
    made.add_argument("--scale", type=float, default=1.5, help="a path covers so many radii (default: 1.5)")
    made.add_argument("--const", type=float, metavar="NM", help="and so far beyond (default: 4 of the longest spacing)")
    made.add_argument("--penalty", type=float, default=100000.0, help="0 lets paths cut corners (default: 100000)")
    made.add_argument("--exponent", type=int, default=4, help="of the penalty (default: 4)")
    made.add_argument("--border", **flag, help="beyond the volume is background")
    made.add_argument("--dust", type=int, default=0, metavar="N", help="leave out connected parts of fewer voxels")
    made.add_argument("--min-length", type=float, default=0.0, metavar="NM", help="leave out shorter trees")

    made = verb("statistics", statistics, "LABELS", "a table of the labels: voxels, boxes, centroids and more", _TABLES)
    add_spacing(made)
    add_background(made)
    for name in ("moments", "surface", "radius"):
        made.add_argument(f"--{name}", **flag, help="columns of these too")

    made = verb("contacts", contacts, "LABELS", "a table of the pairs of labels that touch", _TABLES)
    add_spacing(made)
    add_connectivity(made)
    add_background(made)


def _add_watershed_options(verb: argparse.ArgumentParser, *, low: float, high: float) -> None:
    verb.add_argument(
        "--low", type=float, default=low, help=f"voxels with no better edge are background (default: {low})"
    )
    verb.add_argument("--high", type=float, default=high, help=f"edges from it on join always (default: {high})")
    verb.add_argument("--plateau", default="strict", help="strict, or waterz, which is not in blocks (default: strict)")
    verb.add_argument("--mask", metavar="FILE", help="voxels that are 0 there are background")
    verb.add_argument("--per-section", action="store_true", help="each section by itself")


def _background(text: str) -> int | None:
    return None if text.lower() == "none" else int(text)


# ---- from a volume to a volume


def watershed(chosen: argparse.Namespace) -> int:
    names = ("low", "high", "plateau", "per_section", "quantile", "merge_size", "merge_threshold", "dust")
    return _volume(chosen, "watershed", names, lambda count: f"{count} fragments", return_count=True)


def components(chosen: argparse.Namespace) -> int:
    names: tuple[str, ...] = ("connectivity", "background", "periodic", "dtype")
    if chosen.delta is not None:
        if in_blocks(chosen):
            raise ValueError("--delta is not for work in blocks: write a .npy or .h5 file, without options for blocks")
        names = (*names, "delta")
    return _volume(chosen, "connected_components", names, lambda count: f"{count} components", return_count=True)


def distance(chosen: argparse.Namespace) -> int:
    return _volume(chosen, "signed_distance" if chosen.signed else "edt", ("spacing", "border", "squared"))


def dust(chosen: argparse.Namespace) -> int:
    return _volume(chosen, "dust", ("below", "connectivity"), lambda n: f"{n} components stay", return_count=True)


def largest(chosen: argparse.Namespace) -> int:
    return _volume(
        chosen, "largest_k", ("connectivity",), lambda n: f"{n} components stay", k=chosen.count, return_count=True
    )


def fill_holes(chosen: argparse.Namespace) -> int:
    return _volume(chosen, "fill_holes", ("per_section",), lambda n: f"{n} voxels filled", return_count=True)


def renumber(chosen: argparse.Namespace) -> int:
    def told(table: Any) -> str:
        return f"{len(table) - (0 in table)} labels"

    return _volume(chosen, "renumber", ("order", "start", "dtype"), told)


def remap(chosen: argparse.Namespace) -> int:
    if (chosen.table is None) == (chosen.tree is None):
        raise ValueError("--table or --tree must be given, one of them")
    missing = chosen.missing if chosen.missing in ("error", "keep") else _whole(chosen.missing, "--missing")
    if chosen.tree is not None:
        from ..trees import MergeTree

        table: Any = MergeTree.load(chosen.tree).cut(chosen.threshold)
        missing = 0 if missing == "error" else missing
    else:
        table = _read_pairs(chosen.table)
    return _volume(chosen, "remap", (), table=table, missing=missing)


def _volume(
    chosen: argparse.Namespace,
    name: str,
    names: tuple[str, ...],
    told: Callable[[Any], str] | None = None,
    **options: Any,
) -> int:
    """One operation, in blocks or in memory; ``told`` says what came beside the volume."""
    import emfast

    options |= {option: getattr(chosen, option) for option in names}
    call, twin = getattr(emfast, name), getattr(emfast.blockwise, name)
    if not in_blocks(chosen):
        with _Work(chosen, chosen.source) as work:
            if hasattr(chosen, "mask"):
                options["mask"] = _mask_in_memory(chosen.mask)
            work.result = call(work.array, **options)
            if told is not None:
                work.result, beside = work.result
            work.words = told(beside) if told is not None else _reach(work.result)
        return 0
    _check_places(chosen)
    start = time.perf_counter()
    with engine(chosen) as shared, ExitStack() as stack:
        if hasattr(chosen, "mask"):
            options["mask"] = nonzero(chosen.mask, stack)
        if chosen.dry_run:
            print(emfast.blockwise.plan(twin, chosen.source, target=chosen.out, **options, **shared))
            return 0
        found = twin(chosen.source, target=chosen.out, **options, **shared)
    beside = None
    if told is not None:
        found, beside = found
    _tell(told(beside) if told is not None else "done", chosen.out, f"{found.shape} {found.dtype}", start)
    return 0


def agglomerate(chosen: argparse.Namespace) -> int:
    from .._options import number_of

    if chosen.tree and not chosen.tree.endswith(".npz"):
        raise ValueError(f"--tree must be a file that ends in .npz, got {chosen.tree!r}")
    if chosen.tree:
        _files.check(chosen.tree)
    number_of(chosen.threshold, "--threshold")
    return anew(_agglomerate_blocks, chosen, stem_of(chosen.out)) if in_blocks(chosen) else _agglomerate_array(chosen)


def _agglomerate_array(chosen: argparse.Namespace) -> int:
    import emfast

    from ..trees import needs_histograms

    histogram = needs_histograms(chosen.score)
    with _Work(chosen, chosen.source) as work:
        if chosen.fragments:
            fragments = _files.load(chosen.fragments)
        else:
            work.say("watershed")
            mask = _mask_in_memory(chosen.mask)
            fragments = emfast.watershed(work.array, mask=mask, **_watershed_options(chosen))
        work.say("region graph")
        graph = emfast.region_graph(work.array, fragments, histogram=histogram)
        work.say("merging")
        tree = emfast.agglomerate(graph, score=chosen.score, until=_until(chosen))
        work.result, table = emfast.renumber(tree.relabel(fragments, chosen.threshold))
        if chosen.tree:
            tree.save(chosen.tree)
        work.words = f"{len(tree.fragments)} fragments, {len(table) - (0 in table)} segments"
    return 0


def _agglomerate_blocks(chosen: argparse.Namespace, stem: str) -> int:
    """The same steps, each with a folder of its own; what they read of each other is checked, and never skipped."""
    import emfast

    from ..blocks import verified
    from ..blockwise._run import claim
    from ..trees import is_reducible

    blockwise = emfast.blockwise
    _check_places(chosen)
    if not is_reducible(chosen.score):
        raise ValueError(
            f"--score must be mean, min, max, median or a quantile in blocks, got {chosen.score!r}; an OUT such as "
            ".npy is made in memory, where there are others"
        )
    start = time.perf_counter()
    with engine(chosen, stem) as shared, ExitStack() as stack:
        folder = shared.pop("work")
        strict = {**shared, "on_corrupt": "error"}

        def inner(name: str) -> str:
            return os.path.join(folder, name)

        def written(name: str, step: str) -> Any:
            volume = stack.enter_context(emfast.open_volume(inner(f"{name}.zarr")))
            return verified(volume, journal=inner(f"{name}/{step}.journal"))

        options = {"mask": nonzero(chosen.mask, stack), **_watershed_options(chosen)}
        rules = {"score": chosen.score, "until": _until(chosen)}
        fragments = chosen.fragments
        if chosen.dry_run and fragments:
            print(blockwise.plan(blockwise.agglomerate, chosen.source, fragments, **rules, **shared))
            return 0
        if chosen.dry_run:
            print(blockwise.plan(blockwise.watershed, chosen.source, **options, **shared))
            return 0
        claim(folder, "emfast agglomerate")
        if not fragments:
            place = inner("fragments.zarr")
            blockwise.watershed(chosen.source, place, work=inner("fragments"), **options, **shared).close()
            fragments = written("fragments", "fragments")
        tree = blockwise.agglomerate(chosen.source, fragments, work=inner("tree"), **rules, **shared)
        cut = tree.cut(chosen.threshold)
        work = inner("cut")
        read = shared if chosen.fragments else strict
        blockwise.remap(fragments, cut, inner("cut.zarr"), missing=0, work=work, **read).close()
        found, table = blockwise.renumber(written("cut", "remap"), chosen.out, work=inner("segments"), **strict)
        if chosen.tree:
            tree.save(chosen.tree)
    words = f"{len(tree.fragments)} fragments, {len(table) - (0 in table)} segments"
    _tell(words, chosen.out, f"{found.shape} {found.dtype}", start)
    return 0


def _until(chosen: argparse.Namespace) -> float | None:
    """How far a tree goes: all the way where it is kept for other thresholds."""
    return None if chosen.tree else chosen.threshold


def _watershed_options(chosen: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(chosen, name) for name in ("low", "high", "plateau", "per_section")}


def _mask_in_memory(place: str | None) -> Any:
    with ExitStack() as stack:
        mask = nonzero(place, stack)
        return None if mask is None else mask[...]


def _reach(result: Any) -> str:
    return f"up to {result.max(initial=0):g}"


def _whole(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} must be error, keep or a whole number, got {text!r}") from None


def _read_pairs(path: str) -> dict[int, int]:
    """The lines of a table; a first one of words is left out."""
    import csv

    found: dict[int, int] = {}
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(csv.reader(file), 1):
            try:
                old, new = map(int, line)
            except ValueError:
                if number == 1:
                    continue
                raise ValueError(f"{path} must have two whole numbers in each line, got {line} in {number}") from None
            found[old] = new
    return found


# ---- from a volume to lines and tables


def skeletonize(chosen: argparse.Namespace) -> int:
    import emfast

    names = ("spacing", "scale", "const", "penalty", "exponent", "border", "dust", "min_length")

    def twin(**shared: Any) -> Any:
        with emfast.open_volume(chosen.source) as volume:  # without a bound none is too large to be taken whole
            most = None if chosen.memory else max(1, volume.size)
        return emfast.blockwise.skeletonize(chosen.source, largest=most, **shared)

    def told(found: Any) -> str:
        return f"{len(found)} skeletons"

    return _result(chosen, "skeletonize", names, _check_swc, _save_swc, told, twin)


def statistics(chosen: argparse.Namespace) -> int:
    names = ("spacing", "background", "moments", "surface", "radius")
    return _result(chosen, "statistics", names, _check_table, _save_table, lambda table: f"{len(table)} labels")


def contacts(chosen: argparse.Namespace) -> int:
    names = ("spacing", "connectivity", "background")
    return _result(chosen, "contacts", names, _check_table, _save_table, lambda table: f"{len(table)} pairs")


def _result(
    chosen: argparse.Namespace,
    name: str,
    names: tuple[str, ...],
    check: Callable[[argparse.Namespace], None],
    save: Callable[[str, Any], str],
    told: Callable[[Any], str],
    twin: Callable[..., Any] | None = None,
) -> int:
    """One operation whose result is no volume, in blocks or in memory."""
    import emfast

    options = {option: getattr(chosen, option) for option in names}
    if not (asked(chosen) or grows(chosen.source)):
        with _Work(chosen, chosen.source, check, save) as work:
            work.result = getattr(emfast, name)(work.array, **options)
            work.words = told(work.result)
        return 0
    check(chosen)

    def run(chosen: argparse.Namespace, stem: str) -> int:
        start, operation = time.perf_counter(), getattr(emfast.blockwise, name)
        with engine(chosen, stem) as shared:
            if chosen.dry_run:
                print(emfast.blockwise.plan(operation, chosen.source, **options, **shared))
                return 0
            result = twin(**options, **shared) if twin else operation(chosen.source, **options, **shared)
            what = save(chosen.out, result)
        _tell(told(result), chosen.out, what, start)
        return 0

    return anew(run, chosen, chosen.out)


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


def _check_table(chosen: argparse.Namespace) -> None:
    _files.check_table(chosen.out, "OUT")
    if _files.holds(chosen.source, chosen.out):
        raise ValueError(f"OUT must be a file of its own, got {chosen.out!r}")


def _save_table(out: str, table: Any) -> str:
    _files.save_table(out, table)
    return f"{len(table.flat())} columns"


# ---- what they share


def _save_array(out: str, result: Any) -> str:
    import numpy as np

    array = np.asarray(result)
    _files.save(out, array)
    return f"{array.shape} {array.dtype}"


def _check_places(chosen: argparse.Namespace) -> None:
    """What is written can be, and does not take the place of what is read or written before."""
    from ..volumes import parse

    options = {name: getattr(chosen, name, None) for name in ("tree", "fragments", "mask")}
    places = {"the input": chosen.source, **{f"--{k}": v for k, v in options.items() if v}}
    out = parse(chosen.out, new=True)
    if not grows(chosen.out) or (out.format == "zarr" and not out.remote):  # others are compared when they are made
        _files.check(chosen.out)
        places["OUT"] = chosen.out
    for target in ("OUT", "--tree"):
        for name, place in places.items():
            if target in places and name != target and _files.overwrites(places[target], place):
                raise ValueError(f"{target} must not be the file of {name} too, got {place!r} for both")


def _tell(words: str, out: str, what: str, start: float) -> None:
    print(f"{words}; {out}: {what}, {time.perf_counter() - start:.1f} s")


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
        _tell(self.words, self.out, what, self.start)
