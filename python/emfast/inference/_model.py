"""A trained network with all that is needed to use it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import _settings
from ..nn import Module
from ..recipes import Method
from ._constants import Constants

__all__ = ["Model"]


@dataclass
class Model:
    """What :func:`emfast.training.load` gives and :func:`emfast.predict` takes.

    Attributes
    ----------
    module : Module
        In the state for use, on its device.
    method : Method
    constants : Constants
        By which images are normalised.
    spacing : (z, y, x) in nanometres
        Of the training images.
    decode : callable or None
        Makes labels of the outputs: that of the recipe, or one that the targets of the method ask for.
    recipe : str or None
    place : str
        Where it was read.
    dtype : str
        Of the training images; empty where that is not known.
    """

    module: Module
    method: Method
    constants: Constants
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
    decode: Callable[..., Any] | None = None
    recipe: str | None = None
    place: str = ""
    dtype: str = ""

    def words(self) -> str:
        """A checksum of weights, settings and constants."""
        import torch

        found = hashlib.sha256(repr((_settings.dumps(self.method), self.constants)).encode())
        for name, tensor in self.module.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()

    @property
    def device(self) -> Any:
        """Of the module."""
        return next(iter(self.module.parameters())).device
