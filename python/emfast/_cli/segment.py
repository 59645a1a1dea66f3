"""``emfast segment``: from affinities to segments, whatever their size; from an image by a trained network."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from typing import Any

from .blocks import client_of, nonzero, options_of
from .networks import add_device, add_settings, settings_of
from .options import add_threads, blocks, numbers

__all__ = ["add"]

_OF_A_MODEL = {"decoding": "decoding", "settings": "set"} | {name: name for name in ("which", "device", "precision")}


def add(verbs: Any) -> None:
    """The verb and its options."""
    verb = verbs.add_parser(
        "segment",
        help="segments from affinities, whatever their size: watershed, region graph, agglomeration, cuts",
        description="Segments from affinities, block by block: watershed, region graph, agglomeration, cuts.",
        epilog="What lies between is kept in OUT.work: the same command after a crash goes on where that stopped, and "
        "one with other thresholds begins with the tree. OUT.yaml is the recipe in full. Formats and places are in "
        "docs/volumes.md, how it works in docs/scale.md.",
        parents=[blocks()],
    )
    verb.add_argument("source", metavar="AFFINITIES", help="nearest ones, (3, z, y, x); an image with --model")
    verb.add_argument("target", metavar="OUT", help="with several thresholds a .zarr or .h5 file: an array for each")
    verb.add_argument("--model", metavar="RUN", help="folder of a run: AFFINITIES is then an image, predicted first")
    verb.add_argument(
        "--decoding", action="append", default=[], metavar="KEY=VALUE", help="of the decoder of the model's recipe"
    )
    add_settings(verb, "of the inference, with --model: as for emfast predict")
    verb.add_argument("--which", choices=("best", "last"), help="weights, with --model (default: best)")
    add_device(verb)
    verb.add_argument("--recipe", metavar="FILE.yaml", help="settings (default: those of emfast.segment)")
    verb.add_argument(
        "--threshold",
        type=numbers,
        metavar="T,T,…",
        help="merge while the score is this or more (default: of the recipe, 0.5)",
    )
    verb.add_argument("--score", help="as emfast.agglomerate names it (default: of the recipe, mean)")
    verb.add_argument(
        "--low", type=float, help="voxels with no better edge are background (default: of the recipe, 0.1)"
    )
    verb.add_argument("--high", type=float, help="edges from it on join always (default: of the recipe, 0.98)")
    verb.add_argument("--mask", metavar="FILE", help="voxels that are 0 there are background")
    add_threads(verb)
    verb.add_argument("--scheduler", dest="dask", help=argparse.SUPPRESS)  # as --dask was called here
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    from .. import pipeline

    if chosen.model:
        return _by_model(chosen)
    for name, words in _OF_A_MODEL.items():
        if getattr(chosen, name):
            raise ValueError(f"--{words} needs --model")
    recipe = _recipe(chosen)
    shared = {**options_of(chosen), "recipe": recipe, "on_corrupt": chosen.on_corrupt}
    start = time.perf_counter()
    with client_of(chosen.dask) as client:
        if chosen.dry_run:
            shared.pop("progress")
            print(pipeline.plan_segment(chosen.source, client=client, **shared))
            return 0
        with ExitStack() as stack:
            mask = nonzero(chosen.mask, stack)
            found = pipeline.segment(chosen.source, chosen.target, mask=mask, work=chosen.work, client=client, **shared)
    seconds = time.perf_counter() - start
    volumes = found if isinstance(found, list) else [found]
    for volume, threshold in zip(volumes, recipe.thresholds, strict=True):
        print(f"{volume.uri}: {volume.shape} {volume.dtype}, threshold {threshold:g}")
    print(f"{seconds:.1f} s, {volumes[0].size / max(seconds, 1e-9) / 1e6:.1f} Mvoxels/s")
    return 0


def _by_model(chosen: argparse.Namespace) -> int:
    """From an image, by a trained network."""
    from .. import inference, training

    for name in ("recipe", "mask", "dry_run"):
        if getattr(chosen, name):
            raise ValueError(f"--{name.replace('_', '-')} must be left out with --model")
    decoding = settings_of(chosen.decoding, "--decoding")
    if chosen.threshold is not None:
        if len(chosen.threshold) > 1:
            raise ValueError(f"--threshold must be one with --model, got {len(chosen.threshold)}")
        decoding["threshold"] = chosen.threshold[0]
    decoding |= {n: getattr(chosen, n) for n in ("score", "low", "high") if getattr(chosen, n) is not None}
    options = {**options_of(chosen), "on_corrupt": chosen.on_corrupt, "work": chosen.work, "decoding": decoding}
    options |= {"settings": settings_of(chosen.settings), "precision": chosen.precision}
    model = training.load(chosen.model, chosen.which or "best", device=chosen.device)
    start = time.perf_counter()
    with client_of(chosen.dask) as client:
        found = inference.segment_image(model, chosen.source, chosen.target, client=client, **options)
    seconds = time.perf_counter() - start
    print(f"{found.uri}: {found.shape} {found.dtype}")
    print(f"{seconds:.1f} s, {found.size / max(seconds, 1e-9) / 1e6:.3g} Mvoxels/s")
    return 0


def _recipe(chosen: argparse.Namespace) -> Any:
    """The recipe of the file, or the default one, with what was said beside it."""
    from dataclasses import replace

    from .. import pipeline

    recipe = pipeline.read_recipe(chosen.recipe) if chosen.recipe else pipeline.Recipe()
    limits = {name: getattr(chosen, name) for name in ("low", "high") if getattr(chosen, name) is not None}
    if limits:
        recipe = replace(recipe, watershed=replace(recipe.watershed, **limits))
    if chosen.score is not None:
        recipe = replace(recipe, agglomeration=replace(recipe.agglomeration, score=chosen.score))
    return recipe if chosen.threshold is None else replace(recipe, thresholds=chosen.threshold)
