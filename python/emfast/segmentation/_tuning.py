"""Parameters of a decoder chosen by a score: a search along one parameter after another, the same in every run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._options import integer_of
from .._progress import shown
from ._shared import ranges


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes
    ----------
    options : dict of str to number
        The best parameters, those that were not varied left out.
    score : float
    tried : tuple of (dict, float or None)
        All that was tried, in order; None where the decoder refused a combination.
    """

    options: dict[str, Any]
    score: float
    tried: tuple[tuple[dict[str, Any], float | None], ...]


def tune(
    decode: Callable[..., Any],
    cases: Sequence[tuple[Any, Any]],
    score: Callable[[Any, Any], float],
    *,
    options: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
    budget: int = 60,
    progress: Any = None,
) -> Tuned:
    """Find the parameters with which a decoder does best on volumes whose truth is known.

    Along one parameter after another it tries a step to either side, keeps what is strictly better, and halves the
    steps when no parameter gains. Parameters and their ranges are those of :func:`ranges`; counts of voxels are tried
    more finely where they are small. What is reported of other volumes must not be tuned on them.

    Parameters
    ----------
    decode : callable
        A decoder of this module, or of a recipe.
    cases : sequence of (predicted, truth)
        ``decode(predicted, **options)`` makes labels of the first.
    score : callable
        ``score(truth, labels)``, higher is better; the mean over all cases counts. NaN is worse than any number.
    options : mapping, optional
        Parameters to begin with, where they are not the defaults, and those that the decoder needs besides.
    names : sequence of str, optional
        Parameters to vary (default: all that have ranges and a default or are in ``options``).
    budget : int
        At most so many combinations are tried.
    progress : bool, str or callable, optional
        As of :func:`emfast.map_blocks`, in combinations.

    Returns
    -------
    Tuned

    Examples
    --------
    >>> import numpy as np, emfast
    >>> from emfast.segmentation import threshold_components, tune
    >>> truth = np.array([[1, 1, 0, 2, 2]])
    >>> mask = np.array([[0.9, 0.8, 0.6, 0.7, 0.9]])
    >>> found = tune(threshold_components, [(mask, truth)], lambda t, f: float((t == f).mean()), names=["threshold"])
    >>> found.options, found.score
    ({'threshold': 0.625}, 1.0)
    """
    budget = integer_of(budget, "budget", 1)
    if not cases:
        raise ValueError("cases must be at least one, got none")
    fixed = dict(options or {})
    known = {name: (low, high, fixed.get(name, start)) for name, (low, high, start) in ranges(decode).items()}
    chosen = list(known) if names is None else list(names)
    for name in chosen:
        if name not in known:
            raise ValueError(f"names must be among {', '.join(known) or 'none, for none has a range'}, got {name!r}")
    chosen = [name for name in chosen if isinstance(known[name][2], (int, float))]  # not those that are off
    search = _Search(decode, cases, score, fixed, known, budget)
    with shown(progress, words="tuning") as show:
        search.show = show
        best = {name: known[name][2] for name in chosen}
        reached = search.judge(best, must=True)
        reached = -math.inf if reached is None else reached
        step = 0.25
        while step >= 1 / 64 and search.left:
            gained = False
            for name in chosen:
                for side in (-1, 1):
                    other = {**best, name: search.moved(name, best[name], side * step)}
                    value = search.judge(other)
                    if value is not None and value > reached:
                        best, reached, gained = other, value, True
                        break
            step = step if gained else step / 2
    if reached == -math.inf:
        raise ValueError(f"score must be a number for some of the labels, got nan for all of {len(search.tried)}")
    return Tuned(best, reached, tuple(search.tried))


class _Search:
    def __init__(
        self,
        decode: Callable[..., Any],
        cases: Sequence[tuple[Any, Any]],
        score: Callable[[Any, Any], float],
        fixed: dict[str, Any],
        known: Mapping[str, tuple[float, float, Any]],
        budget: int,
    ) -> None:
        self.decode, self.cases, self.score, self.fixed, self.known = decode, cases, score, fixed, known
        self.left = budget
        self.tried: list[tuple[dict[str, Any], float | None]] = []
        self.seen: dict[tuple[Any, ...], float | None] = {}
        self.show: Callable[[int, int], object] = lambda done, of: None

    def judge(self, options: dict[str, Any], must: bool = False) -> Any:
        """The mean score; None where it is refused, or nothing is left to try with."""
        key = tuple(options.values())
        if key in self.seen or not self.left:
            return self.seen.get(key)
        self.left -= 1
        value = None
        try:
            found = [self.score(truth, self.decode(given, **{**self.fixed, **options})) for given, truth in self.cases]
            value = float(sum(found)) / len(found)
        except ValueError:  # a combination that makes no sense
            if must:
                raise
        if value is not None and math.isnan(value):  # a score that says nothing
            value = None
        self.seen[key] = value
        self.tried.append((options, value))
        self.show(len(self.tried), len(self.tried) + self.left)
        return value

    def moved(self, name: str, value: Any, by: float) -> Any:
        """The value that lies so far from another on a scale from 0 to 1."""
        low, high, start = self.known[name]
        whole = isinstance(start, int) and not isinstance(start, bool)
        place = (value - low) / (high - low)
        if not whole:
            return low + (high - low) * min(max(place + by, 0.0), 1.0)
        place = min(max(place**0.5 + by, 0.0), 1.0)
        return round(low + (high - low) * place**2)


__all__ = ["Tuned", "tune"]
