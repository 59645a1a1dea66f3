"""emfast: segmentation of large electron microscopy volumes, exact and the same everywhere.

Axes are (z, y, x), spacing is in nanometres, labels are integers with 0 as background. Results come back in the library
and on the device of the input, and never depend on the number of threads or on the device.
"""

from . import compat, cuda, metrics, phantom, segmentation
from ._native import get_threads, set_threads
from ._table import Table
from .affinities import NEAREST, affinities, boundaries, convert_affinities
from .components import connected_components
from .connectivity import components_of_graph, voxel_graph
from .distance import edt, nearest_background, signed_distance
from .fragments import distance_watershed, watershed
from .graphs import RegionGraph, open_fragments, region_graph
from .labels import (
    LabelMap,
    PointCloud,
    component_map,
    dust,
    each,
    fill_holes,
    inverse_component_map,
    largest_k,
    mask,
    mask_except,
    minmax,
    point_cloud,
    refit,
    remap,
    renumber,
    unique,
)
from .measurement import contacts, statistics
from .metrics import Contingency, Scores, contingency, evaluate
from .morphology import dilate, erode
from .multicuts import Multicut, multicut, multicut_costs
from .mutex import mutex_watershed, mutex_watershed_graph
from .seeds import distance_peaks, h_maxima, seeded_watershed
from .segmentation import segment_affinities
from .skeletons import Skeleton, Skeletons, skeletonize
from .trees import MergeTree, agglomerate, agglomerate_block

__version__ = "0.1.0"

__all__ = [
    "NEAREST",
    "Contingency",
    "LabelMap",
    "MergeTree",
    "Multicut",
    "PointCloud",
    "RegionGraph",
    "Scores",
    "Skeleton",
    "Skeletons",
    "Table",
    "affinities",
    "agglomerate",
    "agglomerate_block",
    "boundaries",
    "compat",
    "component_map",
    "components_of_graph",
    "connected_components",
    "contacts",
    "contingency",
    "convert_affinities",
    "cuda",
    "dilate",
    "distance_peaks",
    "distance_watershed",
    "dust",
    "each",
    "edt",
    "erode",
    "errors",
    "evaluate",
    "fill_holes",
    "get_threads",
    "h_maxima",
    "inverse_component_map",
    "largest_k",
    "mask",
    "mask_except",
    "metrics",
    "minmax",
    "multicut",
    "multicut_costs",
    "mutex_watershed",
    "mutex_watershed_graph",
    "nearest_background",
    "open_fragments",
    "phantom",
    "point_cloud",
    "refit",
    "region_graph",
    "remap",
    "renumber",
    "seeded_watershed",
    "segment_affinities",
    "segmentation",
    "set_threads",
    "signed_distance",
    "skeletonize",
    "statistics",
    "unique",
    "voxel_graph",
    "watershed",
]
