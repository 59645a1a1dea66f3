"""What emfast raises, beside the built-in ones.

Exception
├── ValueError            a value out of range, shapes that do not agree
├── TypeError             a dtype or object that cannot be taken
├── MemoryError           scratch or output does not fit
├── KeyboardInterrupt     Ctrl-C during a native call; outputs under way are dropped
└── RuntimeError
    └── DeviceUnavailable     a device was asked for and there is none, or this build has no CUDA module
"""

from __future__ import annotations


class DeviceUnavailable(RuntimeError):
    """A CUDA device was asked for and cannot be used; the message says what is missing."""
