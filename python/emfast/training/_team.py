"""The processes of a run: one, or those that ``torchrun`` started, each with its share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import distributed

__all__ = ["Team", "team"]


@dataclass(frozen=True)
class Team:
    """Which of how many processes this is, and where it computes."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether it is the one that writes and judges."""
        return self.rank == 0

    def share(self, first: int, batch: int) -> list[int]:
        """Its samples among ``batch`` from number ``first`` on: those equal to its rank, modulo the processes."""
        return [k for k in range(first, first + batch) if k % self.size == self.rank]

    def any(self, flag: bool) -> bool:
        """Whether it is so in one of the processes."""
        if self.size == 1:
            return flag
        told = torch.tensor(float(flag), device=self.device)
        distributed.all_reduce(told, op=distributed.ReduceOp.MAX)
        return bool(told.item())

    def wait(self) -> None:
        """For the others."""
        if self.size > 1:
            distributed.barrier()

    def shared(self, module: Any) -> Any:
        """The module as it is called in training: with the mean of all processes' gradients."""
        if self.size == 1:
            return module
        ids = [self.device.index] if self.device.type == "cuda" else None
        return torch.nn.parallel.DistributedDataParallel(module, device_ids=ids)


@contextmanager
def team(device: Any = None) -> Iterator[Team]:
    """Of this process; where ``torchrun`` started it, with the others."""
    size, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    chosen = device_of(device)
    if size == 1:
        yield Team(0, 1, chosen)
        return
    if chosen.type == "cuda" and chosen.index is None:
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(chosen)
    ours = not distributed.is_initialized()
    if ours:
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Team(rank, size, chosen)
    finally:
        if ours:
            distributed.destroy_process_group()


def device_of(device: Any) -> torch.device:
    """A device of torch; by default CUDA where there is one."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be one of torch, like 'cpu' or 'cuda:0', got {device!r}") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        from ..errors import DeviceUnavailable

        raise DeviceUnavailable(f"device {device} must be a CUDA device that torch sees; it sees none")
    return found
