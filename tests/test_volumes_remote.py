"""Volumes at an address, over a web server of this machine: only what is asked for is fetched, and no less is taken."""

import itertools
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from emfast import open_volume
from emfast.errors import CorruptData

pytest.importorskip("aiohttp")
fsspec = pytest.importorskip("fsspec")
pytest.importorskip("numcodecs")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder):
        self.folder, self.ranges, self.cut, self.sent = folder, True, None, []
        self.failing = iter(())  # truth values: whether a request fails
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        if next(self.server.failing, False):
            self.send_error(503)
            return
        path = Path(self.server.folder) / self.path.strip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        size, status = len(data), 200
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted and self.server.ranges:
            start, stop = int(wanted[1]), int(wanted[2] or size - 1) + 1
            data, status = data[start:stop], 206
        self.send_response(status)
        if self.server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{start + len(data) - 1}/{size}")
        if self.server.cut and body and str(path).endswith(self.server.cut):
            data = data[: len(data) // 2]
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.server.sent.append((self.path, len(data)))
            self.wfile.write(data)


@pytest.fixture
def server(tmp_path):
    with Server(tmp_path) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


PLACES = ["a.zarr", "a.zarr:deep/raw", "a.n5", "a.npy", "a.npz:x", "a.h5:volumes/raw", "a.tif"]


@pytest.mark.parametrize("place", PLACES)
def test_an_address_is_read_as_a_file(place, server, tmp_path):
    array = np.random.default_rng(0).integers(0, 99, (9, 20, 17)).astype("u2")
    with open_volume(tmp_path / place, mode="x", like=array, spacing=(30, 8, 4)) as volume:
        volume[...] = array
    with open_volume(tmp_path / place) as local, open_volume(f"{server.address}/{place}") as volume:
        assert (volume.shape, volume.dtype, volume.spacing, volume.format) == (
            (9, 20, 17),
            np.uint16,
            local.spacing,
            local.format,
        )
        assert np.array_equal(volume[...], array)
        assert np.array_equal(volume[2:7:2, 3, 5:], array[2:7:2, 3, 5:])
        with pytest.raises(ValueError, match=r"is only read|must be opened with mode"):
            open_volume(f"{server.address}/{place}", mode="r+")[...] = 0


def test_precomputed_at_an_address(server, tmp_path):
    pytest.importorskip("tensorstore")
    array = np.random.default_rng(0).integers(0, 99, (9, 20, 17)).astype("u8")
    with open_volume(f"precomputed://{tmp_path}/a", mode="x", like=array, spacing=(30, 8, 4)) as volume:
        volume[...] = array
    for place in (f"precomputed://{server.address}/a", f"{server.address}/a"):
        volume = open_volume(place)
        assert volume.spacing == (30, 8, 4)
        assert np.array_equal(volume[...], array)


@pytest.fixture
def shards(server, tmp_path):
    array = np.random.default_rng(0).integers(0, 2**60, (64, 64, 64)).astype("u8")
    with open_volume(tmp_path / "a.zarr", mode="x", like=array, chunks=(16,) * 3, shards=(64,) * 3) as volume:
        volume[...] = array
    return array


def test_only_the_bytes_of_a_chunk_are_fetched(server, shards):
    volume = open_volume(f"{server.address}/a.zarr")
    server.sent.clear()
    assert np.array_equal(volume[1:3, 2:9, 3:5], shards[1:3, 2:9, 3:5])
    assert sum(length for _, length in server.sent) < shards.nbytes / 32
    volume[1, 1, 1]
    assert len([path for path, _ in server.sent if "c/0" in path]) == 4  # the index, a chunk, and again


def test_servers_without_ranges_are_read_too(server, shards):
    server.ranges = False
    volume = open_volume(f"{server.address}/a.zarr")
    assert np.array_equal(volume[5:20, :, 7], shards[5:20, :, 7])


def test_short_answers_are_noticed(server, shards):
    server.cut = "c/0/0/0"
    with pytest.raises(CorruptData, match=r"a\.zarr.*(cut short|damaged)"):
        open_volume(f"{server.address}/a.zarr")[0, 0, 0]


def test_busy_servers_are_asked_again_and_make_no_chunk_empty(server, tmp_path, monkeypatch):
    from emfast.volumes import _stores

    zarr = pytest.importorskip("zarr", minversion="3")
    array = np.arange(1, 65, dtype="u4").reshape(4, 4, 4)
    zarr.create_array(tmp_path / "a.zarr", data=array, chunks=(2, 2, 2), fill_value=0)  # where missing would be 0
    monkeypatch.setattr(_stores, "_WAITS", (0.0, 0.0))
    server.failing = itertools.cycle([False] * 5 + [True] * 2)
    assert np.array_equal(open_volume(f"{server.address}/a.zarr")[...], array)
    server.failing = iter(())
    volume = open_volume(f"{server.address}/a.zarr")
    server.failing = itertools.repeat(True)
    with pytest.raises(ConnectionError, match=r"a\.zarr/c/0/0/0 could not be reached.*503"):
        volume[0, 0, 0]


@pytest.mark.parametrize("place", ["none.zarr", "none.n5", "none.npy", "none.h5", "none.tif", "none"])
def test_what_is_not_there_is_told(place, server):
    with pytest.raises((FileNotFoundError, ValueError), match="none"):
        open_volume(f"{server.address}/{place}")


def test_object_stores_are_written(tmp_path):
    """As s3 and gs are: through fsspec."""
    array = np.arange(6000, dtype="u4").reshape(10, 20, 30)
    with open_volume("memory://bucket/a.zarr:raw", mode="x", like=array, chunks=(4, 8, 8), shards=(8, 8, 16)) as volume:
        volume[...] = array
    volume = open_volume("memory://bucket/a.zarr/raw")
    assert np.array_equal(volume[3:9, 5, ::2], array[3:9, 5, ::2])
    with open_volume("memory://bucket/a.zarr", mode="r+") as volume:
        volume[2:3] = 0
    assert open_volume("memory://bucket/a.zarr")[2].max() == 0
    with pytest.raises(FileExistsError):
        open_volume("memory://bucket/a.zarr:raw", mode="w", like=array)
    with pytest.raises(ValueError, match="it holds raw"):
        open_volume("memory://bucket/a.zarr:other")
