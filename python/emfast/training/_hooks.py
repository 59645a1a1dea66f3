"""What happens beside the steps of a run: hooks, called in their order at its beginning, after steps, after
validations and at its end."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from ._loop import Loop

__all__ = ["Average", "Hook", "Patience"]


class Hook:
    """Does something beside a run; a subclass has what it needs of these.

    A hook sees the :class:`Loop` and may change it: ``loop.stop("why")`` ends the run after the step, ``loop.judged``
    is the module that is judged and kept. What ``state`` gives, plain values and tensors, is in every checkpoint, and
    comes back by ``restore`` before ``begin`` where a run goes on. ``name`` is what it is called there.
    """

    name = ""

    def begin(self, loop: Loop) -> None:
        """Before the first step of this process."""

    def step(self, loop: Loop) -> None:
        """After a step of the optimiser. What its loss was is not known yet: the device may still be at it."""

    def report(self, loop: Loop, report: Mapping[str, Any]) -> None:
        """When the numbers of a step are known, which may be after the next one."""

    def validate(self, loop: Loop, scores: Mapping[str, float]) -> None:
        """After a validation."""

    def end(self, loop: Loop) -> None:
        """After the last step."""

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from that state."""


class Average(Hook):
    """Weights averaged over steps, w = decay * w + (1 - decay) * new; these are judged and kept as the result.

    Over the first steps the decay is (1 + n) / (10 + n) where that is less. Statistics of the data are copied.
    """

    name = "average"

    def __init__(self, decay: float) -> None:
        if not 0 < decay < 1:
            raise ValueError(f"ema must be between 0 and 1, got {decay}")
        self.decay = decay
        self.module: Any = None
        self.kept: Mapping[str, Any] | None = None

    def begin(self, loop: Loop) -> None:
        self.module = copy.deepcopy(loop.module).eval().requires_grad_(False)
        if self.kept is not None:
            self.module.load_state_dict(self.kept)
        loop.judged = self.module

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, loop: Loop) -> None:
        decay = min(self.decay, (1 + loop.step) / (10 + loop.step))
        ours, theirs = list(self.module.parameters()), list(loop.module.parameters())
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        for ours_, theirs_ in zip(self.module.buffers(), loop.module.buffers(), strict=True):
            ours_.copy_(theirs_)

    def state(self) -> dict[str, Any]:
        return {"module": self.module.state_dict()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.kept = state["module"]


class Patience(Hook):
    """Stops where so many validations in a row were no better than the best before them."""

    name = "patience"

    def __init__(self, validations: int) -> None:
        self.most, self.since = validations, 0

    def validate(self, loop: Loop, scores: Mapping[str, float]) -> None:
        self.since = 0 if loop.is_best else self.since + 1
        if self.since >= self.most:
            loop.stop(f"no better since {self.since} validations")

    def state(self) -> dict[str, Any]:
        return {"since": self.since}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.since = int(state["since"])
