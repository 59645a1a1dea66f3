"""Operations in blocks on a Dask cluster: the same volumes as on threads."""

import os

import numpy as np
import pytest

import emfast
from emfast import blockwise

distributed = pytest.importorskip("distributed")
pytest.importorskip("zarr")

from test_dask import client, processes  # noqa: E402, F401 - fixtures

pytestmark = [
    pytest.mark.skipif("EMFAST_SANITIZER" in os.environ, reason="Dask brings unsanitized threads and processes"),
    pytest.mark.filterwarnings("default"),  # those of Dask are its own
]
BLOCK = (16, 32, 32)


@pytest.fixture
def source(tmp_path):
    affinities = emfast.phantom.make((40, 48, 72), seed=7).affinities
    options = {"mode": "x", "shape": affinities.shape, "dtype": affinities.dtype}
    with emfast.open_volume(tmp_path / "affinities.zarr", **options) as volume:
        volume[...] = affinities
    return tmp_path / "affinities.zarr"


def check(source, cluster):
    folder = source.parent
    affinities = emfast.open_volume(source)[...]
    found = emfast.segment(source, folder / "segments.zarr", thresholds=(0.4, 0.7), block=BLOCK, client=cluster)
    for volume, wanted in zip(found, emfast.segment_affinities(affinities, threshold=(0.4, 0.7)), strict=True):
        assert np.array_equal(volume[...], wanted)
    wanted = emfast.connected_components(wanted, connectivity=26)
    found = blockwise.connected_components(
        found[1], folder / "components.zarr", connectivity=26, block=BLOCK, client=cluster
    )
    assert found.dtype == wanted.dtype
    assert np.array_equal(found[...], wanted)


def test_on_a_cluster_of_threads(source, client):  # noqa: F811
    check(source, client)


@pytest.mark.slow
def test_on_a_cluster_of_processes(source, processes):  # noqa: F811
    check(source, processes)


def test_a_cluster_needs_a_folder(client):  # noqa: F811
    with pytest.raises(ValueError, match="work must be a folder that all workers see"):
        blockwise.connected_components(np.ones((4, 4), "u1"), client=client)
