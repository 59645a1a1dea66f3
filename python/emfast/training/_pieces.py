"""What a run learns from, as pieces: from arrays, places, samples of a dataset or pieces themselves.

What is small enough is read into memory once; of the rest each crop is read when it is needed.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._engine.plan import bytes_of
from ..sampling import Piece
from ..sampling._gathering import WANTED, Part, gathered, held_out, nbytes
from ..sampling._gathering import in_memory as read

__all__ = ["Part", "check_ids", "has_labels", "held_out", "in_memory", "pieces_of", "tell_odd_image"]

_LOOK = 8  # sections of a piece that are looked at where all of them would take long


def pieces_of(data: Any, name: str = "data", *, split: str = "train", spacing: Any = None) -> list[Piece]:
    """Pieces of what the user gave; none of them is read yet.

    Parameters
    ----------
    data : Piece, Sample, str, tuple or a list of these
        Pieces; the name of a dataset of :mod:`emfast.data`, of which the samples of that split are taken, or samples of
        one; or image, labels and perhaps a mask: arrays, volumes or places, labels and masks also by name.
    split : "train" or "validation"
    spacing : (z, y, x) in nanometres, optional
        In the place of what files and datasets say.

    Returns
    -------
    list of Piece
    """
    wanted = (*WANTED[split], "")
    return [piece for piece, said in gathered(data, name, spacing=spacing) if said in wanted]


def has_labels(piece: Piece, name: str) -> bool:
    """Whether any voxel that is known bears a label; read section by section, up to the first."""
    labels, known = piece.labels[name], piece.masks.get(name)
    for z in range(piece.shape[0]):
        found = np.asarray(labels[z : z + 1]) != 0
        if known is not None:
            found &= np.asarray(known[z : z + 1]).astype(bool, copy=False)
        if found.any():
            return True
    return False


def check_ids(piece: Piece, name: str) -> None:
    """Refuse labels below 0 where they are known: they are no objects. Of what is not in memory some sections are
    read."""
    labels, known = piece.labels[name], piece.masks.get(name)
    if np.dtype(labels.dtype).kind != "i":
        return
    for z in _sections(piece, piece.shape[0] if isinstance(labels, np.ndarray) else _LOOK):
        found = np.asarray(labels[z : z + 1])
        below = found < 0
        if known is not None:
            below &= np.asarray(known[z : z + 1]).astype(bool, copy=False)
        if below.any():
            raise ValueError(
                f"labels must be ids from 0 on, got {found[below].min()} in {name!r} of {piece.name or 'the data'}; "
                f"where nothing is known give a mask, that is 0 there"
            )


def tell_odd_image(piece: Piece) -> None:
    """Warn of an image of two values or one, in some sections."""
    found: set[Any] = set()
    for z in _sections(piece, _LOOK):
        section = np.asarray(piece.image[:, z : z + 1, :, :])
        low, high = section.min(), section.max()
        found |= {low.item(), high.item()}
        if len(found) > 2 or ((section != low) & (section != high)).any():
            return
    if found:
        values = " and ".join(f"{value:g}" for value in sorted(found))
        warnings.warn(
            f"image {piece.name or 'of the data'} has only the value{'s' * (len(found) > 1)} {values}: are image and "
            f"labels exchanged?",
            stacklevel=3,
        )


def _sections(piece: Piece, most: int) -> list[int]:
    """At most so many, from the first to the last."""
    depth = piece.shape[0]
    return list(range(depth)) if depth <= most else np.linspace(0, depth - 1, most).round().astype(int).tolist()


def in_memory(pieces: Sequence[Piece], memory: str | float) -> list[Piece]:
    """The pieces, read into memory where all of them together take no more than that."""
    if sum(map(nbytes, pieces)) > bytes_of(memory):
        return list(pieces)
    return [read(piece) for piece in pieces]
