"""The loop: steps of an optimiser over batches of samples, with validations and checkpoints between.

Step s is a function of the state before it and of (seed, s) alone: its samples are numbered, and torch's random
numbers (dropout) are seeded anew at each step. So a run that goes on from a checkpoint is the run that never stopped.

The numbers of a step are read when the next one is on its way, so that a device never waits for this process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import Diverged
from ..recipes import Method
from ._hooks import Hook
from ._loader import Batch, Loader
from ._schedule import factor, optimiser_of
from ._supervised import as_numpy
from ._team import Team

__all__ = ["Loop"]

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class _Pending(NamedTuple):
    """A step whose numbers are not read yet."""

    step: int
    batches: list[Batch]
    losses: torch.Tensor  # all told, then by name
    names: list[str]
    norm: torch.Tensor
    rate: float
    seconds: float  # of work up to its end, as this process sees it
    waited: float


class Loop:
    """A run under way; what hooks see.

    Attributes
    ----------
    method : Method
    module : the network that learns
    judged : the one that is judged and kept: the same, or an average of it
    teaching : what samples and losses are
    optimiser, scaler, team, folder, hooks
    step, steps : how many are done, and of how many
    best : the best value of the criterion so far, or None
    is_best : whether the last validation gave it
    """

    def __init__(
        self,
        method: Method,
        module: Any,
        teaching: Any,
        team: Team,
        folder: Path,
        *,
        seed: int,
        precision: str = "float32",
        hooks: Sequence[Hook] = (),
        workers: int = 1,
        validation: Any = None,
        validate_every: int = 0,
        save_every: int = 0,
        criterion: str = "loss",
        save: Any = None,
    ) -> None:
        self.method, self.module, self.teaching, self.team, self.folder = method, module, teaching, team, folder
        self.seed, self.hooks, self.workers = seed, list(hooks), workers
        self.validation, self.validate_every, self.save_every = validation, validate_every, save_every
        self.criterion, self.save = criterion, save
        self.judged = module
        self.optimiser = optimiser_of(method.optimiser, module.parameters())
        self.kind = PRECISIONS[precision]
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=self.kind is torch.float16)
        self.step, self.steps = 0, method.steps
        self.best: float | None = None
        self.is_best = False
        self.reason = ""
        self.seconds = 0.0  # of all processes of this run
        self._forward: Any = None
        self._loader: Any = None
        self._since = 0.0  # when the first step began, and the time that was spent between steps
        self._parameters = [p for p in module.parameters() if p.requires_grad]

    def stop(self, reason: str) -> None:
        """End the run after this step."""
        self.reason = reason

    # ---- the run

    def run(self) -> None:
        """From the step where it stands to the last one."""
        self._forward = self.team.shared(self.module)
        self._loader = self._load()
        for hook in self.hooks:
            hook.begin(self)
        batches: Any = iter(self._loader)
        pending: _Pending | None = None
        before, first = self.seconds, time.perf_counter()
        self._since = first
        stopped = self.team.any(bool(self.reason))
        try:
            while self.step < self.steps and not stopped:
                now = self._update([next(batches) for _ in range(self.method.accumulate)])
                if pending is not None:
                    self._tell(pending)
                pending = now
                self.step += 1
                self.seconds = before + time.perf_counter() - first
                for hook in self.hooks:
                    hook.step(self)
                stopped = self.team.any(bool(self.reason))
                if stopped or self.step == self.steps or self._due(self.validate_every) or self._due(self.save_every):
                    self._tell(pending)
                    pending = None
                    since = time.perf_counter()
                    self._between(stopped)
                    self._since += time.perf_counter() - since
                    stopped = self.team.any(bool(self.reason))
        finally:
            batches.close()
        for hook in self.hooks:
            hook.end(self)

    def _due(self, every: int) -> bool:
        return bool(every) and self.step % every == 0

    def _between(self, stopped: bool) -> None:
        """Judge and keep what is learnt so far; what was stopped is kept at once."""
        judged = bool(self.validate_every) and not stopped
        judged = judged and (self.step == self.steps or self._due(self.validate_every))
        if judged and self.team.first:
            self._validate()
        if self.team.first and self.save is not None:
            self.save(self, best=judged and self.is_best)
        self.team.wait()

    def _load(self) -> Loader:
        team, size = self.team, self.method.batch * self.method.accumulate

        def numbers() -> Any:
            for step in range(self.step, self.steps):
                for part in range(self.method.accumulate):
                    yield team.share(step * size + part * self.method.batch, self.method.batch)

        pinned = team.device.type == "cuda"
        return Loader(self.teaching.sample, numbers(), workers=self.workers, ahead=3, pinned=pinned)

    def _update(self, batches: list[Batch]) -> _Pending:
        """One step of the optimiser over the batches that are accumulated."""
        torch.manual_seed(_seed(self.seed, self.step, self.team.rank))
        rate = self.method.optimiser.rate * factor(self.method.optimiser, self.step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        self.module.train()
        sums: torch.Tensor | None = None
        names: list[str] = []
        for k, batch in enumerate(batches):
            last = k == len(batches) - 1
            with nullcontext() if last or self.team.size == 1 else self._forward.no_sync():
                values, names = self._backward(batch, len(batches))
            sums = values if sums is None else sums + values
        assert sums is not None
        self.scaler.unscale_(self.optimiser)
        most = self.method.optimiser.clip
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, float("inf") if most is None else most)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return _Pending(
            self.step, batches, sums, names, norm.detach(), rate, time.perf_counter() - self._since, self._loader.waited
        )

    def _backward(self, batch: Batch, parts: int) -> tuple[torch.Tensor, list[str]]:
        device = self.team.device
        there = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
        with self._cast():
            outputs = self.teaching.outputs(self._forward, there)
        outputs = {name: value.float() for name, value in outputs.items()}
        total, by_name = self.teaching.loss(outputs, there)
        self.scaler.scale(total / parts).backward()
        values = torch.stack([total, *by_name.values()]).detach() / parts
        return values, list(by_name)

    def _cast(self) -> Any:
        return torch.autocast(self.team.device.type, self.kind) if self.kind else nullcontext()

    def _tell(self, pending: _Pending) -> None:
        """Check the numbers of a step, and tell the hooks."""
        loss, *parts = pending.losses.tolist()
        norm = float(pending.norm)
        seconds = pending.seconds
        if self.team.device.type != "cpu":  # was still at it when the step was handed over, and is not now
            seconds = time.perf_counter() - self._since
        # A gradient that float16 cannot hold is skipped by the scaler, which then scales less.
        if not np.isfinite(loss) or (not np.isfinite(norm) and not self.scaler.is_enabled()):
            raise Diverged(self._keep(pending, loss, norm))
        report = {
            "step": pending.step + 1,
            "loss": loss,
            "losses": dict(zip(pending.names, parts, strict=True)),
            "norm": norm,
            "rate": pending.rate,
            "worked": seconds,
            "waited": pending.waited,
        }
        for hook in self.hooks:
            hook.report(self, report)

    def _keep(self, pending: _Pending, loss: float, norm: float) -> str:
        """The batch that made no sense, in a file; the words to stop with."""
        path = self.folder / f"diverged-{pending.step + 1}-{self.team.rank}.npz"
        arrays = {f"{k}/{n}": a for k, batch in enumerate(pending.batches) for n, a in as_numpy(batch).items()}
        np.savez(path, **arrays)
        what = f"loss must stay finite, got {loss}" if not np.isfinite(loss) else f"gradient must be finite, got {norm}"
        return f"{what} at step {pending.step + 1}; its batch is {path}. A lower optimiser.rate or a clip may help"

    def _validate(self) -> None:
        scores = self.validation(self.judged)
        value = scores.get(self.criterion)
        if value is None:
            raise ValueError(f"best must be one of {', '.join(scores)}, got {self.criterion!r}")
        better = _is_less_better(self.criterion)
        self.is_best = self.best is None or (value < self.best if better else value > self.best)
        if self.is_best:
            self.best = value
        for hook in self.hooks:
            hook.validate(self, scores)

    # ---- its state

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "step": self.step,
            "best": self.best,
            "criterion": self.criterion,
            "seconds": self.seconds,
            "module": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict(),
            "hooks": {hook.name: hook.state() for hook in self.hooks if hook.name},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.best = state["best"] if state["criterion"] == self.criterion else None  # of another score it says nothing
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        for hook in self.hooks:
            if hook.name in state["hooks"]:
                hook.restore(state["hooks"][hook.name])


def _is_less_better(criterion: str) -> bool:
    return not criterion.endswith(("iou", "dice", "accuracy"))


def _seed(seed: int, step: int, rank: int) -> int:
    """A number of 63 bits for a step of a process."""
    return int(np.random.SeedSequence((seed, step, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))
