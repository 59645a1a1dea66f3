"""The picture of docs/augmentation.md: one section of a phantom under each step.

``python -m benchmarks.pictures_augmentation`` writes it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import emfast
from emfast import augmentation as a
from emfast._png import encode
from emfast.sampling import Piece, cut, generator

SIDE, COLUMNS = 96, 6
SHOWN = 3  # of the sections of a patch
STEPS: list[tuple[a.Step, ...] | tuple[a.Augmentation]] = [
    (),
    (a.Flip("xy8"),),
    (a.Rotate(40),),
    (a.Scale(0.6, 0.7),),
    (a.Shear(25),),
    (a.Elastic((0.0, 24.0, 24.0), (0.0, 4.0, 4.0)),),
    (a.PiecewiseAffine(24, 5.0),),
    (a.Slip(14, 14, rate=1.0),),
    (a.Brightness(0.3),),
    (a.Contrast(2.0, 2.0),),
    (a.Gamma(2.5, 2.5),),
    (a.Noise(0.15, 0.15),),
    (a.Blur(2.0, 2.0),),
    (a.Equalise(1.0, 1.0),),
    (a.MotionBlur(rate=1.0, low=9.0, high=9.0),),
    (a.OutOfFocus(rate=1.0, partial=1.0, low=4.0),),
    (a.Missing(rate=1.0, partial=1.0),),
    (a.LowContrast(rate=1.0),),
    (a.Artefact(rate=1.0),),
    (a.CutOut(4, low=(7, 16, 16), high=(7, 32, 32)),),
    (a.deepem(),),
    (a.gunpowder(),),
    (a.plain(),),
    (a.flips(),),
]


def tile(piece: Piece, steps: a.Augmentation, seed: int) -> np.ndarray:
    """A section of the patch as grey values; of 32 levels, to keep the file small."""
    shape = (7, SIDE, SIDE)
    margin = steps.margin(shape, piece.spacing)
    corner = [(n - s) // 2 - m for n, s, m in zip(piece.shape, shape, margin, strict=True)]
    crop = cut(piece, corner, [n + 2 * m for n, m in zip(shape, margin, strict=True)])
    section = steps.apply(crop, shape, generator(seed, 0)).image[0, SHOWN]
    return np.clip(section // 8 * 8, 0, 248).astype(np.uint8)


def main() -> None:
    made = emfast.phantom.make((24, 360, 360), seed=5, noise=0.3)
    piece = Piece(made.image[None], {}, spacing=made.spacing)
    tiles = []
    for k, steps in enumerate(STEPS):
        mixture = steps[0] if steps and isinstance(steps[0], a.Augmentation) else a.Augmentation(steps)
        framed = np.full((SIDE + 4, SIDE + 4), 255, np.uint8)
        framed[2:-2, 2:-2] = tile(piece, mixture, seed=k)
        tiles.append(framed)
    rows = [np.concatenate(tiles[i : i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
    path = Path(__file__).parents[1] / "docs" / "augmentation.png"
    path.write_bytes(encode(np.concatenate(rows, 0)))


if __name__ == "__main__":
    main()
