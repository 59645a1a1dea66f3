"""Networks of the literature for torch: settings (dataclasses) that build modules.

A network takes (n, c, z, y, x) and gives logits by head; a 2D network takes depth 1, or any depth section by section.
"""

from ._network import Geometry, Module, Network, Place
from .blocks import HVEC, Block, Dense, Dilated, Fusion, Inception, Plain, PreActivated, Residual, Symmetric
from .bottlenecks import ASPP, Bottleneck, Pyramid
from .running import Ready, ready
from .stems import Collapse, Convolved, Slices, Stem, StridedOrPooled, ZeroMean
from .unet import Level, UNet

__all__ = [
    "ASPP",
    "HVEC",
    "Block",
    "Bottleneck",
    "Collapse",
    "Convolved",
    "Dense",
    "Dilated",
    "Fusion",
    "Geometry",
    "Inception",
    "Level",
    "Module",
    "Network",
    "Place",
    "Plain",
    "PreActivated",
    "Pyramid",
    "Ready",
    "Residual",
    "Slices",
    "Stem",
    "StridedOrPooled",
    "Symmetric",
    "UNet",
    "ZeroMean",
    "ready",
]
