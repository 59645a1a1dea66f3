"""Small pairs of label images: vectors that other people's programs were given, by their letters, and random ones."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

import emfast


def spelled(text):
    """An image of one-digit ids: rows between slashes."""
    return np.array([[int(c) for c in row] for row in text.split("/")])


def runs(*parts):
    """An image of (id, length) runs."""
    return np.repeat([i for i, _ in parts], [n for _, n in parts])


VECTORS = {
    "A": (spelled("1122/1122"), spelled("1112/1112")),
    "B": (spelled("011122/011122/033322/033300"), spelled("555077/055577/059977/099990")),
    "E": (spelled("111100"), spelled("112200")),
    "F": (runs((1, 10), (0, 2)), runs((1, 7), (0, 5))),
    "G": (runs((1, 6), (2, 6), (0, 2)), runs((0, 1), (1, 10), (0, 3))),
    "H": (spelled("112233"), spelled("112233")),
    "K": (runs((1, 8), (2, 8), (3, 8), (0, 4)), runs((1, 5), (2, 9), (3, 10), (4, 3), (0, 1))),
}


def vector(name):
    return emfast.contingency(*VECTORS[name])


@st.composite
def object_images(draw, most=5, size=40):
    """Two label images of few small objects that overlap in many ways."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(0, size))
    truth, labels = (rng.integers(0, draw(st.integers(1, most)) + 1, n) for _ in range(2))
    if draw(st.booleans()):
        labels = np.where(rng.random(n) < 0.7, truth, labels)
    return truth, labels


def pictures(seed, side=24, most=9):
    """Two label images of rectangles; the second is the first with some of them moved, lost or put anew."""
    rng = np.random.default_rng(seed)
    truth, labels = np.zeros((2, side, side), np.int64)
    for k in range(1, most):
        y, x = rng.integers(0, side - 4, 2)
        h, w = rng.integers(2, 9, 2)
        truth[y : y + h, x : x + w] = k
        y, x = (np.array([y, x]) + rng.integers(-1, 2, 2)).clip(0) if rng.random() < 0.8 else rng.integers(0, side, 2)
        labels[y : y + h, x : x + w] = k + 20
    return truth, labels
