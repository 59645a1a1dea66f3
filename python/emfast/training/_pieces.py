"""What a run learns from, as pieces: from arrays, places, samples of a dataset or pieces themselves.

What is small enough is read into memory once; of the rest each crop is read when it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._engine.plan import bytes_of
from ..sampling import Piece
from ..sampling._gathering import WANTED, Part, gathered, held_out, nbytes
from ..sampling._gathering import in_memory as read

__all__ = ["Part", "has_labels", "held_out", "in_memory", "pieces_of"]


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


def in_memory(pieces: Sequence[Piece], memory: str | float) -> list[Piece]:
    """The pieces, read into memory where all of them together take no more than that."""
    if sum(map(nbytes, pieces)) > bytes_of(memory):
        return list(pieces)
    return [read(piece) for piece in pieces]
