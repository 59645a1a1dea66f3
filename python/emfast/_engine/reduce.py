"""Values of blocks made one, in pairs of block order, whichever blocks end first."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

_ABSENT = object()  # the value of a block that failed


def combiner(reduce: Any) -> Callable[[Any, Any], Any]:
    """A function of two values; "+" adds."""
    if isinstance(reduce, str) and reduce == "+":
        return operator.add
    if not callable(reduce):
        raise ValueError(f"reduce must be '+' or a function of two values, got {reduce!r}")
    return reduce


class Pairs:
    """A tree over ``n`` values: (0 1)(2 3) …, then pairs of these. Values come in any order, ``put`` makes what pairs
    it can; so few wait where they come nearly in order, and the result is the same in every order.

    >>> pairs = Pairs(5, lambda a, b: f"({a}{b})")
    >>> for index in (4, 0, 3, 2, 1):
    ...     pairs.put(index, index)
    >>> pairs.result()
    '(((01)(23))4)'
    """

    def __init__(self, n: int, combine: Callable[[Any, Any], Any]) -> None:
        self.n, self.combine = n, combine
        self.waiting: dict[tuple[int, int], Any] = {}

    def put(self, index: int, value: Any) -> None:
        level, n = 0, self.n
        while n > 1:
            other = (level, index ^ 1)
            if other[1] < n:
                if other not in self.waiting:
                    break
                left, right = self.waiting.pop(other), value
                value = self._both(left, right) if index & 1 else self._both(right, left)
            level, index, n = level + 1, index >> 1, (n + 1) >> 1
        self.waiting[level, index] = value

    def skip(self, index: int) -> None:
        """This one has no value."""
        self.put(index, _ABSENT)

    def result(self) -> Any:
        """When all have come; None where there are none."""
        assert len(self.waiting) <= 1
        value = next(iter(self.waiting.values()), _ABSENT)
        return None if value is _ABSENT else value

    def _both(self, left: Any, right: Any) -> Any:
        if left is _ABSENT or right is _ABSENT:
            return left if right is _ABSENT else right
        return self.combine(left, right)
