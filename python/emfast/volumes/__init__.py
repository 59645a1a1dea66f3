"""Volumes in files: every format of electron microscopy behind one door, larger than memory, always z, y, x."""

from ._listing import volumes_in
from ._places import parse
from ._pyramids import downsample, write_pyramid
from ._saving import check_free, saved
from ._volume import Volume, open_volume

__all__ = [
    "Volume",
    "check_free",
    "downsample",
    "open_volume",
    "parse",
    "saved",
    "volumes_in",
    "write_pyramid",
]
