"""Volumes written anew: the same values, wherever and however; a call that was cut short goes on."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import emfast
from emfast import cli, conversion
from emfast.errors import BlocksFailed

pytest.importorskip("zarr")

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def exactly(value: object, dtype: str) -> bool:
    """Whether a number is the same in a dtype, by Python's numbers."""
    value, kind = value.item(), np.dtype(dtype).kind  # type: ignore[attr-defined]
    if kind == "b":
        return value in (0, 1)
    if kind == "f":
        with np.errstate(all="ignore"):
            return bool(float(np.dtype(dtype).type(value)) == value) if abs(value) < 2.0**1000 else False
    info = np.iinfo(dtype)
    return value == int(value) and info.min <= value <= info.max if np.isfinite(value) else False


EDGES = [
    0,
    1,
    -1,
    127,
    128,
    255,
    256,
    -128,
    -129,
    2**15,
    2**16,
    2**31,
    2**32 - 1,
    2**53 + 1,
    2**63 - 1,
    -(2**63),
    2**64 - 1,
]


@pytest.mark.parametrize("source", DTYPES)
@pytest.mark.parametrize("target", DTYPES)
def test_values_stay_or_are_refused(source, target):
    with np.errstate(all="ignore"):
        known = [v for v in EDGES if source in ("f2", "f4", "f8", "?") or _fits(v, source)]
        values = np.array([np.dtype(source).type(v) for v in known])
    if source[0] == "f":
        values = np.concatenate([values, np.array([0.5, np.nan, np.inf, -np.inf, 3.0], source)])
    if source[0] == "f" == target[0]:
        cast, same = conversion._cast(values, np.dtype(target))
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(cast, values.astype(target))
        assert same.tolist() == [not (np.isinf(c) and np.isfinite(v)) for c, v in zip(cast, values, strict=True)]
        return
    cast, same = conversion._cast(values, np.dtype(target))
    expected = [exactly(v, target) for v in values]
    assert same.tolist() == expected
    assert [c.item() == v.item() for c, v, s in zip(cast, values, same, strict=True) if s] == [True] * sum(expected)


def _fits(value: int, dtype: str) -> bool:
    return np.iinfo(dtype).min <= value <= np.iinfo(dtype).max


@given(st.tuples(*[st.integers(1, 20)] * 3), st.tuples(*[st.integers(1, 9)] * 3), st.integers(0, 2**32))
def test_any_chunks_and_blocks_hold_the_same(tmp_path_factory, shape, chunks, seed):
    folder = tmp_path_factory.mktemp("convert")
    values = np.random.default_rng(seed).integers(0, 1000, shape)
    np.save(folder / "a.npy", values)
    first = emfast.convert(folder / "a.npy", folder / "b.zarr", chunks=chunks, spacing=(30, 8, 4), offset=(1, 2, 3))
    assert (first.spacing, first.offset, first.dtype) == ((30, 8, 4), (1, 2, 3), values.dtype)
    again = emfast.convert(first, folder / "c.npy")
    assert np.array_equal(again, values) and np.array_equal(first, values)
    assert sorted(os.listdir(folder)) == ["a.npy", "b.zarr", "c.npy"]


def test_a_window_moves_the_offset(tmp_path):
    values = np.arange(4 * 5 * 6).reshape(4, 5, 6).astype("u1")
    window = (slice(1, 3), slice(None), slice(2, None))
    first = emfast.convert(values, tmp_path / "a.zarr", spacing=(30, 8, 4), offset=(5, 5, 5))
    for k, source in enumerate((values, first)):
        told = {"spacing": (30, 8, 4), "offset": (5, 5, 5)} if k == 0 else {}
        part = emfast.convert(source, tmp_path / f"{k}.zarr", window=window, **told)
        assert np.array_equal(part, values[window])
        assert (part.spacing, part.offset) == ((30, 8, 4), (35, 5, 13))


def test_channels_stay_in_front(tmp_path):
    values = np.random.default_rng(0).random((3, 4, 5, 6)).astype("f4")
    made = emfast.convert(
        values, tmp_path / "a.zarr", spacing=(30, 8, 4), block=(2, 5, 6), chunks=(3, 2, 5, 6), shards=(3, 2, 5, 6)
    )
    assert made.axes == "czyx" and np.array_equal(made, values)


def test_a_value_that_does_not_fit_is_named_with_its_place(tmp_path):
    values = np.zeros((4, 5, 6), np.int32)
    values[2, 3, 4] = 300
    with pytest.raises(ValueError, match=re.escape("uint8 has no 300, at (2, 3, 4)")):
        emfast.convert(values, tmp_path / "a.npy", dtype="uint8")
    assert os.listdir(tmp_path) == []


def test_what_was_cut_short_goes_on(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(0, 255, (8, 8, 8)).astype("u1")
    emfast.convert(values, tmp_path / "a.zarr", chunks=(2, 8, 8), shards=(2, 8, 8))
    done, call = [], conversion._Copy.__call__

    def broken(self, voxels, where):
        if len(done) == 2:
            raise OSError("the disk is gone")
        done.append(where.index)
        return call(self, voxels, where)

    options = {"chunks": (2, 8, 8), "shards": (2, 8, 8), "block": (2, 8, 8), "workers": 1}
    monkeypatch.setattr(conversion._Copy, "__call__", broken)
    with pytest.raises(BlocksFailed, match="the disk is gone"):
        emfast.convert(tmp_path / "a.zarr", tmp_path / "b.zarr", **options)
    assert (tmp_path / "b.zarr.journal").exists()
    again = []

    def noting(self, voxels, where):
        again.append(where.index)
        return call(self, voxels, where)

    monkeypatch.setattr(conversion._Copy, "__call__", noting)
    made = emfast.convert(tmp_path / "a.zarr", tmp_path / "b.zarr", **options)
    assert np.array_equal(made, values)
    assert not (tmp_path / "b.zarr.journal").exists()
    assert len(again) < 4 and sorted({*done, *again}) == [0, 1, 2, 3]


def test_a_target_stays_unless_it_may_be_replaced(tmp_path):
    first, second = np.zeros((2, 3, 4), "u1"), np.ones((3, 3, 3), "u2")
    for name in ("a.zarr", "a.npy", "a.tif", "a.h5:x/y"):
        place = str(tmp_path / name)
        emfast.convert(first, place)
        with pytest.raises(FileExistsError):
            emfast.convert(second, place)
        assert np.array_equal(emfast.open_volume(place), first)
        assert np.array_equal(emfast.convert(second, place, overwrite=True), second)


@pytest.mark.parametrize(
    ("source", "options", "error", "words"),
    [
        (3, {}, TypeError, "source must be a volume, an array or where it lies, got int"),
        (np.zeros((2, 2), "u1"), {"level": 1}, ValueError, "level is for a source that is opened here"),
        (np.zeros((2, 2), "u1"), {"axes": "xy"}, ValueError, "axes is for a source that is opened here"),
        (np.zeros((2, 2), "u1"), {"codec": "zip"}, ValueError, "codec"),
        ("no.npy", {}, FileNotFoundError, "no.npy"),
    ],
)
def test_mistakes_name_their_argument(source, options, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        emfast.convert(source, "a.zarr", **options)
    assert os.listdir() == []


def test_the_command(tmp_path, capsys):
    values = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    np.save(tmp_path / "a.npy", values)
    places = [str(tmp_path / "a.npy"), str(tmp_path / "b.zarr")]
    options = ["--dtype", "uint8", "--chunks", "2,2,2", "--window", "0:1,:,2:", "--spacing", "30,8,8"]
    assert cli.main(["convert", *places, *options]) == 0
    assert "(1, 3, 2) uint8, zarr" in capsys.readouterr().out
    made = emfast.open_volume(places[1])
    assert np.array_equal(made, values[:1, :, 2:]) and made.chunks == (2, 2, 2) and made.offset == (0, 0, 16)
    assert cli.main(["convert", *places]) == 2
    assert "b.zarr" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["convert", *places, "--window", "1,2,3"])
    assert "must be ranges like 0:100,:,512:" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["array", "volume"])
def test_windows_have_no_steps_and_may_be_empty(kind, tmp_path):
    array = np.arange(120).reshape(4, 5, 6)
    emfast.convert(array, tmp_path / "a.npy")
    source = array if kind == "array" else emfast.open_volume(tmp_path / "a.npy")
    with pytest.raises(ValueError, match=r"window must be slices of step 1, got .*2"):
        emfast.convert(source, tmp_path / "b.zarr", window=(slice(0, 4, 2), slice(None), slice(None)))
    assert not (tmp_path / "b.zarr").exists()
    for k, window in enumerate([slice(1, 1), slice(7, 9)]):
        made = emfast.convert(source, tmp_path / f"{k}.zarr", window=(window, slice(None), slice(None)))
        assert made.shape == (0, 5, 6)


def test_new_slices_leave_only_slices(tmp_path):
    pytest.importorskip("PIL")
    emfast.convert(np.zeros((2, 3, 4), "u1"), tmp_path / "new" / "*.png")
    emfast.convert(np.ones((2, 3, 4), "u1"), tmp_path / "new" / "*.png", overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["new"]
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["0000.png", "0001.png"]
