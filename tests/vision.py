"""torchvision for tests.

PyPI has no binary of it for a torch without CUDA. Where it does not load, the two operators that Mask R-CNN takes are
written here in torch, slow and by their definitions, so that everything else can be tested.
"""

from __future__ import annotations

import functools
import sys

import pytest


def torchvision():
    """The package; skips where there is none."""
    return load() or pytest.skip("needs torchvision")


@functools.cache
def load():
    """The package, None where there is none."""
    import torch

    try:
        import torchvision as package
    except ModuleNotFoundError as missing:
        if missing.name != "torchvision":
            raise
        return None
    except RuntimeError as unfit:  # "operator torchvision::nms does not exist"
        if "torchvision::" not in str(unfit):
            raise
        return _with_operators(torch)
    return package


def _with_operators(torch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    suppression = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    library.define(f"nms{suppression}")
    library.define(f"qnms{suppression}")
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width, "
        "int sampling_ratio, bool aligned) -> Tensor"
    )
    library.impl("nms", nms, "CPU")
    library.impl("roi_align", roi_align, "CompositeImplicitAutograd")
    import torchvision as package
    from torchvision.models import detection  # noqa: F401

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "torchvision":
            for asked, answer in (("_has_ops", True), ("_assert_has_ops", None)):
                if hasattr(module, asked):
                    setattr(module, asked, lambda answer=answer: answer)
    package.operators = library  # they are there as long as it is
    return package


def nms(boxes, scores, threshold):
    """The boxes, best first, that overlap no better one by more than that."""
    import torch
    from torchvision.ops import box_iou

    order = scores.argsort(descending=True, stable=True)
    over = box_iou(boxes[order], boxes[order]) > threshold
    kept = torch.ones(len(order), dtype=torch.bool)
    for k in range(len(order)):
        if kept[k]:
            kept[k + 1 :] &= ~over[k, k + 1 :]
    return order[kept]


def roi_align(image, boxes, scale, height, width, many, aligned):
    """Means of bilinear samples in the cells of boxes (section, x, y, x, y): as many along a side as said, or one for
    each pixel. Samples more than one pixel outside are 0."""
    import torch

    def weights(start, end, cells, size):
        length = end - start if aligned else (end - start).clamp(min=1)
        samples = many if many > 0 else int((length / cells).ceil().clamp(min=1))
        at = start + (torch.arange(cells * samples) + 0.5) * (length / (cells * samples))
        hats = (1 - (at.clamp(0, size - 1)[:, None] - torch.arange(size)).abs()).clamp(min=0)
        hats *= ((at >= -1) & (at <= size))[:, None]
        return hats.unflatten(0, (cells, samples)).mean(1)

    found = [image.new_zeros((0, image.shape[1], height, width))]
    for section, *box in boxes.detach().float().tolist():
        x, y, x_end, y_end = (torch.tensor(side) * scale - aligned / 2 for side in box)
        rows, columns = weights(y, y_end, height, image.shape[2]), weights(x, x_end, width, image.shape[3])
        cells = torch.einsum("ph,chw,qw->cpq", rows, image[int(section)].float(), columns)
        found.append(cells[None].to(image.dtype))
    return torch.cat(found)
