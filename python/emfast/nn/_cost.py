"""What a network costs before it runs: parameters, arithmetic and memory, counted on torch's meta device."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from ._network import Module, Network

__all__ = ["Cost", "cost", "count"]


@dataclass(frozen=True)
class Cost:
    """Of a network and a shape of input.

    Attributes
    ----------
    parameters : how many are learnt
    flops : per voxel of the output, for inference: of convolutions and matrix products, two for each product and sum
    activations : bytes that one input in float32 keeps until the backward pass of training
    """

    parameters: int
    flops: float
    activations: int


def cost(network: Network, channels: int, heads: Mapping[str, int], shape: Sequence[int]) -> Cost:
    """Of settings: nothing is computed and no memory taken, where the network is one of emfast's.

    Examples
    --------
    >>> from emfast import nn
    >>> nn.cost(nn.UNet(levels=(nn.Level(4, kernel=(1, 3, 3)),), norm="none"), 1, {"membrane": 1}, (1, 8, 8))
    Cost(parameters=193, flops=368.0, activations=2304)
    """
    with torch.device("meta"):
        module = network.build(channels, heads)
    return count(module, shape, channels=channels)


def count(module: Module, shape: Sequence[int], *, channels: int = 1) -> Cost:
    """Of a module, for an image (1, channels, *shape), and what else it takes."""
    module.geometry.output(shape)  # says what fits
    channels = module.inputs or channels
    module = copy.deepcopy(module).to("meta")
    image = torch.empty((2, channels, *shape), device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outputs = module.eval()(image[:1])
    voxels = math.prod(next(iter(outputs.values())).shape[2:])
    own = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # held, so that no storage has the number of one that is gone

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # Two inputs, for norms need more than one value; the graph is held, since its nodes are what keeps.
        graph = module.requires_grad_(True).train()(image)
    del graph
    parameters = sum(parameter.numel() for parameter in module.parameters())
    activations = sum(storage.nbytes() for storage in kept.values()) // 2
    return Cost(parameters, counter.get_total_flops() / voxels, activations)
