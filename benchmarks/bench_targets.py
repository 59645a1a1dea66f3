"""Targets of a patch of 32×160×160 of cells at 30×8×8 nm, as a network learns them; no peer makes the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import emfast
from emfast import targets

from .harness import Case, DeviceCase
from .inputs import SPACING, Inputs

SHAPE = (32, 160, 160)
LONG = (
    *emfast.NEAREST,
    *((0, -d, 0) for d in (3, 9, 27)),
    *((0, 0, -d) for d in (3, 9, 27)),
    *((-d, 0, 0) for d in (2, 3, 4)),
)
TARGETS = (
    targets.Semantic(),
    targets.Membrane((2.0, 4.0)),
    targets.Contour(),
    targets.SignedDistance(),
    targets.Affinities(),
    targets.Affinities(LONG),
    targets.Instances(),
    targets.Centre(400.0),
    targets.Ovality(400.0),
    targets.CentreLine(),
    targets.Shape(),
)


def cases(inputs: Inputs) -> Iterator[Case]:
    labels = emfast.phantom.make(SHAPE, seed=1, spacing=SPACING).labels
    mask = np.ones(SHAPE, bool)
    mask[:2] = False
    for target in TARGETS:
        for name, known in (("", None), (", some unknown", mask)):
            yield Case(
                "targets",
                f"{type(target).__name__}, {target.channels} channels{name}",
                labels.size,
                lambda target=target, known=known: target.make(labels, known, spacing=SPACING),
                [],
                lambda one, other: all(np.array_equal(a, b) for a, b in zip(one, other, strict=True)),
            )


def device_cases(inputs: Inputs) -> Iterator[DeviceCase]:
    """Targets are NumPy's."""
    yield from ()
