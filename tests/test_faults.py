"""What becomes of stored data: every damage is noticed before it is used, and says where it is."""

import functools
import os
import random

import numpy as np
import pytest

import emfast
from emfast.blocks import map_blocks, verified
from emfast.errors import BlocksFailed, CorruptData

SHAPE, BLOCK, CHUNKS = (16, 24, 32), (8, 8, 16), (4, 8, 8)


def made(path, dtype="u4", **more):
    return emfast.open_volume(path, mode="x", shape=SHAPE, dtype=dtype, chunks=CHUNKS, shards=BLOCK, **more)


def first(where):
    """Voxels that are nowhere alike."""
    return np.random.default_rng(where.index).integers(0, 2**32, where.shape, np.uint32)


def second(voxels):
    out = voxels.astype("u8")
    out[1:] += voxels[:-1]
    return out


@pytest.fixture
def intermediate(tmp_path):
    """A product between two passes, with its journal."""
    with made(tmp_path / "a.zarr") as target:
        map_blocks(first, None, target, block=BLOCK, journal=True)
    return tmp_path / "a.zarr"


def use(path):
    """The pass that uses it."""
    return map_blocks(lambda voxels: second(voxels).tobytes(), verified(path), block=BLOCK, halo=1, retries=0)


def shards(path):
    return sorted(p for p in path.rglob("*") if p.is_file() and p.name != "zarr.json")


def flip(path, rng):
    file = rng.choice(shards(path))
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return {file: bytes(content)}


def truncate(path, rng):
    file = rng.choice(shards(path))
    content = file.read_bytes()
    return {file: content[: rng.randrange(len(content))]}


def delete(path, rng):
    return {rng.choice(shards(path)): None}


def swap(path, rng):
    a, b = rng.sample(shards(path), 2)
    return {a: b.read_bytes(), b: a.read_bytes()}


def stale(path, rng):
    """A whole file of another run of the same job on other data."""
    a, b = rng.sample(shards(path), 2)
    return {a: b.read_bytes()}


DAMAGES = [flip, truncate, delete, swap, stale]


def put(contents):
    """Writes files; those that were there before."""
    before = {file: file.read_bytes() if file.exists() else None for file in contents}
    for file, content in contents.items():
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
    return before


def noticed(path, damage, rng):
    before = put(damage(path, rng))
    try:
        use(path)
    except BlocksFailed as error:
        assert isinstance(error.__cause__, CorruptData), repr(error.__cause__)
        assert "a.zarr" in str(error.__cause__)
        return True
    finally:
        put(before)
    return False


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_noticed(intermediate, damage):
    expected = use(intermediate)
    rng = random.Random(damage.__name__)
    assert all(noticed(intermediate, damage, rng) for _ in range(8))
    assert use(intermediate) == expected  # all is as it was


@pytest.mark.slow
def test_a_thousand_damages_are_noticed(intermediate):
    rng = random.Random(0)
    missed = [k for k in range(1000) if not noticed(intermediate, DAMAGES[k % len(DAMAGES)], rng)]
    assert missed == []


def test_headers_that_are_damaged_change_nothing(intermediate):
    """An error, or the same result: an attribute may be another, but no voxel."""
    expected = use(intermediate)
    header = intermediate / "zarr.json"
    sound = header.read_bytes()
    rng = random.Random(1)
    for _ in range(40):
        content = bytearray(sound)
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        header.write_bytes(bytes(content))
        try:
            assert use(intermediate) == expected
        except (ValueError, TypeError, BlocksFailed, OSError):
            pass
        finally:
            header.write_bytes(sound)


def test_damaged_pieces_are_reported_and_read_as_zeros(intermediate, tmp_path):
    with emfast.open_volume(intermediate) as volume:
        whole = volume[...]
    put(flip(intermediate, random.Random(3)))
    target = np.zeros(SHAPE, "u4")
    with pytest.warns(UserWarning, match=r"damaged, read as zeros: source \["):
        done = map_blocks(np.copy, intermediate, target, block=BLOCK, on_corrupt="skip", journal=None)
    (_, box), *others = done.lost
    assert not others
    assert [b.stop - b.start for b in box] == list(CHUNKS)  # no more than the chunk
    whole[box] = 0
    assert np.array_equal(target, whole)


def test_a_swap_is_reported_and_read_as_zeros(intermediate):
    put(swap(intermediate, random.Random(3)))
    target = np.ones(SHAPE, "u4")
    with pytest.warns(UserWarning, match=r"damaged, read as zeros: source \["):
        done = map_blocks(np.copy, verified(intermediate), target, block=BLOCK, halo=2, on_corrupt="skip")
    with emfast.open_volume(intermediate) as volume:
        stored = volume[...]
    lost = np.zeros(SHAPE, bool)
    for _, box in done.lost:
        lost[box] = True
    assert lost.sum() == 2 * 8 * 8 * 16
    assert np.array_equal(target, np.where(lost, 0, stored))


def test_skipped_pieces_are_told_again_after_a_resume(intermediate, tmp_path):
    put(flip(intermediate, random.Random(3)))
    run = functools.partial(
        map_blocks, np.copy, intermediate, tmp_path / "b.zarr", block=BLOCK, on_corrupt="skip", journal=True
    )
    made(tmp_path / "b.zarr").close()
    found = []
    for _ in range(2):
        with pytest.warns(UserWarning, match="damaged, read as zeros"):
            found.append(run().lost)
    assert found[0] == found[1] != ()


def test_a_damaged_target_is_written_anew(tmp_path):
    """What is in the place of a block does not matter: it is not read."""
    made(tmp_path / "b.zarr").close()
    map_blocks(first, None, tmp_path / "b.zarr", block=BLOCK)
    for file in shards(tmp_path / "b.zarr"):
        file.write_bytes(os.urandom(50))
    map_blocks(first, None, tmp_path / "b.zarr", block=BLOCK)
    with emfast.open_volume(tmp_path / "b.zarr") as volume:
        assert all(np.array_equal(volume[block.core], first(block)) for block in emfast.blocks.Grid(SHAPE, BLOCK))


def test_a_damaged_target_stops_a_run_that_goes_on(intermediate):
    for file in shards(intermediate):
        file.write_bytes(os.urandom(50))
    with pytest.raises(CorruptData, match=r"target is damaged in \[0:8, 0:8, 0:16\] \(.*a\.zarr.*check_blocks"):
        map_blocks(first, None, intermediate, block=BLOCK, journal=True)
    wrong = emfast.blocks.check_blocks(intermediate, forget=True)
    assert len(wrong) == len(emfast.blocks.Grid(SHAPE, BLOCK))
    map_blocks(first, None, intermediate, block=BLOCK, journal=True)
    assert emfast.blocks.check_blocks(intermediate) == ()


def test_verified_volumes_are_volumes(intermediate, tmp_path):
    import pickle

    with emfast.open_volume(intermediate) as volume:
        whole = volume[...]
        sound = verified(volume)
        again = pickle.loads(pickle.dumps(sound))
        for found in (sound, again):
            assert (found.shape, found.dtype, found.ndim) == (whole.shape, whole.dtype, whole.ndim)
            assert (found.spacing, found.axes, found.uri) == (volume.spacing, volume.axes, volume.uri)
        for key in (
            ...,
            3,
            (3, 4, 5),
            np.s_[1:3],
            np.s_[..., 5:],
            np.s_[2:15:3, ::7, 1:2],
            np.s_[4:4],
            np.s_[-1, ..., 3],
        ):
            assert np.array_equal(sound[key], whole[key])
            assert sound[key].shape == whole[key].shape
    made(tmp_path / "b.zarr").close()
    with pytest.raises(ValueError, match=r"journal must be that of .*b\.zarr, got .*a\.zarr\.journal of "):
        verified(tmp_path / "b.zarr", journal=tmp_path / "a.zarr.journal")
    with pytest.raises(FileNotFoundError, match="there is none at"):
        verified(tmp_path / "b.zarr")


def test_blocks_that_were_not_written_are_told(tmp_path):
    def some(where):
        if where.index == 3:
            raise ValueError("no")
        return first(where)

    made(tmp_path / "b.zarr").close()
    map_blocks(some, None, tmp_path / "b.zarr", block=BLOCK, journal=True, keep_going=True, retries=0)
    with pytest.raises(CorruptData, match=r"b\.zarr .*was not written"):
        verified(tmp_path / "b.zarr")[0:8, 8:16, 16:32]
