"""Instances from what networks predict: the decoders of the literature, as small compositions of emfast's steps.

Every decoder is a function of arrays whose parameters have defaults and ranges; :func:`ranges` lists them, so that a
search over them needs to know nothing else. Probabilities are floats from 0 to 1, or uint8 where 255 means 1. Axes are
(z, y, x) or (y, x). Results come back in the library of the input.
"""

from ._shared import Between, ranges
from ._tuning import Tuned, tune
from .affinities import gasp, membrane_watershed, multicut, mutex, segment_affinities
from .contours import refine_contours, surround_suppression
from .cylinders import split_cylinders
from .embeddings import centre_offset, embedding_cluster
from .masks import (
    boundary_contour_distance_watershed,
    boundary_contour_watershed,
    distance_threshold,
    seeds_grow,
    threshold_components,
)
from .objects import consensus, filter_size, link_slices, morphology, smooth, split_by_shape, z_median

__all__ = [
    "Between",
    "Tuned",
    "boundary_contour_distance_watershed",
    "boundary_contour_watershed",
    "centre_offset",
    "consensus",
    "distance_threshold",
    "embedding_cluster",
    "filter_size",
    "gasp",
    "link_slices",
    "membrane_watershed",
    "morphology",
    "multicut",
    "mutex",
    "ranges",
    "refine_contours",
    "seeds_grow",
    "segment_affinities",
    "smooth",
    "split_by_shape",
    "split_cylinders",
    "surround_suppression",
    "threshold_components",
    "tune",
    "z_median",
]
