"""Augmentation: what else the same tissue could have looked like. Settings; the work is native.

An augmentation is a list of steps. All that move voxels make one resample of image, labels and masks together, so that
nothing is interpolated twice: flips, turns and scales in their order, in a patch whose sections were shifted and
whose tissue was displaced. Then the others change the image alone, in their order. What comes out is a function of
the crop and of the random numbers it is given, whatever the number of threads.

Angles and scales are those of the tissue: a turn respects the spacing. Lengths (displacements, shifts, blur) are
voxels, as papers give them. Grey values are shares of the range from black to white.

Labels are moved as ids, and targets are made of them afterwards. A mask is False where nothing was in the crop.
"""

from ._augmentation import Augmentation
from ._defects import Artefact, CutOut, Defect, LowContrast, Missing, MotionBlur, OutOfFocus
from ._geometry import Elastic, Flip, PiecewiseAffine, Rotate, Scale, Shear
from ._mixtures import deepem, flips, gunpowder, plain, unet
from ._sections import Jitter, Lost, Misalign, Slip
from ._step import All, OneOf, Step
from ._tones import Blur, Brightness, Clip, Contrast, Equalise, Gamma, Noise

__all__ = [
    "All",
    "Artefact",
    "Augmentation",
    "Blur",
    "Brightness",
    "Clip",
    "Contrast",
    "CutOut",
    "Defect",
    "Elastic",
    "Equalise",
    "Flip",
    "Gamma",
    "Jitter",
    "Lost",
    "LowContrast",
    "Misalign",
    "Missing",
    "MotionBlur",
    "Noise",
    "OneOf",
    "OutOfFocus",
    "PiecewiseAffine",
    "Rotate",
    "Scale",
    "Shear",
    "Slip",
    "Step",
    "deepem",
    "flips",
    "gunpowder",
    "plain",
    "unet",
]
