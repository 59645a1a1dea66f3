"""What a network is to say of labels: a target makes it, with a weight that is 0 where nothing is known.

A target is made on a crop with ``margin`` voxels around what is asked for, so that what it says at the border of a
patch is what it would say inside the volume: cut to the inner voxels, both are equal, bit for bit. A voxel counts where
it is known, and where nothing that is unknown could change what is said of it. NumPy in, NumPy out.

``per_section=True`` takes each section by itself: for networks in two dimensions, and for thick sections.
"""

from ._borders import Contour, Membrane, SignedDistance
from ._classes import Semantic
from ._edges import Affinities, Instances
from ._lines import CentreLine
from ._objects import Centre, Ovality
from ._shape import Shape
from ._target import Target

__all__ = [
    "Affinities",
    "Centre",
    "CentreLine",
    "Contour",
    "Instances",
    "Membrane",
    "Ovality",
    "Semantic",
    "Shape",
    "SignedDistance",
    "Target",
]
