"""Inference: what a trained network says of volumes of any size. Needs torch."""

from ._model import Model
from ._predict import predict
from ._segment import segment_image
from ._tune import tune_model

__all__ = ["Model", "predict", "segment_image", "tune_model"]
