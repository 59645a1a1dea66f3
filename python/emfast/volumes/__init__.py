"""Volumes in files: every format of electron microscopy behind one door, larger than memory, always z, y, x."""

from ._listing import volumes_in
from ._pyramids import downsample, write_pyramid
from ._volume import Volume, open_volume

__all__ = ["Volume", "downsample", "open_volume", "volumes_in", "write_pyramid"]
