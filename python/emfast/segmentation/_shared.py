"""What decoders share: ranges of parameters, checks of what networks predict, sizes of objects."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, get_type_hints

import numpy as np

from .._arrays import take
from .._options import number_of
from ..components import connected_components
from ..labels import dust, mask, refit, renumber, unique


@dataclass(frozen=True)
class Between:
    """The range of a parameter, ends included, as a search should try it."""

    low: float
    high: float


Probability = Annotated[float, Between(0.0, 1.0)]
Distance = Annotated[float, Between(-1.0, 1.0)]
Nanometres = Annotated[float, Between(0.0, 100.0)]
Voxels = Annotated[int, Between(0, 2000)]


def ranges(decoder: Callable[..., Any]) -> dict[str, tuple[float, float, Any]]:
    """The parameters of a decoder that a search may vary.

    Parameters
    ----------
    decoder : function of this module

    Returns
    -------
    dict
        Name -> (lowest, highest, default).

    Examples
    --------
    >>> import emfast
    >>> emfast.segmentation.ranges(emfast.segmentation.threshold_components)
    {'threshold': (0.0, 1.0, 0.5), 'below': (0, 2000, 0)}
    """
    hints = get_type_hints(getattr(decoder, "func", decoder), include_extras=True)  # a partial has those of its own
    found = {}
    for name, parameter in inspect.signature(decoder).parameters.items():
        for note in getattr(hints.get(name), "__metadata__", ()):
            if isinstance(note, Between):
                found[name] = (note.low, note.high, parameter.default)
    return found


def probability_of(array: Any, name: str) -> Any:
    """The array as it is, if it holds probabilities: uint8, or floats from 0 to 1."""
    array = as_array(array)
    values = take(array, name, kinds="uf")
    if values.dtype.kind == "u":
        if values.dtype != np.uint8:
            raise TypeError(f"{name} must be uint8 or floats, got {values.dtype}")
        return array
    if values.size and not (float(array.min()) >= 0 and float(array.max()) <= 1):
        raise ValueError(f"{name} must be from 0 to 1, got values from {float(array.min())} to {float(array.max())}")
    return array


def as_array(array: Any) -> Any:
    """NumPy's of lists, others as they are."""
    return np.asarray(array) if isinstance(array, (list, tuple)) else array


def at_least(probability: Any, threshold: float, name: str) -> Any:
    """Where probabilities reach the threshold; v of uint8 counts as v / 255 exactly, the threshold as its decimals."""
    threshold = number_of(threshold, name, 0, 1)
    if str(probability.dtype).endswith("uint8"):
        return probability >= math.ceil(Fraction(repr(threshold)) * 255)
    return probability >= threshold


def finite(array: Any, name: str) -> None:
    low, high = (float(array.min()), float(array.max())) if math.prod(array.shape) else (0.0, 0.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"{name} must be finite, got values from {low} to {high}")


def same_shape(array: Any, other: Any, name: str) -> None:
    if tuple(array.shape) != tuple(other.shape):
        raise ValueError(f"{name} must have the shape of probability {tuple(array.shape)}, got {tuple(other.shape)}")


def height_of(probability: Any) -> Any:
    """A map that is low where the probability is high, in a dtype the watershed takes."""
    if str(probability.dtype).endswith("uint8"):
        return 255 - probability
    return cast(-probability, "float32")


def cast(array: Any, dtype: str) -> Any:
    if hasattr(array, "astype"):
        return array.astype(dtype)
    return array.to(getattr(sys.modules["torch"], dtype))


def components_of(inside: Any, connectivity: int, below: int) -> Any:
    labels = connected_components(inside, connectivity=connectivity)
    return renumber(dust(labels, below=below, connectivity=connectivity))[0] if below else labels


def sized(labels: Any, below: int) -> Any:
    """Labels of at least so many voxels, numbered by first appearance in the smallest dtype that holds them."""
    if below:
        ids, counts = unique(labels, counts=True)
        labels = mask(labels, ids[counts < below])
    return refit(renumber(labels)[0])


def whole_number(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value < 2**31:
        raise ValueError(f"{name} must be a whole number of at least {least} and below 2**31, got {value!r}")
    return int(value)
