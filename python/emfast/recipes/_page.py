"""docs/recipes.md, made of the recipes: a table of all, and a part for each with its settings in short."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .. import segmentation
from . import get, names
from ._method import Head, Method, Recipe

__all__ = ["page"]

TOP = """# Recipes

Methods of the literature as settings, each in one short file of `emfast.recipes`. This page is made of them by
`python -m emfast.recipes docs/recipes.md`.

```
emfast train --recipe NAME ...    learn it
emfast predict, emfast segment    use it
```

Every recipe has a narrow variant for laptops and tests (`emfast.recipes.get(NAME).shrunk()`). Most settings are left
out below where they have their default. What a paper does not tell, or what could not be checked, stands under
*unknown*; what we made otherwise under *changed*. Scores are those of papers, not ours.
"""

ALWAYS = {  # settings that are told whatever they are
    "UNet": ("block", "norm", "activation", "up", "skip"),
    "Inference": ("blend", "overlap", "symmetries"),
}


def page() -> str:
    """The whole page."""
    recipes = sorted((get(name) for name in names()), key=lambda r: (r.number or 1000, r.name))
    counts = {recipe.name: _counted(recipe.method) for recipe in recipes}
    head = "| recipe | no. | task | network | parameters | heads | decoder |\n|---|---|---|---|---|---|---|\n"
    rows = "".join(_row(recipe, counts[recipe.name][0]) for recipe in recipes)
    return "\n".join([TOP, head + rows, *(_part(recipe, *counts[recipe.name]) for recipe in recipes)])


def _row(recipe: Recipe, parameters: str) -> str:
    method = recipe.method
    heads = ", ".join(f"{head.name}: {_kind(head.target)}" for head in method.heads)
    number = str(recipe.number) if recipe.number else "baseline"
    cells = (f"[{recipe.name}](#{recipe.name})", number, recipe.task, _kind(method.network), parameters, heads)
    return f"| {' | '.join(cells)} | {_first(recipe.decode)} |\n"


def _part(recipe: Recipe, parameters: str, field: str) -> str:
    method = recipe.method
    of = f" of {_box(method.spacing)} nm" if method.spacing else ""
    lines = {
        "network": _told(method.network) + (f"; {parameters} parameters, sees {field} voxels" if parameters else ""),
        "patch": f"{_box(method.patch)}{of}, batch {method.batch}, {method.steps} steps",
        "heads": "<br>".join(_head(head) for head in method.heads),
        "auxiliary": ", ".join(f"{share:g}" for share in method.auxiliary),
        "sampler": _told(method.sampler),
        "augmentation": ", ".join(_told(step) for step in method.augmentation.steps) or "none",
        "optimiser": f"{method.optimiser.name}: {_told(method.optimiser)}",
        "averaged weights": f"decay {method.ema:g}" if method.ema else "",
        "procedure": _told(method.procedure) if method.procedure else "",
        "images": method.normalisation.kind,
        "inference": _told(method.inference),
        "decoder": _decoder(recipe),
        "changed": recipe.changed,
        "unknown": recipe.unknown,
    }
    table = "".join(f"| {name} | {text} |\n" for name, text in lines.items() if text)
    about = " ".join((inspect.getdoc(sys.modules[f"{__package__}.{recipe.name}"]) or "").split())
    about = about.replace("``", "`")
    return f"## {recipe.name}\n\n**{recipe.title}.** {about}\n\n{recipe.paper}\n\n| | |\n|---|---|\n{table}"


def _counted(method: Method) -> tuple[str, str]:
    """Parameters, and how far a voxel of the output sees. Of other packages' networks neither is said, so that the page
    is the same where they are not installed."""
    if type(method.network).__module__.endswith(".nn.foreign"):
        return "", ""
    with torch.device("meta"):
        module = method.network.build(method.channels, method.outputs())
    count = sum(parameter.numel() for parameter in module.parameters())
    short = f"{count / 1e6:.3g} M" if count >= 1e6 else f"{count / 1e3:.3g} k"
    return short, _box(module.geometry.field)


def _head(head: Head) -> str:
    losses = " + ".join(f"{term.weight:g} " * (term.weight != 1) + _told(term.loss) for term in head.terms)
    weight = f", weight {head.weight:.3g}" if head.weight != 1 else ""
    return f"{head.name}: {_told(head.target)}, {head.outputs} {head.activation}; {losses}{weight}"


def _decoder(recipe: Recipe) -> str:
    found = segmentation.ranges(recipe.decode)
    options = ", ".join(f"{name} {default:g} ({low:g} to {high:g})" for name, (low, high, default) in found.items())
    blocks = "; block by block too" if recipe.segment else ""
    return f"{_first(recipe.decode).rstrip('.')}{blocks}. {options}"


def _first(function: Any) -> str:
    """The first paragraph of what a function says of itself."""
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split()).replace("``", "`")


def _kind(settings: Any) -> str:
    return type(settings).__name__


def _told(value: Any) -> str:
    """Settings in short: what is not by default, or always told; levels side by side."""
    if dataclasses.is_dataclass(value):
        always = ALWAYS.get(_kind(value), ())
        parts = [
            f"{field.name} {_told(found)}" if not isinstance(found, bool) else f"{'' if found else 'not '}{field.name}"
            for field in dataclasses.fields(value)
            if (found := getattr(value, field.name)) != _default(field) or field.name in always
        ]
        return f"{_kind(value)}({', '.join(parts)})" if parts else _kind(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_told(each)}" for name, each in value.items())
    if isinstance(value, (tuple, list)):
        return _listed(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _listed(values: Sequence[Any]) -> str:
    """A box of three numbers, or values; settings of one kind with each field once where it is the same for all."""
    if len(values) == 3 and all(isinstance(v, int) for v in values):
        return _box(values)
    kinds = {type(v) for v in values}
    if len(values) < 2 or len(kinds) > 1 or not dataclasses.is_dataclass(values[0]):
        return f"[{', '.join(_told(v) for v in values)}]"
    parts = []
    for field in dataclasses.fields(values[0]):
        found = [_told(getattr(v, field.name)) for v in values]
        if len(set(found)) > 1:
            parts.append(f"{field.name} {' / '.join(found)}")
        elif getattr(values[0], field.name) != _default(field):
            parts.append(f"{field.name} {found[0]}")
    return f"{len(values)} of {_kind(values[0])}({', '.join(parts)})"


def _box(sides: Sequence[float]) -> str:
    return "x".join(f"{side:g}" for side in sides)


def _default(field: Any) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default
