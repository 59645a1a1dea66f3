"""emfast: segmentation of large electron microscopy volumes, exact and the same everywhere.

Axes are (z, y, x), spacing is in nanometres, labels are integers with 0 as background. Results come back in the library
and on the device of the input, and never depend on the number of threads or on the device.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors see; a test compares it with _HOMES
    from . import (
        augmentation,
        blocks,
        blockwise,
        compat,
        conversion,
        cuda,
        data,
        errors,
        meshes,
        metrics,
        phantom,
        pipeline,
        sampling,
        segmentation,
        targets,
        viewing,
        volumes,
    )
    from . import inference as inference
    from . import nn as nn
    from . import recipes as recipes
    from . import training as training
    from ._native import get_threads, set_threads
    from ._table import Table
    from .blocks import map_blocks
    from .components import connected_components
    from .connectivity import components_of_graph, voxel_graph
    from .conversion import convert
    from .distance import edt, nearest_background, signed_distance
    from .edges import NEAREST, affinities, boundaries, convert_affinities
    from .fragments import distance_watershed, watershed
    from .graphs import RegionGraph, open_fragments, region_graph
    from .inference import predict as predict
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
    from .malis import malis_weights
    from .measurement import contacts, statistics
    from .meshes import Mesh, mesh
    from .metrics import Contingency, Errors, Scores, compare, contingency, evaluate
    from .morphology import dilate, erode
    from .multicuts import Multicut, multicut, multicut_costs
    from .mutex import mutex_watershed, mutex_watershed_graph
    from .pipeline import segment
    from .seeds import distance_peaks, h_maxima, seeded_watershed
    from .segmentation import segment_affinities
    from .skeletons import Skeleton, Skeletons, skeletonize
    from .training import train as train
    from .trees import MergeTree, agglomerate, agglomerate_block
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
    "augmentation",
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
    "malis_weights",
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
    "sampling",
    "seeded_watershed",
    "segment",
    "segment_affinities",
    "segmentation",
    "set_threads",
    "signed_distance",
    "skeletonize",
    "statistics",
    "targets",
    "unique",
    "viewing",
    "volumes",
    "voxel_graph",
    "watershed",
]

# Public names by the module that has them, which is imported when one of them is first asked for: the package starts
# quickly. No module has the name of another's call: it would be found in the place of that.
_HOMES: dict[str, tuple[str, ...]] = {
    "_native": ("get_threads", "set_threads"),
    "_table": ("Table",),
    "augmentation": (),
    "blocks": ("map_blocks",),
    "blockwise": (),
    "compat": (),
    "components": ("connected_components",),
    "connectivity": ("components_of_graph", "voxel_graph"),
    "conversion": ("convert",),
    "cuda": (),
    "data": (),
    "distance": ("edt", "nearest_background", "signed_distance"),
    "edges": ("NEAREST", "affinities", "boundaries", "convert_affinities"),
    "errors": (),
    "fragments": ("distance_watershed", "watershed"),
    "graphs": ("RegionGraph", "open_fragments", "region_graph"),
    "labels": (
        "LabelMap",
        "PointCloud",
        "component_map",
        "dust",
        "each",
        "fill_holes",
        "inverse_component_map",
        "largest_k",
        "mask",
        "mask_except",
        "minmax",
        "point_cloud",
        "refit",
        "remap",
        "renumber",
        "unique",
    ),
    "malis": ("malis_weights",),
    "measurement": ("contacts", "statistics"),
    "meshes": ("Mesh", "mesh"),
    "metrics": ("Contingency", "Errors", "Scores", "compare", "contingency", "evaluate"),
    "morphology": ("dilate", "erode"),
    "multicuts": ("Multicut", "multicut", "multicut_costs"),
    "mutex": ("mutex_watershed", "mutex_watershed_graph"),
    "phantom": (),
    "pipeline": ("segment",),
    "sampling": (),
    "seeds": ("distance_peaks", "h_maxima", "seeded_watershed"),
    "segmentation": ("segment_affinities",),
    "skeletons": ("Skeleton", "Skeletons", "skeletonize"),
    "targets": (),
    "trees": ("MergeTree", "agglomerate", "agglomerate_block"),
    "viewing": (),
    "volumes": ("Volume", "open_volume"),
}
# Those that need torch are reached by name, but are not among the names of ``__all__``: a star imports no torch.
_WITH_TORCH: dict[str, tuple[str, ...]] = {
    "inference": ("predict",),
    "nn": (),
    "recipes": (),
    "training": ("train",),
}
_HOME_OF = {name: home for home, names in (_HOMES | _WITH_TORCH).items() for name in (home, *names)}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"{__name__}.{home}")
    found = module if name == home else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_HOME_OF})
