"""Checkpoints: all that a run needs to go on, and models that are made of them. Each appears when it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from .. import _files, _settings
from ..inference._constants import Constants
from ..inference._decode import decoder_of
from ..inference._model import Model
from ..recipes import Method, get
from ._team import device_of

__all__ = ["load", "read", "write"]

LAST, BEST = "last.pt", "best.pt"


def write(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all."""
    with _files.beside(path) as part:
        torch.save(state, part)


def read(path: Path, device: Any = "cpu") -> dict[str, Any]:
    """What was written there; plain values and tensors, no code."""
    try:
        found: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} must be a checkpoint of emfast: {error}") from error
    return found


def load(run: Any, which: str = "best", *, device: Any = None) -> Model:
    """The model of a run.

    Parameters
    ----------
    run : path
        The folder of a run of :func:`emfast.train`.
    which : "best" or "last"
        By the validations, or the last one that was kept; a run without validation has the last one only.
    device : device of torch, optional
        By default CUDA where there is one.

    Returns
    -------
    Model
    """
    folder = Path(run)
    if which not in ("best", "last"):
        raise ValueError(f'which must be "best" or "last", got {which!r}')
    path = folder / (BEST if which == "best" else LAST)
    if which == "best" and not path.exists():
        path = folder / LAST
    if not path.exists():
        raise FileNotFoundError(f"run must be the folder of a run with a checkpoint, there is none in {folder}")
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    recipe = get(about["recipe"]) if about["recipe"] else None  # whose module may have kinds that the file names
    method = _settings.read(Method, folder / "method.yaml")
    chosen = device_of(device)
    module = method.network.build(method.channels, method.outputs())
    module.load_state_dict(read(path)["model"])
    return Model(
        module=module.to(chosen).eval(),
        method=method,
        constants=Constants(**about["normalisation"]),
        spacing=tuple(about["spacing"]),
        decode=decoder_of(method) if recipe is None else recipe.decode,
        recipe=about["recipe"],
        place=str(path),
        dtype=about.get("dtype", ""),
    )
