"""Is there a GPU, and if not, why not. Importing this module loads no CUDA; asking does."""

from __future__ import annotations

from dataclasses import dataclass

from . import _native
from .errors import DeviceUnavailable

__all__ = ["Status", "is_available", "require", "status"]


@dataclass(frozen=True)
class Status:
    """What emfast knows of CUDA on this machine."""

    built: bool
    available: bool
    devices: int
    reason: str
    details: str

    def __str__(self) -> str:
        head = "CUDA is available" if self.available else f"CUDA is not available: {self.reason}"
        return "\n".join([head, *self.details.splitlines()])


def status() -> Status:
    """Built?, toolkit, driver, devices, and the reason where no device can be used. Never raises."""
    try:
        module = _native.cuda_module()
    except DeviceUnavailable as error:
        return Status(False, False, 0, str(error), "")
    count, reason = module.device_count()
    return Status(True, count > 0, count, reason, module.describe())


def is_available() -> bool:
    """True if this build has the CUDA module and a device answers. Never raises."""
    return status().available


def require() -> None:
    """Raise DeviceUnavailable, with the reason, unless a device can be used."""
    now = status()
    if not now.available:
        raise DeviceUnavailable(now.reason)
