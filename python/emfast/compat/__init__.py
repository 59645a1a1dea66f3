"""Drop-ins: other people's names and signatures on emfast's functions, so that a pipeline changes one import.

``from emfast.compat import cc3d`` in the place of ``import cc3d``; likewise ``affogato``, ``cremi``, ``edt``,
``elf_evaluation``, ``fastremap``, ``fill_voids``, ``funlib_evaluate``, ``mwatershed``, ``skimage``,
``stardist_matching`` and ``waterz``. Each module translates arguments and results and computes nothing itself that
emfast computes. Its docstring says where results can differ from the peer's and why; what it does not offer raises
NotImplementedError and names the way that emfast has. The peers need not be installed.

They take NumPy arrays, as the peers do. Arrays on a device go to emfast's own functions.

Modules are imported when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = [
    "affogato",
    "cc3d",
    "cremi",
    "edt",
    "elf_evaluation",
    "fastremap",
    "fill_voids",
    "funlib_evaluate",
    "mwatershed",
    "skimage",
    "stardist_matching",
    "waterz",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
