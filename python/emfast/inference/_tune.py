"""The parameters by which a model's decoder does best where the truth is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..recipes import get
from ..segmentation import Tuned, ranges, tune
from ._decode import affinities_of
from ._model import Model
from ._predict import predict
from ._segment import by_agglomeration, spacing_of, three_axes

__all__ = ["SCORES", "tune_model"]


def _voi(truth: Any, labels: Any) -> float:
    from .. import contingency

    return -sum(contingency(truth, labels, ignore=(0,)).voi(label_zero="singletons"))


def _rand(truth: Any, labels: Any) -> float:
    from .. import contingency

    return -contingency(truth, labels, ignore=(0,)).adapted_rand("singletons").error


def _pq(truth: Any, labels: Any) -> float:
    from .. import contingency

    return contingency(truth, labels).panoptic().pq


def _iou(truth: Any, labels: Any) -> float:
    from .. import contingency

    return contingency(truth != 0, labels != 0).binary(1).iou


Score = Callable[[Any, Any], float]  # of truth and labels
SCORES: Mapping[str, Score] = {"voi": _voi, "rand": _rand, "pq": _pq, "iou": _iou}


def tune_model(
    model: Any,
    source: Any,
    truth: Any,
    *,
    score: str = "automatic",
    label: int | None = None,
    decoding: Mapping[str, Any] | None = None,
    budget: int = 60,
    progress: Any = None,
    **options: Any,
) -> tuple[str, Tuned]:
    """Predict an image whose truth is known, and search the parameters of the decoder.

    Scores of other images with these parameters are fair; those of this one are not.

    Parameters
    ----------
    model : Model or path of a run
    source : array, Volume or place, (z, y, x), (c, z, y, x) or (y, x)
        An image that fits into memory.
    truth : array, Volume or place, (z, y, x) or (y, x)
        Its labels.
    score : {"automatic", "voi", "rand", "pq", "iou"}
        Variation of information and adapted Rand error, where the truth has labels (voxels without a segment are
        segments of their own), less is better; panoptic quality, which counts what is missed and what is not there;
        or intersection over union of what is labelled. ``automatic`` takes the first for neurons, the last where the
        truth has one label, else ``pq``. All but the last score objects: a truth with one label is a mask, and its
        components are taken, of each section where the network learnt sections.
    label : int, optional
        The only label of the truth that counts, of several classes.
    decoding : mapping, optional
        Parameters of the decoder that are not varied.
    budget : int
        At most so many combinations are tried.
    progress : bool, str or callable, optional
        As of :func:`emfast.map_blocks`.
    options
        Others of :func:`emfast.predict`, as ``settings``.

    Returns
    -------
    score : str
        Which was taken.
    tuned : emfast.segmentation.Tuned
        Its ``score`` is higher where it is better: of ``voi`` and ``rand`` it is the negative.
    """
    if isinstance(model, (str, os.PathLike)):
        from ..training import load

        model = load(model)
    if model.decode is None or not ranges(model.decode):
        raise ValueError("model must have a decoder whose parameters can be varied, got one that has none")
    fixed = dict(decoding or {})
    names = [name for name in ranges(model.decode) if name not in fixed]
    if not names:
        raise ValueError(f"decoding must leave a parameter to vary, of {', '.join(ranges(model.decode))}")
    if score != "automatic" and score not in SCORES:
        raise ValueError(f"score must be one of automatic, {', '.join(SCORES)}, got {score!r}")
    if budget < 1:
        raise ValueError(f"budget must be at least 1, got {budget}")
    known = _truth(truth, label)
    name = _score_of(model, known) if score == "automatic" else score
    judge = SCORES[name]
    if name != "iou" and len(np.unique(known[known != 0])) == 1:
        known, judge = _of_a_mask(model, known, judge)
    image = three_axes(source)
    if tuple(image.shape[-3:]) != known.shape:
        raise ValueError(f"truth must have the shape of source, {tuple(image.shape[-3:])}, got {known.shape}")
    kind = {} if by_agglomeration(model) is None else {"dtype": "uint8"}  # as segments are made of it
    outputs = predict(model, image, progress=progress, **{**kind, **options})
    given = {"spacing": spacing_of(model, source), **fixed}
    cases = [(outputs, known)]
    return name, tune(model.decode, cases, judge, options=given, names=names, budget=budget, progress=progress)


def _truth(truth: Any, label: int | None) -> np.ndarray:
    """What is sought, with three axes."""
    known = three_axes(truth)
    if known.dtype.kind not in "biu":
        raise TypeError(f"truth must be labels, got {known.dtype}")
    if label is not None:
        known = (known == label).astype(np.uint8)
    if not known.any():
        raise ValueError(f"truth must have {'labels' if label is None else f'label {label}'}, got none")
    return known


def _of_a_mask(model: Model, truth: np.ndarray, score: Score) -> tuple[np.ndarray, Score]:
    """The components of a mask, and how they are compared: section by section where targets are of sections."""
    from .. import connected_components
    from ..metrics import section_components

    mask = (truth != 0).astype(np.uint8)
    if not any(getattr(head.target, "per_section", False) for head in model.method.heads):
        return np.asarray(connected_components(mask)), score

    def by_section(known: Any, labels: Any) -> float:
        found = np.asarray(labels, np.int64)
        first = np.arange(len(found)).reshape(-1, 1, 1) * (found.max(initial=0) + 1)
        return score(known, np.where(found > 0, found + first, 0))

    return section_components(mask), by_section


def _score_of(model: Model, truth: np.ndarray) -> str:
    if model.recipe is not None:
        neurons = "neuron" in get(model.recipe).task
    else:
        neurons = any(affinities_of(head) for head in model.method.heads)
    if neurons:
        return "voi"
    return "iou" if len(np.unique(truth[truth != 0])) == 1 else "pq"
