"""What the options of several verbs share: how they are read, and those that many verbs have. Nothing heavy is imported
here nor by the other ``_cli`` modules before a verb runs, so that help is there at once."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_threads", "ids", "numbers", "sides", "spacing"]


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
