"""What a network learns from: pieces of labelled volumes, and which crops of them are drawn.

A piece is an image with its labels; a sampler draws where to cut; a crop is what is cut. All arrays are (z, y, x), an
image (c, z, y, x); a picture has depth 1. Sample k of a run is a function of the run's seed and of k alone, whatever
cuts it and how many do.
"""

from ._gathering import pieces_of, resampled
from ._pieces import Crop, Piece, Sampler, Shape, cut, generator
from ._samplers import Classes, FillFraction, Foreground, Instances, NonEmpty, Uniform

__all__ = [
    "Classes",
    "Crop",
    "FillFraction",
    "Foreground",
    "Instances",
    "NonEmpty",
    "Piece",
    "Sampler",
    "Shape",
    "Uniform",
    "cut",
    "generator",
    "pieces_of",
    "resampled",
]
