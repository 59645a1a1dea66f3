"""A trained network with all that is needed to use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    """

    module: Module
    method: Method
    constants: Constants
    spacing: tuple[float, ...] = (1.0, 1.0, 1.0)
    decode: Callable[..., Any] | None = None
    recipe: str | None = None
    place: str = ""

    @property
    def device(self) -> Any:
        """Of the module."""
        return next(iter(self.module.parameters())).device
