"""Flood filling: order of moves, seeds, and objects grown by a network whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emfast import nn  # noqa: E402
from emfast.nn import ffn  # noqa: E402

FLOOD = nn.FloodFill(field=(5, 5, 5), step=(2, 2, 2), least=1)


class Knowing(nn.Module):
    """Says what the image says: bright voxels belong to the object, all others do not."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.places = {"object": None}
        self.seen = []

    def forward(self, image):
        self.seen.append(image.shape)
        return {"object": (image[:, :1] - 0.5) * 20 * self.weight}


def test_parameters():
    """A kernel of 3³ from 2 and from 32 channels to 32, 17 of these, and the last; nine modules see 37 voxels."""
    module = nn.FloodFilling().build(1, {"object": 1})
    assert sum(p.numel() for p in module.parameters()) == 2 * 27 * 32 + 32 + 17 * (27 * 32 * 32 + 32) + 33
    assert module.geometry.field == (37, 37, 37)
    image = torch.randn(1, 2, 9, 9, 9)
    assert torch.equal(module(image)["object"], image[:, 1:] + module.body(image))


def test_a_bright_object_is_filled_and_no_other():
    image = np.zeros((1, 13, 21, 21), np.float32)
    image[0, 2:11, 4:8, 2:19] = image[0, 2:11, 4:16, 2:5] = 1  # an L
    image[0, 2:11, 12:16, 10:19] = 1  # and another object
    labels = FLOOD.segment(Knowing(), image, [(6, 5, 5), (6, 5, 6), (6, 14, 14), (6, 9, 15), (0, 0, 0)])
    from scipy.ndimage import label

    whole, _ = label(image[0])
    inner = (slice(2, 11), slice(2, 19), slice(2, 19))  # what fields of view reach
    assert labels.max() == 2
    assert set(np.unique(whole[labels == 1])) == {1} and set(np.unique(whole[labels == 2])) == {2}
    assert np.array_equal(labels[inner] == 1, whole[inner] == 1)
    assert np.array_equal(labels[inner] == 2, whole[inner] == 2)


def test_small_objects_are_left_out():
    image = np.zeros((1, 9, 9, 9), np.float32)
    image[0, 3:6, 3:6, 3:6] = 1
    for least, count in ((27, 1), (28, 0)):
        flood = nn.FloodFill(field=(5, 5, 5), step=(2, 2, 2), least=least)
        assert flood.segment(Knowing(), image, [(4, 4, 4)]).max() == count


def test_order_of_moves():
    """Likeliest first; equal ones the farther along z, then y, then x; below ``move`` not at all."""
    state = np.full((9, 9, 9), -5.0, np.float32)
    state[2, 4, 4], state[6, 4, 4] = 4, 5
    state[4, 2, 4], state[4, 6, 4] = 4, 2.0
    state[4, 4, 2], state[4, 4, 6] = 5, 2.2
    assert FLOOD.onward(state, (4, 4, 4)) == [(6, 4, 4), (4, 4, 2), (4, 2, 4), (2, 4, 4), (4, 4, 6)]
    assert math.log(0.9 / 0.1) > 2.0
    assert list(FLOOD.visits(state)) == [(4, 4, 4), (2, 4, 4), (6, 4, 4), (4, 2, 4), (4, 4, 2), (4, 4, 6)]
    assert list(FLOOD.visits(state, order=[5, 0])) == [(4, 4, 4), (4, 4, 6), (2, 4, 4)]


def test_a_move_goes_to_the_likeliest_voxel_of_a_face():
    """Anywhere on it; of equal ones the nearest to the middle, then the first; once where faces meet."""
    state = np.full((9, 9, 9), -5.0, np.float32)
    state[6, 2, 4] = state[6, 6, 4] = state[6, 4, 2] = 2.5
    assert FLOOD.onward(state, (4, 4, 4)) == [(6, 6, 4), (6, 4, 2), (6, 2, 4)]  # from two faces each
    state[6, 3, 4] = state[6, 4, 5] = 2.5
    assert FLOOD.onward(state, (4, 4, 4)) == [(6, 6, 4), (6, 4, 2), (6, 3, 4), (6, 2, 4)]
    state[6] = -5.0
    state[6, 3, 6] = state[6, 5, 2] = 4  # alike far on the far face of z; on those of x the one and the other
    state[6, 7, 4] = 9  # a step and one more away: on no face
    state[2, 2, 2] = 3  # the corner of three faces
    assert FLOOD.onward(state, (4, 4, 4)) == [(6, 5, 2), (6, 3, 6), (2, 2, 2)]
    flat = nn.FloodFill(field=(5, 5, 5), step=(0, 2, 2))
    assert flat.onward(state, (4, 4, 4)) == []
    assert flat.onward(state, (6, 4, 4)) == [(6, 5, 2), (6, 3, 6)]


def test_an_object_is_followed_where_it_leads():
    """A process at 45 degrees to the axes leaves every face beside its middle."""
    image = np.zeros((1, 17, 60, 60), np.float32)
    for k in range(6, 54):
        image[0, 7:10, k - 1 : k + 2, k - 1 : k + 2] = 1
    flood = nn.FloodFill(field=(9, 9, 9), step=(3, 3, 3), least=1)
    labels = flood.segment(Knowing(), image, [(8, 30, 30)])
    assert np.array_equal(labels, image[0])


def test_a_flood_ends():
    """Each cell of the grid of steps is looked at once, whatever the network says."""
    rng = np.random.default_rng(0)
    looked = []

    def say(values):
        looked.append(values[0, 2, 2, 2])
        return rng.uniform(2.3, 9.0, values.shape[1:]).astype(np.float32)  # all likely enough

    shape = (11, 17, 17)
    image = np.arange(np.prod(shape), dtype=np.float32).reshape(1, *shape)
    flood = nn.FloodFill(field=(5, 5, 5), step=(2, 2, 2), settled=1.0)
    seed = (5, 8, 8)
    state, seen = flood.grow(say, image, seed, np.ones(shape, bool))
    places = np.stack(np.unravel_index(np.array(looked, np.int64), shape), 1)
    cells = {tuple(cell) for cell in (places - seed + 1) // 2}
    assert len(cells) == len(places) > 50  # 4 x 7 x 7 there are
    assert places.min(0).min() >= 2 and (places.max(0) < np.array(shape) - 2).all()
    assert seen.any() and np.isfinite(state).all()


def test_a_place_must_still_be_likely_when_its_turn_comes():
    """The face to the right is likely at first; a view that comes before says otherwise."""
    image = np.arange(5 * 9 * 9, dtype=np.float32).reshape(1, 5, 9, 9)
    flood = nn.FloodFill(field=(5, 5, 5), step=(0, 2, 2), settled=1.0)
    looked = []

    def say(values):
        place = tuple(int(i) for i in np.unravel_index(int(values[0, 2, 2, 2]), image.shape[1:]))
        looked.append(place)
        new = np.full(values.shape[1:], -5.0, np.float32)
        new[2, 2, 2] = 5.0
        if place == (2, 4, 4):
            new[2, 4, 2], new[2, 2, 4] = 5.0, 4.0  # down, then to the right
        if place == (2, 6, 4):
            new[2, 0, 2] = 5.0  # the seed; (2, 4, 6), which it sees too, is none any more
        return new

    flood.grow(say, image, (2, 4, 4), np.ones(image.shape[1:], bool))
    assert looked == [(2, 4, 4), (2, 6, 4)]


@pytest.mark.parametrize("after", [2.0, 5.0])
def test_a_seed_that_is_lost_ends_its_object(after):
    """Likely enough to be taken (0.88), not to move (0.9)."""
    image = np.zeros((1, 5, 5, 13), np.float32)
    calls = []

    class Doubting(Knowing):
        def forward(self, image):
            calls.append(image)
            new = torch.full_like(image[:, :1], 5.0)
            if len(calls) > 1:
                new[..., 2, 2, :] = after  # the seed and what is beside it, seen from the next place
            return {"object": new}

    flood = nn.FloodFill(field=(5, 5, 5), step=(0, 0, 2), settled=1.0, least=1)
    labels = flood.segment(Doubting(), image, [(2, 2, 6)])
    assert labels.max() == (after == 5.0)
    assert len(calls) == (2 if after == 2.0 else 5)


def test_what_was_unlikely_does_not_rise_where_much_is_likely():
    """Voxels once seen below one half stay there, though later views, in which there is something, say otherwise."""
    image = np.zeros((1, 5, 5, 9), np.float32)
    first = {(0, 0, 3): -9.0, (1, 1, 3): -0.1, (3, 3, 3): 0.1}

    def say(values):
        new = np.full(values.shape[1:], 9.0 if calls else -9.0, np.float32)
        if not calls:
            for at, value in first.items():
                new[at] = value
        calls.append(1)
        new[2, 2, 2] = new[2, 2, 4] = 9.0  # the middle, and the way on
        return new

    stay, rise = [-9.0, -np.float32(0.1), 9.0], [9.0, 9.0, 9.0]
    for settled, kept in ((0.005, stay), (0.999, stay), (1.0, rise)):
        calls = []
        flood = nn.FloodFill(field=(5, 5, 5), step=(0, 0, 2), settled=settled)
        state, seen = flood.grow(say, image, (2, 2, 2), np.ones(image.shape[1:], bool))
        assert [state[at] for at in first] == kept
        assert seen[0, 0, 6] and state[0, 0, 6] == 9.0  # seen for the first time there


def test_views_with_little_in_them_settle_nothing():
    """Of 125 voxels three are likely, the middle, the way on and the way back: a share of 0.024."""
    image = np.zeros((1, 5, 5, 9), np.float32)

    def say(values):
        new = np.full(values.shape[1:], -1.0 if calls else -2.0, np.float32)
        calls.append(1)
        new[2, 2, ::2] = 9.0
        return new

    for settled, kept in ((0.005, -2.0), (0.03, -1.0)):
        calls = []
        flood = nn.FloodFill(field=(5, 5, 5), step=(0, 0, 2), settled=settled)
        state, _ = flood.grow(say, image, (2, 2, 2), np.ones(image.shape[1:], bool))
        assert len(calls) == 3 and state[0, 0, 3] == kept


def test_an_object_is_the_same_after_others():
    """What one object leaves is no part of the next: each as if it were grown alone, and free voxels its own."""
    rng = np.random.default_rng(5)
    image = (rng.random((1, 9, 25, 25)) < 0.75).astype(np.float32)
    seeds = [(4, 6, 6), (4, 18, 18), (-1, 4, 4), (4, 30, 4), (4, 6, 18), (4, 24, 4), (4, 18, 6)]
    flood = nn.FloodFill(field=(5, 5, 5), step=(2, 2, 2), least=400)
    found = flood.segment(Knowing(), image, seeds)
    expected, count = np.zeros(image.shape[1:], np.uint32), 0
    say = ffn._saying(Knowing())
    for seed in seeds:
        if flood.holds(expected.shape, seed) and not expected[seed]:
            state, seen = flood.grow(say, image, seed, expected == 0)
            taken = seen & (state >= math.log(0.6 / 0.4)) & (expected == 0)
            if state[seed] >= math.log(9) and taken.sum() >= 400:
                count += 1
                expected[taken] = count
    assert count >= 1 and np.array_equal(found, expected)


def test_state_before_the_first_step():
    state = FLOOD.begun((3, 3, 3), (1, 1, 1))
    assert state.dtype == np.float32
    assert state[1, 1, 1] == np.float32(math.log(0.95 / 0.05))
    assert (np.delete(state.ravel(), 13) == np.float32(math.log(0.05 / 0.95))).all()


def test_seeds_are_peaks_of_distance():
    membrane = np.zeros((5, 9, 15), bool)
    membrane[:, :, 9] = True  # rooms of widths 9 and 5
    membrane[:, 0] = membrane[:, -1] = membrane[:, :, 0] = membrane[:, :, -1] = True
    found = ffn.peaks(membrane, separation=3)
    away = [min(abs(y - 0), abs(y - 8), *(abs(x - wall) for wall in (0, 9, 14))) for _, y, x in found]
    assert away == sorted(away, reverse=True) and away[0] == 4
    assert {x > 9 for _, _, x in found} == {True, False}
    assert found == ffn.peaks(membrane, separation=3)


def test_edges_of_an_image():
    image = np.zeros((2, 30, 30), np.float32)
    image[:, :, 15:] = 1
    found = ffn.edges(image, window=9)
    assert found[:, :, 14:16].all() and not found[:, :, :14].any() and not found[:, :, 16:].any()
    dark = np.ones((1, 30, 30), np.float32)
    dark[:, 7] = 0
    assert np.array_equal(ffn.edges(dark, window=9, kind="below"), dark == 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.FloodFill(field=(4, 5, 5)), r"field must be three odd numbers, got \(4, 5, 5\)"),
        (lambda: nn.FloodFill(field=(5, 5, 5), step=(3, 1, 1)), "step must lie within half of the field"),
        (lambda: nn.FloodFill(move=1.0), "move must lie between 0 and 1, got 1.0"),
        (lambda: nn.FloodFill(inside=0.8), "inside must be at least move, 0.9, got 0.8"),
        (lambda: nn.FloodFill(settled=1.5), "settled must be from 0 to 1, got 1.5"),
        (lambda: ffn.edges(np.zeros((1, 60, 60)), window=48), "window must be an odd number, got 48"),
        (lambda: ffn.edges(np.zeros((1, 9, 9)), window=5, kind="over"), 'kind must be "above" or "below", got .over.'),
        (lambda: nn.FloodFilling(depth=0), "depth must be at least 1"),
        (lambda: nn.FloodFilling().build(1, {"a": 2}), "heads must be one of one channel, got {'a': 2}"),
        (lambda: FLOOD.segment(Knowing(), np.zeros((9, 9, 9)), []), r"image must be \(c, z, y, x\), got 3 axes"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
