"""What the options of several verbs share: how they are read, and those that many verbs have. Nothing heavy is imported
here nor by the other modules of this folder before a verb runs, so that help is there at once."""

from __future__ import annotations

import argparse
from functools import cache
from typing import Any

__all__ = ["add_threads", "blocks", "engine", "ids", "numbers", "sides", "spacing"]


def spacing(text: str) -> tuple[float, ...]:
    """Nanometres, one number for each axis."""
    return _floats(text, "40,4,4")


def numbers(text: str) -> tuple[float, ...]:
    """Thresholds and the like."""
    return _floats(text, "0.3,0.5,0.7")


def sides(text: str) -> tuple[int, ...]:
    """Voxels along each axis."""
    return _integers(text, "64,512,512")


def ids(text: str) -> tuple[int, ...]:
    """Labels."""
    return _integers(text, "7,12")


def add_threads(verb: Any) -> None:
    """How many processors a verb uses; :func:`emfast.cli.main` sees to it."""
    verb.add_argument("--threads", type=int, default=0, help="default: all processors this process may use")


@cache  # made once for all verbs: help is there sooner
def engine() -> argparse.ArgumentParser:
    """The parent of verbs that work block by block: how they do."""
    parent = argparse.ArgumentParser(add_help=False)
    group = parent.add_argument_group("volumes larger than memory")
    group.add_argument("--memory", metavar="SIZE", help="a bound like 4GB for all that is held, or by each Dask worker")
    group.add_argument("--workers", type=int, metavar="N", help="blocks at once (default: one for each thread)")
    group.add_argument("--block", type=sides, metavar="Z,Y,X", help="voxels of a block (default: as memory lets)")
    group.add_argument("--dask", metavar="ADDRESS", help="of a Dask cluster that does the work, as tcp://host:8786")
    group.add_argument(
        "--on-corrupt",
        default="error",
        choices=("error", "skip"),
        help="skip: damaged pieces of what is read count as 0 and are told in the end",
    )
    return parent


@cache
def blocks() -> argparse.ArgumentParser:
    """The same, of those that write in blocks too: what lies between is in a folder, and there is a plan."""
    parent = argparse.ArgumentParser(add_help=False, parents=[engine()])
    group = parent._action_groups[-1]
    group.add_argument("--work", metavar="DIR", help="for what lies between, kept (default: OUT.work)")
    group.add_argument("--dry-run", action="store_true", help="only say what would be done: blocks, memory")
    return parent


def _floats(text: str, example: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be numbers like {example}, got {text!r}") from None


def _integers(text: str, example: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be integers like {example}, got {text!r}") from None
