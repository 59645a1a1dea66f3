"""Networks of the literature for torch: settings (dataclasses) that build modules.

A network takes (n, c, z, y, x) and gives logits by head; a 2D network takes depth 1, or any depth section by section.
"""

from ._network import Geometry, Module, Network

__all__ = ["Geometry", "Module", "Network"]
