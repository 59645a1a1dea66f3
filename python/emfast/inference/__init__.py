"""Inference: what a trained network says of volumes of any size. Needs torch."""

from ._model import Model

__all__ = ["Model"]
