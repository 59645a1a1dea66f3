"""Supervised methods of the literature, one short file each: ``METHOD``, ``decode`` and what is to be said of them."""

from ._detection import Detection
from ._flooding import Flooding
from ._method import Head, Inference, Method, Normalisation, Optimiser, Procedure, Recipe, Term

__all__ = [
    "Detection",
    "Flooding",
    "Head",
    "Inference",
    "Method",
    "Normalisation",
    "Optimiser",
    "Procedure",
    "Recipe",
    "Term",
    "get",
    "names",
]


def names() -> list[str]:
    """Of all recipes."""
    from pathlib import Path

    return sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))


def get(name: str) -> Recipe:
    """A recipe by name: that of the module ``emfast.recipes.NAME``."""
    from importlib import import_module

    from .._settings import _nearest

    known = names()
    if name not in known:
        raise ValueError(f"recipe must be one of {', '.join(known)}, got {name!r}{_nearest(name, known)}")
    recipe: Recipe = import_module(f"{__name__}.{name}").RECIPE
    return recipe
