"""emfast: segmentation of large electron microscopy volumes, exact and the same everywhere.

Axes are (z, y, x), spacing is in nanometres, labels are integers with 0 as background. Results come back in the library
and on the device of the input, and never depend on the number of threads or on the device.
"""

from . import cuda, phantom
from ._native import get_threads, set_threads
from .components import connected_components
from .distance import edt, nearest_background, signed_distance

__version__ = "0.1.0"

__all__ = [
    "connected_components",
    "cuda",
    "edt",
    "errors",
    "get_threads",
    "nearest_background",
    "phantom",
    "set_threads",
    "signed_distance",
]
