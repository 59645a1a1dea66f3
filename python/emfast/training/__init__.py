"""Training: a method and labelled volumes in, a run folder and a model out. Needs torch."""

from ..inference._model import Model
from ._checkpoint import load
from ._explain import Explanation, explain
from ._hooks import Average, Hook, Patience
from ._loop import Loop
from ._pieces import pieces_of
from ._planner import Fingerprint, fingerprint, plan
from ._train import train

__all__ = [
    "Average",
    "Explanation",
    "Fingerprint",
    "Hook",
    "Loop",
    "Model",
    "Patience",
    "explain",
    "fingerprint",
    "load",
    "pieces_of",
    "plan",
    "train",
]
