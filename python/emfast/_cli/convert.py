"""``emfast convert``: a volume in another format, layout or dtype."""

from __future__ import annotations

import argparse
import time
from typing import Any

from .blocks import client_of, options_of
from .options import add_threads, engine, sides, spacing

__all__ = ["add"]


def add(verbs: Any) -> None:
    """The verb and its options."""
    verb = verbs.add_parser(
        "convert",
        help="write a volume in another format, with other chunks or in another dtype",
        description="Write a volume in another format, with other chunks, packed in another way, in another dtype.",
        epilog="Formats and places: docs/volumes.md. A Zarr, N5 or precomputed target has a journal beside it until it "
        "is whole; the same command after a crash goes on where that stopped.",
        parents=[engine()],
    )
    verb.add_argument("source", metavar="SRC")
    verb.add_argument("target", metavar="DST")
    verb.add_argument("--dtype", help="every value must be the same in it, but that floats may be rounded")
    verb.add_argument("--chunks", type=sides, metavar="Z,Y,X", help="of the target")
    verb.add_argument("--shards", type=sides, metavar="Z,Y,X", help="of the target: files of so many voxels")
    verb.add_argument("--codec", default="zstd", help="zstd, gzip, blosc, lz4 or raw, with a level as in zstd:9")
    verb.add_argument(
        "--window", type=_window, metavar="A:B,A:B,A:B", help="only this part, in voxels, a range per axis"
    )
    verb.add_argument(
        "--spacing", type=spacing, metavar="Z,Y,X", help="nanometres per voxel, if the file says it wrong"
    )
    verb.add_argument("--offset", type=spacing, metavar="Z,Y,X", help="nanometres to the first voxel, likewise")
    verb.add_argument("--axes", help="of the source in the order of its file, as xyz")
    verb.add_argument("--level", type=int, metavar="N", help="which resolution of a pyramid, 0 for the finest")
    verb.add_argument("--overwrite", action="store_true", help="replace what is at DST")
    add_threads(verb)
    verb.set_defaults(run=run)


def _window(text: str) -> tuple[slice, ...]:
    try:
        ends = [[int(end) if end else None for end in part.split(":")] for part in text.split(",")]
        if any(len(pair) != 2 for pair in ends):
            raise ValueError
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be ranges like 0:100,:,512:, got {text!r}") from None
    return tuple(slice(*pair) for pair in ends)


def run(chosen: argparse.Namespace) -> int:
    from ..conversion import convert

    names = ("dtype", "chunks", "shards", "codec", "window", "spacing", "offset", "axes", "level", "overwrite")
    options = {name: getattr(chosen, name) for name in (*names, "on_corrupt")} | options_of(chosen)
    options["progress"] = "converting"
    start = time.perf_counter()
    with client_of(chosen.dask) as client, convert(chosen.source, chosen.target, client=client, **options) as made:
        seconds = time.perf_counter() - start
        speed = made.nbytes / max(seconds, 1e-9) / 1e6
        print(f"{chosen.target}: {made.shape} {made.dtype}, {made.format}, {seconds:.1f} s, {speed:.0f} MB/s")
    return 0
