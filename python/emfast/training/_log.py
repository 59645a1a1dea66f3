"""What a run tells of itself: a line of JSON for steps and validations, a bar, and TensorBoard where that is wanted."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .._progress import Progress
from ._hooks import Hook

if TYPE_CHECKING:
    from ._loop import Loop

__all__ = ["Board", "Log", "Show", "best_in_words", "entries", "scores_in_words"]


class Log(Hook):
    """``log.jsonl``: a line for every n-th step, one for each validation. Where a run goes on from a checkpoint, lines
    that were written after it are taken away."""

    name = "log"

    def __init__(self, folder: Path, every: int) -> None:
        self.path, self.every, self.at = folder / "log.jsonl", every, 0
        self.pace = _Pace()

    def begin(self, loop: Loop) -> None:
        self.path.touch()
        os.truncate(self.path, min(self.at, self.path.stat().st_size))
        self.pace.begin(loop)

    def report(self, loop: Loop, report: Mapping[str, Any]) -> None:
        if report["step"] % self.every == 0 or report["step"] == loop.steps:
            rate, share = self.pace(loop, report)
            line = {name: report[name] for name in ("step", "loss", "losses", "rate", "norm")}
            line |= {"seconds": round(loop.seconds, 3), "samples_per_s": rate, "wait": share, "memory": _memory(loop)}
            self._write(line)

    def validate(self, loop: Loop, scores: Mapping[str, float]) -> None:
        self._write({"step": loop.step, "validation": dict(scores), "best": loop.is_best})

    def _write(self, line: Mapping[str, Any]) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def state(self) -> dict[str, Any]:
        return {"at": self.path.stat().st_size}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.at = int(state["at"])


class _Pace:
    """Samples in a second, and the share of the time that was spent waiting for them, since the last time; by when
    steps ended, not by when they are told, and without what was done between them."""

    def begin(self, loop: Loop) -> None:
        self.last = (loop.step, 0.0, 0.0)

    def __call__(self, loop: Loop, report: Mapping[str, Any]) -> tuple[float, float]:
        now = (int(report["step"]), float(report["worked"]), float(report["waited"]))
        steps, seconds, waited = (a - b for a, b in zip(now, self.last, strict=True))
        self.last = now
        samples = steps * loop.method.batch * loop.method.accumulate
        return round(samples / max(seconds, 1e-9), 3), round(min(1.0, waited / max(seconds, 1e-9)), 4)


class Show(Hook):
    """A bar in a terminal or notebook: loss, samples/s, share of waiting, time left. Elsewhere a line for each
    validation."""

    def begin(self, loop: Loop) -> None:
        self.bar = Progress("training")
        self.bar.begin(loop.step)
        self.pace, self.text, self.next, self.loss = _Pace(), "", 0.0, math.nan
        self.pace.begin(loop)

    def report(self, loop: Loop, report: Mapping[str, Any]) -> None:
        if time.perf_counter() >= self.next:  # numbers that change ten times a second are not read
            self.next = time.perf_counter() + 1.0
            rate, share = self.pace(loop, report)
            self.text = f", {rate:.3g} samples/s, waiting {100 * share:.0f} %"
        self.bar.words = f"training: loss {report['loss']:.4g}{self.text}"
        self.bar(report["step"], loop.steps)
        self.loss = report["loss"]

    def validate(self, loop: Loop, scores: Mapping[str, float]) -> None:
        if not self.bar.shown:
            words = f"step {loop.step} of {loop.steps}: loss {self.loss:.4g}; validation: {scores_in_words(scores)}"
            print(words + ", the best so far" * loop.is_best, file=self.bar.stream, flush=True)

    def end(self, loop: Loop) -> None:
        self.bar.__exit__()


class Board(Hook):
    """The same for TensorBoard, in the folder ``tensorboard`` of the run."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("tensorboard=True needs tensorboard: pip install tensorboard") from error
        self.writer = SummaryWriter(str(folder / "tensorboard"))

    def report(self, loop: Loop, report: Mapping[str, Any]) -> None:
        for name, value in {"loss": report["loss"], "rate": report["rate"], **report["losses"]}.items():
            self.writer.add_scalar(f"train/{name}", value, report["step"])

    def validate(self, loop: Loop, scores: Mapping[str, float]) -> None:
        for name, value in scores.items():
            self.writer.add_scalar(f"validation/{name}", value, loop.step)

    def end(self, loop: Loop) -> None:
        self.writer.close()


def entries(folder: Path) -> list[dict[str, Any]]:
    """The lines of the log of a run."""
    with open(folder / "log.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def scores_in_words(scores: Mapping[str, float]) -> str:
    """Those of a validation, the loss last; its parts only where there are several."""
    names = [name for name in scores if "@" not in name]
    parts = [name for name in names if name.startswith("loss/")]
    shown = [name for name in names if name != "loss" and (len(parts) > 1 or name not in parts)]
    return ", ".join(f"{name} {scores[name]:.4g}" for name in (*shown, "loss") if name in scores)


def best_in_words(folder: Path) -> str:
    """Of the validation that the weights of a run were chosen by; empty where nothing was judged."""
    best = [line for line in entries(folder) if line.get("best")]
    return f"best at step {best[-1]['step']}: {scores_in_words(best[-1]['validation'])}" if best else ""


def _memory(loop: Loop) -> int:
    """Bytes at most so far: of the device, or of this process."""
    if loop.team.device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(loop.team.device))
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most) * (1 if sys.platform == "darwin" else 1024)
