"""Networks of other libraries behind the settings and geometry of ours. They are imported when a network is built."""

from __future__ import annotations

import copy
import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ._layers import folded, unfolded
from ._network import Geometry, Module, Network, Place, checked

__all__ = ["MaskRCNN", "Monai"]

Option = bool | int | float | str | tuple[int | float | str | tuple[int, ...], ...] | None

_GLOBAL = (nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)
_NORMS = (*_GLOBAL, nn.modules.batchnorm._NormBase)


@dataclass(frozen=True)
class Monai(Network):
    """A network of MONAI by its name in ``monai.networks.nets``, with its ``options``.

    ``spatial_dims``, ``in_channels`` and ``out_channels`` are set here. Sides of inputs are multiples of ``stride``.
    How far it sees is found by trial, when it is built, up to ``farthest`` voxels.
    """

    name: str
    options: dict[str, Option] = field(default_factory=dict)
    stride: tuple[int, ...] = (16, 16, 16)
    planar: bool = False
    farthest: int = 256

    def __post_init__(self) -> None:
        if len(self.stride) != 3 or min(self.stride) < 1:
            raise ValueError(f"stride must be three numbers of at least 1, got {self.stride}")
        if self.planar and self.stride[0] != 1:
            raise ValueError(f"stride must be 1 along z where planar, got {self.stride}")

    def build(self, channels: int, heads: Mapping[str, int]) -> Module:
        """See :meth:`Network.build`."""
        checked(heads)
        nets = _imported("monai.networks.nets", "monai", f"the network {self.name} needs MONAI: pip install monai")
        kind = getattr(nets, self.name, None)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise ValueError(f"name must be a network of monai.networks.nets, got {self.name!r}")
        sizes = {"spatial_dims": 2 if self.planar else 3, "in_channels": channels, "out_channels": sum(heads.values())}
        try:
            net = kind(**sizes, **self.options)
        except TypeError as error:
            raise ValueError(f"options must be those of {self.name}: {error}") from None
        return Foreign(net, heads, channels, self)


class Foreign(Module):
    """A network with one output, whose channels are dealt to the heads."""

    def __init__(self, net: nn.Module, heads: Mapping[str, int], channels: int, settings: Monai) -> None:
        super().__init__()
        self.net, self.heads, self.planar = net, dict(heads), settings.planar
        self.geometry = measured(self, channels, settings.stride, settings.farthest)
        self.places = {name: Place((1, 1, 1), (0, 0, 0)) for name in heads}

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        sections = image.shape[2]
        found = self.net(folded(image) if self.planar else image)
        while isinstance(found, list | tuple):  # further ones are auxiliary
            found = found[0]
        if found.dim() > image.dim() - self.planar:  # stacked by deep supervision
            found = found[:, 0]
        if self.planar:
            found = unfolded(found, sections)
        parts = found.split(list(self.heads.values()), 1)
        return dict(zip(self.heads, parts, strict=True))


def measured(module: Module, channels: int, stride: tuple[int, ...], farthest: int) -> Geometry:
    """The geometry of a module with padding, found by letting NaN run through a copy without its norms."""
    if next(module.parameters()).is_meta:
        z, y, x = stride
        return Geometry((2 * farthest + 1,) * 3, (z, y, x), (0, 0, 0), (z, y, x), False)
    probe = copy.deepcopy(module).eval()
    local = True
    for parent in list(probe.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _NORMS):
                local = local and not isinstance(child, _GLOBAL)
                setattr(parent, name, nn.Identity())
    fields = []
    for axis in range(3):
        reach = _reach(probe, channels, stride, axis, farthest)
        local = local and reach < farthest
        fields.append(2 * reach + 1)
    (a, b, c), (z, y, x) = fields, stride
    return Geometry((a, b, c), (z, y, x), (0, 0, 0), (z, y, x), local)


@torch.no_grad()  # type: ignore[untyped-decorator]
def _reach(module: Module, channels: int, stride: tuple[int, ...], axis: int, farthest: int) -> int:
    """How far a voxel is felt along an axis, at most: voxels at all places of a stride, in the middle of a line that is
    doubled until they do not reach its ends. Other axes are as short as may be."""
    step = stride[axis]
    side = step * max(2, math.ceil(16 / step))
    while True:
        shape = [2 * s for s in stride]
        shape[axis] = side
        middle = side // 2 // step * step
        felt = []
        for at in range(middle, middle + step):
            image = torch.zeros(1, channels, *shape)
            image.select(axis + 2, at).fill_(torch.nan)
            found = next(iter(module(image).values()))[0].isnan().any(0).movedim(axis, 0).flatten(1).any(1).nonzero()
            felt += [abs(int(found.min()) - at), abs(int(found.max()) - at)] if len(found) else [0]
        if max(felt) < middle - step or side // 2 >= farthest:
            return min(max(felt), farthest)
        side *= 2


@dataclass(frozen=True)
class MaskRCNN(Network):
    """Mask R-CNN of torchvision, for sections (paper 18). Its module finds objects: see :class:`Detector`.

    ``backbone`` is ResNet-50 with a feature pyramid; ``size`` and ``largest`` are what sections are resized to;
    of ``regions`` in a section is learnt at a time, a quarter of them with masks.
    """

    classes: int = 1
    size: int = 512
    largest: int = 1024
    detections: int = 300
    regions: int = 512

    def __post_init__(self) -> None:
        for name in ("classes", "size", "largest", "detections", "regions"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def build(self, channels: int, heads: Mapping[str, int]) -> Module:
        """See :meth:`Network.build`; heads are one, of one channel, and images have one channel or three."""
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3 for Mask R-CNN, got {channels}")
        detection = _imported(
            "torchvision.models.detection", "torchvision", "Mask R-CNN needs torchvision: pip install torchvision"
        )
        if list(heads.values()) != [1]:
            raise ValueError(f"heads must be one of one channel, got {dict(heads)}")
        net = detection.maskrcnn_resnet50_fpn(
            weights=None,
            weights_backbone=None,
            num_classes=self.classes + 1,
            min_size=self.size,
            max_size=self.largest,
            box_detections_per_img=self.detections,
            box_batch_size_per_image=self.regions,
            image_mean=[0.0] * 3,
            image_std=[1.0] * 3,
        )
        return Detector(net, next(iter(heads)))


class Detector(Module):
    """As a module it gives the logit of the likeliest object at each pixel; objects one by one come from
    :meth:`detect`, and what is to be made small in training from :meth:`losses`."""

    def __init__(self, net: nn.Module, head: str) -> None:
        super().__init__()
        self.net, self.head = net, head
        self.geometry = Geometry((1, 1025, 1025), (1, 1, 1), (0, 0, 0), (1, 32, 32), False)
        self.places = {head: Place((1, 1, 1), (0, 0, 0))}

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        if image.is_meta:
            self._every_part(image)
            return {self.head: image.new_empty((len(image), 1, *image.shape[2:]))}
        maps = []
        for found in self.detect(image):
            likely = found["masks"][:, 0] * found["scores"][:, None, None]
            empty = image.new_zeros((1, *image.shape[3:]))
            maps.append(torch.cat([empty, likely]).amax(0).clamp(1e-6, 1 - 1e-6).logit())
        stacked = torch.stack(maps).unflatten(0, (image.shape[0], image.shape[2]))
        return {self.head: stacked[:, None]}

    def detect(self, image: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Boxes, scores, labels and masks of each section."""
        training = self.net.training
        found: list[dict[str, torch.Tensor]] = self.net.eval()(self._sections(image))
        self.net.train(training)
        return found

    def losses(self, image: torch.Tensor, targets: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        """Of sections and their boxes, labels and masks, as torchvision names them."""
        found: dict[str, torch.Tensor] = self.net.train()(self._sections(image), targets)
        return found

    def _every_part(self, image: torch.Tensor) -> None:
        """The work of a section where nothing can be found, for it has no values: with as many regions as there may
        be."""
        sections, _ = self.net.transform(self._sections(image))
        features = self.net.backbone(sections.tensors)
        self.net.rpn.head(list(features.values()))
        parts = self.net.roi_heads
        if self.training:
            boxes = parts.fg_bg_sampler.batch_size_per_image
            masks = int(boxes * parts.fg_bg_sampler.positive_fraction)
        else:
            boxes, masks = self.net.rpn.post_nms_top_n(), parts.detections_per_img
        width = self.net.backbone.out_channels
        for pool, many, through in (
            (parts.box_roi_pool, boxes, (parts.box_head, parts.box_predictor)),
            (parts.mask_roi_pool, masks, (parts.mask_head, parts.mask_predictor)),
        ):
            regions = image.new_empty((many * len(sections.image_sizes), width, *pool.output_size))
            nn.Sequential(*through)(regions)

    @staticmethod
    def _sections(image: torch.Tensor) -> list[torch.Tensor]:
        """Of three channels: one is there three times."""
        return [section.expand(3, -1, -1) for section in folded(image)]


def _imported(module: str, package: str, message: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(message, name=package) from None
    except RuntimeError as error:  # what torchvision says where its binary was made for another torch
        raise ImportError(
            f"{package} does not fit torch {torch.__version__}: {error}. Install the {package} that was made for it.",
            name=package,
        ) from error
