"""The native modules: ``host`` is always there, the CUDA module is loaded on first use.

Tests put ``_emu`` (the GPU's schedule on scrambled host threads) in the place of ``host``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from . import _core
from .errors import DeviceUnavailable

host: ModuleType = _core


def cuda_module() -> ModuleType:
    """The CUDA module, or DeviceUnavailable with the reason."""
    try:
        return importlib.import_module("emfast._cuda")
    except ModuleNotFoundError as error:
        if error.name != "emfast._cuda":
            raise
        raise DeviceUnavailable(
            "this build of emfast has no CUDA module: it was built where no CUDA compiler was found. "
            "Install a wheel with CUDA, or build from source with nvcc on PATH (or EMFAST_CUDA_FROM_PIP=true)"
        ) from None
    except ImportError as error:
        raise DeviceUnavailable(f"the CUDA module of emfast cannot be loaded: {error}") from error


def set_threads(n: int) -> None:
    """Use ``n`` threads in every later call; 0 goes back to the default.

    The default is the number of processors this process may use (affinity and cgroup quota), or
    ``EMFAST_THREADS`` where that is set. Results never depend on it.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 0 or n > 4096:
        raise ValueError(f"n must be an integer from 0 to 4096, got {n!r}")
    _core.set_threads(n)
    if host is not _core:
        host.set_threads(n)


def get_threads() -> int:
    """The number of threads a call may use."""
    return int(_core.get_threads())


@contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """No more than ``n`` threads in calls of this Python thread, whatever was set for all; 0 is no limit."""
    modules = {_core, host}
    before = [module.limit_threads(n) for module in modules]
    try:
        yield
    finally:
        for module, limit in zip(modules, before, strict=True):
            module.limit_threads(limit)
