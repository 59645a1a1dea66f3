"""emfast: segmentation of large electron microscopy volumes, exact and the same everywhere.

Axes are (z, y, x), spacing is in nanometres, labels are integers with 0 as background. Results come back in the library
and on the device of the input, and never depend on the number of threads or on the device.
"""

from typing import TYPE_CHECKING, Any

from . import compat, cuda, phantom
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
from .morphology import dilate, erode
from .seeds import distance_peaks, h_maxima, seeded_watershed
from .trees import MergeTree, agglomerate, agglomerate_block

if TYPE_CHECKING:
    from . import blocks, blockwise, conversion, data, meshes, metrics, pipeline, segmentation, viewing, volumes
    from .blocks import map_blocks
    from .conversion import convert
    from .meshes import Mesh, mesh
    from .metrics import Contingency, Errors, Scores, compare, contingency, evaluate
    from .multicuts import Multicut, multicut, multicut_costs
    from .mutex import mutex_watershed, mutex_watershed_graph
    from .pipeline import segment
    from .segmentation import segment_affinities
    from .skeletons import Skeleton, Skeletons, skeletonize
    from .volumes import Volume, open_volume

__version__ = "0.1.0"

__all__ = [
    "NEAREST",
    "Contingency",
    "Errors",
    "LabelMap",
    "MergeTree",
    "Mesh",
    "Multicut",
    "PointCloud",
    "RegionGraph",
    "Scores",
    "Skeleton",
    "Skeletons",
    "Table",
    "Volume",
    "affinities",
    "agglomerate",
    "agglomerate_block",
    "blocks",
    "blockwise",
    "boundaries",
    "compare",
    "compat",
    "component_map",
    "components_of_graph",
    "connected_components",
    "contacts",
    "contingency",
    "conversion",
    "convert",
    "convert_affinities",
    "cuda",
    "data",
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
    "map_blocks",
    "mask",
    "mask_except",
    "mesh",
    "meshes",
    "metrics",
    "minmax",
    "multicut",
    "multicut_costs",
    "mutex_watershed",
    "mutex_watershed_graph",
    "nearest_background",
    "open_fragments",
    "open_volume",
    "phantom",
    "pipeline",
    "point_cloud",
    "refit",
    "region_graph",
    "remap",
    "renumber",
    "seeded_watershed",
    "segment",
    "segment_affinities",
    "segmentation",
    "set_threads",
    "signed_distance",
    "skeletonize",
    "statistics",
    "unique",
    "viewing",
    "volumes",
    "voxel_graph",
    "watershed",
]

# Modules that are imported when one of their names is first asked for, so that the package starts quickly.
_LATER: dict[str, tuple[str, ...]] = {
    "blocks": ("map_blocks",),
    "blockwise": (),
    "conversion": ("convert",),
    "data": (),
    "meshes": ("Mesh", "mesh"),
    "metrics": ("Contingency", "Errors", "Scores", "compare", "contingency", "evaluate"),
    "multicuts": ("Multicut", "multicut", "multicut_costs"),
    "mutex": ("mutex_watershed", "mutex_watershed_graph"),
    "pipeline": ("segment",),
    "segmentation": ("segment_affinities",),
    "skeletons": ("Skeleton", "Skeletons", "skeletonize"),
    "viewing": (),
    "volumes": ("Volume", "open_volume"),
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name == module or name in names:
            from importlib import import_module

            found = import_module(f"{__name__}.{module}")
            globals().update({module: found, **{n: getattr(found, n) for n in names}})
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
