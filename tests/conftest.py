"""Fixtures shared by all tests.

``backend`` runs a test once per executor: ``core`` (host threads), ``emu`` (the GPU's schedule on scrambled host
threads) and, where a device answers, ``cuda``. ``backend(array)`` gives the array as that executor takes it, and
``backend.host(result)`` brings a result back to NumPy.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import emfast
from emfast import _core, _native

_quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("dev", deadline=None, max_examples=40, suppress_health_check=_quiet)
settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True, suppress_health_check=_quiet)
settings.register_profile("night", deadline=None, max_examples=2000, suppress_health_check=_quiet)
settings.register_profile("sanitize", deadline=None, max_examples=8, derandomize=True, suppress_health_check=_quiet)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

try:
    from emfast import _emu
except ImportError:  # a wheel has no _emu
    _emu = None

BACKENDS = ["core"] + (["emu"] if _emu else []) + (["cuda"] if emfast.cuda.is_available() else [])


class Backend:
    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, array):
        if self.name != "cuda":
            return np.asarray(array)
        import cupy

        return cupy.asarray(array)

    @staticmethod
    def host(result):
        return result.get() if hasattr(result, "get") and not isinstance(result, dict) else np.asarray(result)


@pytest.fixture(params=BACKENDS)
def backend(request, monkeypatch):
    if request.param == "emu":
        monkeypatch.setattr(_native, "host", _emu)
    return Backend(request.param)


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    """Run a test with one, two and more threads than this machine has processors."""
    emfast.set_threads(request.param)
    yield request.param
    emfast.set_threads(0)


def pytest_collection_modifyitems(items):
    """Tests that ask for another library, or take the fixture of that name, are marked ``peers``."""
    for item in items:
        test = getattr(item.function, "hypothesis", None)
        source = inspect.getsource(test.inner_test if test else item.function)
        if "peer" in item.fixturenames or "importorskip" in source or "peer(" in source:
            item.add_marker(pytest.mark.peers)


@pytest.fixture
def shared_data():
    """The folder of real EM data beside a developer's checkout; tests that need it skip elsewhere."""
    folder = Path(os.environ.get("EMFAST_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real EM data (shared/data beside the checkout, or EMFAST_SHARED_DATA) is not here")
    return folder


__all__ = ["BACKENDS", "Backend", "_core"]
