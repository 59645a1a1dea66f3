"""Parsers under damaged files, for as long as one likes:

    python tests/fuzz.py --seconds 300                    # so long for each parser
    python tests/fuzz.py nrrd "zarr 2" --seconds 3600     # for these
    python tests/fuzz.py nrrd --first 4711 --count 1      # that damage again

Each damage is a number. A reader either tells what is wrong, naming the file, or gives an array as the header says; it
takes no more than a second, and no more than four times the file and a few megabytes for itself. Each parser has a
process of its own, so that a crash is seen, and one that hangs is ended.
"""

from __future__ import annotations

import argparse
import logging
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import emfast
import mutations
from emfast import pipeline
from emfast._engine import journal
from emfast.blocks import map_blocks

TOLD = (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
OWN = 6 << 20  # bytes of a library for itself
SPACE = 6 << 30  # bytes of addresses
SECONDS = 1.0


def _recipe(folder: Path) -> str:
    (folder / "r.yaml").write_text(pipeline.Recipe(thresholds=(0.25, 0.5)).to_yaml())
    return f"{folder}/r.yaml"


def _graph(folder: Path) -> str:
    fragments = np.arange(60, dtype="u4").reshape(3, 4, 5)
    graph = emfast.region_graph(np.full((3, 3, 4, 5), 0.5, "f4"), fragments, histogram=True, boxes=True)
    graph.save(folder / "g.npz")
    return f"{folder}/g.npz"


def _tree(folder: Path) -> str:
    fragments = np.arange(60, dtype="u4").reshape(3, 4, 5)
    emfast.agglomerate(emfast.region_graph(np.full((3, 3, 4, 5), 0.5, "f4"), fragments)).save(folder / "t.npz")
    return f"{folder}/t.npz"


def _journal(folder: Path) -> str:
    map_blocks(_told, None, shape=(9, 9), block=3, journal=folder / "j")
    return f"{folder}/j"


def _told(where: Any) -> list[int]:
    return [where.index] * 3


def _whole_journal(place: str) -> None:
    about, found = journal.finished(place)
    with journal.Journal(place, about, 9) as kept:
        assert len(list(kept.all_values())) == sum(found.done) or kept.done != found.done


def _named(place: str) -> None:
    """Names within a file, made up from the bytes beside it."""
    file, name = place, Path(f"{place}.name").read_bytes().decode("latin-1")
    mutations.read(f"{file}:{name}")


def _archive(folder: Path) -> str:
    place = mutations.make("hdf5", folder)
    (folder / "a.h5.name").write_text("array")
    return place.split(":")[0]


OTHERS: dict[str, tuple[Callable[[Path], str], Callable[[str], Any]]] = {
    "recipe": (_recipe, pipeline.read_recipe),
    "graph": (_graph, emfast.RegionGraph.load),
    "tree": (_tree, emfast.MergeTree.load),
    "journal": (_journal, _whole_journal),
    "hdf5 names": (_archive, _named),
}
PARSERS = (*mutations.KINDS, *OTHERS)


def one(kind: str, sound: Path, uri: str, work: Path, seed: int) -> bool:
    """One damage; whether it was told. What must not be is an AssertionError or some other error."""
    mutations.copied(sound, work)
    file = mutations.damage(work, np.random.default_rng(seed))
    read = OTHERS[kind][1] if kind in OTHERS else mutations.read
    most = OWN + 4 * max(sum(f.stat().st_size for f in mutations.files_below(work)), 1)
    tracemalloc.start()
    begun = time.process_time()
    try:
        read(uri.replace(str(sound), str(work)))
        told = False
    except (*TOLD, TypeError) as error:
        assert not isinstance(error, TypeError) or kind == "recipe", repr(error)  # which has types
        told = True
        assert str(work) in str(error), f"{file.name}: {error!r} does not name the file"
    finally:
        seconds, peak = time.process_time() - begun, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < SECONDS, f"{file.name}: {seconds:.1f} s"
    assert peak < most, f"{file.name}: {peak} bytes"
    return told


def child(kind: str, folder: Path, first: int, count: int, seconds: float) -> None:
    import zarr  # noqa: F401 - which a header with a rare codec asks for

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    sound, work = folder / "sound", folder / "work"
    sound.mkdir()
    uri = OTHERS[kind][0](sound) if kind in OTHERS else mutations.make(kind, sound)
    (OTHERS[kind][1] if kind in OTHERS else mutations.read)(uri)  # what is imported late is imported
    end, told, wrong = time.monotonic() + seconds, 0, 0
    done = 0
    for seed in range(first, first + count):
        (folder / "seed").write_text(f"{seed}")
        signal.alarm(60)
        try:
            told += one(kind, sound, uri, work, seed)
        except BaseException as error:  # to be told with its number; the next may find another
            wrong += 1
            print(f"{kind} {seed}: {type(error).__name__}: {error}"[:600], flush=True)
            if isinstance(error, (KeyboardInterrupt, SystemExit)) or wrong > 30:
                break
        done += 1
        if time.monotonic() > end:
            break
    signal.alarm(0)
    print(f"= {done} {told} {wrong}", flush=True)


def parser_of(kind: str, first: int, count: int, seconds: float) -> tuple[int, int, int]:
    """Damages, those that were told, those that went wrong; a crash or a hang is one of these, and the next goes on."""
    total, told, wrong, end = 0, 0, 0, time.monotonic() + seconds
    while True:
        with tempfile.TemporaryDirectory() as folder:
            left = str(max(1.0, end - time.monotonic()))
            words = [sys.executable, "-W", "ignore", __file__, "--child", kind, folder, str(first), str(count), left]
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            lines = done.stdout.splitlines()
            last = lines.pop().split() if lines and lines[-1].startswith("= ") else None
            print(*lines, sep="\n", end="\n" if lines else "", flush=True)
            if last is not None:
                a, b, c = map(int, last[1:])
                return total + a, told + b, wrong + c
            seed = int((Path(folder) / "seed").read_text()) if (Path(folder) / "seed").exists() else first
            print(f"{kind} {seed}: ended with {done.returncode}: {done.stderr[-800:]}", flush=True)
            total, wrong, count, first = total + seed + 1 - first, wrong + 1, count - (seed + 1 - first), seed + 1
            if count <= 0 or time.monotonic() > end or wrong > 30:
                return total, told, wrong


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parsers", nargs="*", metavar="PARSER", help=f"of {', '.join(PARSERS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=60, help="for each")
    parser.add_argument("--first", type=int, help="the first number; by default one that nobody had")
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    if asked.child:
        kind, folder, first, count, seconds = asked.child
        child(kind, Path(folder), int(first), int(count), float(seconds))
        return 0
    if unknown := set(asked.parsers) - set(PARSERS):
        parser.error(f"no such parser: {', '.join(sorted(unknown))}")
    bad = 0
    for kind in asked.parsers or PARSERS:
        first = random.SystemRandom().randrange(2**40) if asked.first is None else asked.first
        total, told, wrong = parser_of(kind, first, asked.count, asked.seconds)
        bad += wrong
        print(f"{kind}: {total} damages from {first}, {told} told, {wrong} wrong", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
