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
    """Likeliest first; equal ones by face; below ``move`` not at all."""
    state = np.full((9, 9, 9), -5.0, np.float32)
    state[2, 4, 4], state[6, 4, 4] = 4, 5
    state[4, 2, 4], state[4, 6, 4] = 4, 2.0
    state[4, 4, 2], state[4, 4, 6] = 5, 2.2
    assert FLOOD.onward(state, (4, 4, 4)) == [(6, 4, 4), (4, 4, 2), (2, 4, 4), (4, 2, 4), (4, 4, 6)]
    assert math.log(0.9 / 0.1) > 2.0
    assert list(FLOOD.visits(state)) == [(4, 4, 4), (2, 4, 4), (6, 4, 4), (4, 2, 4), (4, 4, 2), (4, 4, 6)]
    assert list(FLOOD.visits(state, order=[5, 0])) == [(4, 4, 4), (4, 4, 6), (2, 4, 4)]


def test_settled_voxels_do_not_rise():
    """A voxel that was seen far below stays there, though later views say otherwise."""
    image = np.zeros((1, 5, 5, 9), np.float32)
    answers = iter([-9.0, 9.0])

    def say(values):
        new = np.full(values.shape[1:], next(answers, 9.0), np.float32)
        new[2, 2, 4] = 9.0  # the way on
        return new

    for settled, kept in ((0.005, -9.0), (0.0, 9.0)):
        answers = iter([-9.0, 9.0])
        flood = nn.FloodFill(field=(5, 5, 5), step=(0, 0, 2), settled=settled)
        state, seen = flood.grow(say, image, (2, 2, 2), np.ones(image.shape[1:], bool))
        assert state[0, 0, 3] == kept and seen[0, 0, 6]


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
        (lambda: nn.FloodFilling(depth=0), "depth must be at least 1"),
        (lambda: nn.FloodFilling().build(1, {"a": 2}), "heads must be one of one channel, got {'a': 2}"),
        (lambda: FLOOD.segment(Knowing(), np.zeros((9, 9, 9)), []), r"image must be \(c, z, y, x\), got 3 axes"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()
