"""Inference: what a trained network says of volumes of any size. Needs torch."""

from ._model import Model
from ._predict import predict

__all__ = ["Model", "predict"]
