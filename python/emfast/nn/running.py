"""A trained network made quick for inference: batch norms folded into convolutions, channels last, fewer bits."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import nn

from ._layers import Chain, Convolution
from ._network import Module

__all__ = ["Ready", "channels_last", "check_gradients", "ready", "usual_precision"]

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def usual_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """bfloat16 where a device computes in it quickly: GPUs that have it, processors with AVX512-BF16 or AMX."""
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return "bfloat16" if device.type == "cpu" and any(has is not None and has() for has in asked) else "float32"


def check_gradients(module: nn.Module, shape: tuple[int, ...]) -> None:
    """Refuse what processors get wrong in 16 bits: weights of a convolution in 3D over fewer voxels than its kernel has
    along an axis have gradients of whatever memory held (oneDNN as of torch 2.13; a run was not the same twice)."""

    def look(part: nn.Conv3d, given: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
        sides = tuple(given[0].shape[2:])
        if any(n < k for n, k in zip(sides, part.kernel_size, strict=True)):
            raise ValueError(
                f"precision must be float32 on the CPU for this network: a kernel of {part.kernel_size} sees {sides} "
                "voxels of a patch, whose gradients torch gets wrong in 16 bits; or choose a larger patch"
            )

    if not any(isinstance(part, nn.Conv3d) for part in module.modules()):
        return
    empty = copy.deepcopy(module).to("meta").train()
    for part in empty.modules():
        if isinstance(part, nn.Conv3d):
            part.register_forward_hook(look)
    with torch.no_grad():
        empty(torch.empty(shape, device="meta"))


def channels_last(module: nn.Module) -> None:
    """Lay the weights of convolutions out so that features come with their channels last: quicker in 16 bits."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last)
        if isinstance(part, nn.Conv3d | nn.ConvTranspose3d):
            part.weight.data = part.weight.data.contiguous(memory_format=torch.channels_last_3d)


class Ready(Module):
    """What :func:`ready` gives: the same outputs, up to rounding, in float32 and without gradients."""

    def __init__(self, module: Module, dtype: torch.dtype, *, compiled: bool) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype
        self.geometry, self.places, self.inputs = module.geometry, module.places, module.inputs
        self.call: Any = torch.compile(module) if compiled else module

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        # Not in inference mode where it is compiled: its guards would compile anew for tensors made in one.
        with torch.inference_mode() if self.call is self.module else torch.no_grad():
            found = self.call(image.to(self.dtype))
            return {name: x.float() for name, x in found.items()}

    def train(self, mode: bool = True) -> Ready:
        """Stays as it is: for inference."""
        return self


def ready(
    module: Module,
    *,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
    compile: bool = False,
) -> Ready:
    """A copy for inference, on the same device.

    In float32 outputs differ by rounding alone. In 16 bits weights and features have these, sums and what norms measure
    still 32, and logits come back in float32; bfloat16 pays on processors that have it (AVX512-BF16, AMX) and on GPUs,
    float16 on GPUs.

    Parameters
    ----------
    module : Module
    precision : {"float32", "bfloat16", "float16"}
    compile : bool
        By ``torch.compile``, at the first call for each shape; needs a C++ compiler, and on processors is often slower.

    Returns
    -------
    Ready : a Module of the same geometry

    Examples
    --------
    >>> import torch
    >>> from emfast import nn
    >>> unet = nn.UNet(levels=(nn.Level(8), nn.Level(16))).build(1, {"membrane": 1})
    >>> nn.ready(unet, precision="bfloat16")(torch.zeros(1, 1, 8, 8, 8))["membrane"].shape
    torch.Size([1, 1, 8, 8, 8])
    """
    if precision not in _DTYPES:
        raise ValueError(f"precision must be one of {', '.join(_DTYPES)}, got {precision!r}")
    made = copy.deepcopy(module).eval().requires_grad_(False)
    _fold(made)
    dtype = _DTYPES[precision]
    for part in made.modules():
        # Batch and instance norms want weights in 32 bits beside features in 16, others those of the features.
        if not isinstance(part, nn.modules.batchnorm._NormBase):
            _cast(part, dtype)
    if not any(isinstance(part, nn.modules.batchnorm._NormBase) for part in made.modules()):
        channels_last(made)  # norms of torch read channels one by one
    return Ready(made, dtype, compiled=compile)


class Scaled(nn.Module):  # type: ignore[misc]
    """A batch norm in evaluation."""

    def __init__(self, norm: nn.Module, axes: int) -> None:
        super().__init__()
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shape = (-1, *[1] * axes)
        self.register_buffer("scale", scale.view(shape))
        self.register_buffer("shift", (norm.bias - norm.running_mean * scale).view(shape))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.addcmul(self.shift, x, self.scale)


def _fold(module: Module) -> None:
    """Each batch norm right behind a convolution becomes part of it; others a product and a sum, which are quicker."""
    for chain in module.modules():
        parts = chain.parts if isinstance(chain, Chain) else []
        for k, norm in enumerate(parts):
            before = parts[k - 1] if k else None
            if not isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
                continue
            if isinstance(before, Convolution):
                before.convolution = nn.utils.fusion.fuse_conv_bn_eval(before.convolution, norm)
                parts[k] = nn.Identity()
            else:
                parts[k] = Scaled(norm, 2 if isinstance(norm, nn.BatchNorm2d) else 3)


def _cast(part: nn.Module, dtype: torch.dtype) -> None:
    for values in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
        if values.is_floating_point():
            values.data = values.data.to(dtype)
