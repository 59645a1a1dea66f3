"""Networks of the literature for torch: settings (dataclasses) that build modules.

A network takes (n, c, z, y, x) and gives logits by head; a 2D network takes depth 1, or any depth section by section.
"""

from ._cost import Cost, cost, count
from ._network import Geometry, Module, Network, Place
from .blocks import HVEC, Block, Dense, Dilated, Fusion, Inception, Plain, PreActivated, Residual, Symmetric
from .bottlenecks import ASPP, Bottleneck, Pyramid
from .deeplab import DeepLab
from .fcn import FCN, FCNLayer
from .ffn import FloodFill, FloodFilling, edges, peaks
from .foreign import MaskRCNN, Monai
from .highres import HighRes3D
from .running import Ready, ready
from .stems import Collapse, Convolved, Slices, Stem, StridedOrPooled, ZeroMean
from .unet import Level, UNet
from .vnet import VNet

__all__ = [
    "ASPP",
    "FCN",
    "HVEC",
    "Block",
    "Bottleneck",
    "Collapse",
    "Convolved",
    "Cost",
    "DeepLab",
    "Dense",
    "Dilated",
    "FCNLayer",
    "FloodFill",
    "FloodFilling",
    "Fusion",
    "Geometry",
    "HighRes3D",
    "Inception",
    "Level",
    "MaskRCNN",
    "Module",
    "Monai",
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
    "VNet",
    "ZeroMean",
    "cost",
    "count",
    "edges",
    "peaks",
    "ready",
]
