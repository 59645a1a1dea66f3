from __future__ import annotations
from typing import Any
from ._arrays import take

def connected_components(labels: Any) -> Any:
    raise NotImplementedError
