"""DeepLabv3+ as a baseline: a residual encoder of stride 16, dilated convolutions side by side, and a light decoder
with one skip. Made for natural images; in EM it is what larger organelles are tried with."""

from __future__ import annotations

from ..augmentation import plain
from ..nn import DeepLab
from ..nn.losses import CrossEntropy
from ..sampling import Foreground
from ..targets import Semantic
from ._blocks import segment_components
from ._decoders import objects as decode
from ._method import Head, Inference, Method, Optimiser, Recipe, Term

RECIPE = Recipe(
    name="deeplab",
    title="DeepLabv3+",
    paper="Chen et al.: Encoder-decoder with atrous separable convolution for semantic image segmentation (ECCV, 2018)",
    number=0,
    task="mitochondria, or another class",
    method=Method(
        network=DeepLab(blocks=(3, 4, 6, 3)),
        heads=(Head("mask", Semantic(background=True), (Term(CrossEntropy()),), "softmax"),),
        patch=(1, 512, 512),
        augmentation=plain(),
        sampler=Foreground(0.5),
        optimiser=Optimiser("sgd", 7e-3, schedule="poly", weight_decay=4e-5),
        inference=Inference(blend="linear"),
        batch=8,
        steps=30_000,
    ),
    decode=decode,
    segment=segment_components,
    changed="The encoder is a residual one of 34 layers that starts from scratch, and no Xception with pretrained "
    "weights; convolutions are not separable; the pyramid has no mean of the whole image, so that tiles agree, and a "
    "further 1³ convolution behind it.",
    unknown="Rate, weight decay and the widths of the decoder are from memory; augmentation and sampler: ours.",
    small={
        "network": DeepLab(widths=(8, 16, 16, 16), blocks=(1, 1, 1, 1), rates=(1, 2), pyramid=16, low=8, decoder=16),
        "optimiser.rate": 0.05,
        "patch": (1, 64, 64),
        "batch": 1,
    },
)
