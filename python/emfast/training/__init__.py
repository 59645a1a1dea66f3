"""Training: a method and labelled volumes in, a run folder and a model out. Needs torch."""

from ..inference._model import Model
from ._checkpoint import load
from ._hooks import Average, Hook, Patience
from ._loop import Loop
from ._pieces import pieces_of
from ._train import train

__all__ = ["Average", "Hook", "Loop", "Model", "Patience", "load", "pieces_of", "train"]
