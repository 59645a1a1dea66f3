"""The operations of emfast on volumes larger than memory, block by block: the same names, the same results to the bit.

Each takes arrays, Volumes or places of volumes, and a target to write to. They run on the threads of this process or
on a Dask client, and a run that was cut short goes on where it stood (see :func:`emfast.map_blocks`).
"""

from ._run import plan
from .components import connected_components
from .distance import edt, signed_distance
from .fragments import watershed
from .graphs import region_graph
from .labels import remap, renumber, unique
from .measurement import statistics
from .objects import dust, fill_holes, largest_k
from .skeletons import skeletonize
from .tables import contacts, contingency
from .trees import agglomerate

__all__ = [
    "agglomerate",
    "connected_components",
    "contacts",
    "contingency",
    "dust",
    "edt",
    "fill_holes",
    "largest_k",
    "plan",
    "region_graph",
    "remap",
    "renumber",
    "signed_distance",
    "skeletonize",
    "statistics",
    "unique",
    "watershed",
]
