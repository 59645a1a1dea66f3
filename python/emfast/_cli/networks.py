"""``emfast train``, ``predict``, ``tune``, ``explain``, ``plan``, ``recipes``: networks of the literature, own data."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from .options import add_threads, engine, spacing

__all__ = ["add", "add_device", "add_settings", "add_which", "settings_of"]

_DATA = "Places of volumes: docs/volumes.md. The whole way is in docs/training.md."


def add(verbs: Any) -> None:
    """The verbs and their options."""
    verb = verbs.add_parser(
        "train",
        help="train the network of a recipe; the same command again goes on",
        description="Train the network of a recipe on a dataset or on images with labels.",
        epilog=_DATA + " Ctrl-C keeps what is learnt; the same command goes on.",
    )
    _method(verb, "--recipe", required=True)
    _data(verb)
    verb.add_argument("--run", dest="folder", required=True, metavar="DIR", help="folder of the run")
    verb.add_argument(
        "--validation", metavar="SHARE|NAME", help="of each volume the last sections, like 0.2; or another dataset"
    )
    verb.add_argument("--steps", type=int, metavar="N", help="default: the method's")
    verb.add_argument("--seed", type=int, default=0, help="of weights, samples and dropout (default: 0)")
    verb.add_argument("--patience", type=int, metavar="N", help="stop after so many validations without progress")
    verb.add_argument("--best", default="loss", metavar="SCORE", help="of the validation, that tells the best weights")
    verb.add_argument("--validate-every", type=int, metavar="N", help="steps (default: a twentieth, 100 to 1000)")
    verb.add_argument("--workers", type=int, metavar="N", help="threads that make samples")
    verb.add_argument("--resume", choices=("automatic", "never"), default="automatic", help="default: automatic")
    verb.add_argument("--tensorboard", action="store_true", help="write for TensorBoard too")
    verb.add_argument("--compile", action="store_true", help="compile the network by torch")
    add_device(verb)
    add_threads(verb)
    verb.set_defaults(run=_train)

    verb = verbs.add_parser(
        "predict",
        help="what a trained network says of a volume of any size",
        description="Write the outputs of a trained network for a volume of any size, block by block.",
        epilog="The same command after a crash goes on where that stopped, where TARGET is a Zarr store.",
        parents=[engine()],
    )
    verb.add_argument("model", metavar="RUN", help="folder of a run")
    verb.add_argument("source", metavar="SOURCE", help="an image")
    verb.add_argument("target", metavar="TARGET", help="with several heads a .zarr or .h5 file: an array for each")
    verb.add_argument("--heads", metavar="NAME,NAME", help="default: all")
    verb.add_argument("--dtype", default="float32", help="float32, float16 or uint8, probabilities times 255")
    add_which(verb)
    add_settings(verb, "of the inference: tile, blend, overlap, symmetries, reduce, axes, z_median")
    verb.add_argument("--batch", type=int, metavar="N", help="tiles at once")
    add_device(verb)
    add_threads(verb)
    verb.set_defaults(run=_predict)

    verb = verbs.add_parser(
        "tune",
        help="the parameters by which a model's decoder does best where the truth is known",
        description="Predict an image whose truth is known, and search the parameters of the decoder. Scores of other "
        "images with these parameters are fair; those of this one are not.",
        epilog="What it prints is for emfast segment --model.",
    )
    verb.add_argument("model", metavar="RUN", help="folder of a run")
    verb.add_argument("source", metavar="SOURCE", help="an image that fits into memory")
    verb.add_argument("truth", metavar="TRUTH", help="its labels")
    verb.add_argument(
        "--score",
        choices=("voi", "rand", "pq", "iou"),
        help="variation of information, adapted Rand error (both where the truth has labels), panoptic quality, or "
        "intersection over union of what is labelled (default: voi for neurons, else iou for one label, pq for more)",
    )
    verb.add_argument("--label", type=int, metavar="N", help="the only label of the truth that counts, of classes")
    verb.add_argument(
        "--decoding", action="append", default=[], metavar="KEY=VALUE", help="of the decoder, not to be varied"
    )
    verb.add_argument("--budget", type=int, default=60, metavar="N", help="combinations to try (default: 60)")
    add_which(verb)
    add_settings(verb, "of the inference, as for emfast predict")
    add_device(verb)
    add_threads(verb)
    verb.set_defaults(run=_tune)

    verb = verbs.add_parser(
        "explain",
        help="what a recipe will take before anything runs: context, memory, work, time",
        description="Receptive field, patch and output, parameters, work, memory and time of a method.",
    )
    _method(verb, "recipe", metavar="RECIPE|FILE.yaml")
    verb.add_argument("--no-times", action="store_true", help="do not try how quick this device is")
    add_device(verb)
    add_threads(verb)
    verb.set_defaults(run=_explain)

    verb = verbs.add_parser(
        "plan",
        help="a method for a dataset, by what is in it, as a file for `emfast train --recipe`",
        description="Choose patch, levels, batch and targets by what is in a dataset (nnU-Net's rules).",
        epilog=_DATA,
    )
    _data(verb)
    verb.add_argument("--out", required=True, metavar="FILE.yaml")
    verb.add_argument("--memory", default="8GB", metavar="SIZE", help="that training may take (default: 8GB)")
    verb.add_argument("--learn", default="", metavar="LABELS", help="which labels, where there are several")
    verb.add_argument("--steps", type=int, default=20_000, metavar="N", help="default: 20000")
    verb.set_defaults(run=_plan)

    verb = verbs.add_parser("recipes", help="list the recipes: what each is for, and its paper")
    verb.set_defaults(run=_recipes)


def _method(verb: Any, name: str, metavar: str = "NAME|FILE.yaml", **options: Any) -> None:
    verb.add_argument(name, metavar=metavar, help="of `emfast recipes`, or a file with a method", **options)
    add_settings(verb, "of the method, as optimiser.rate=1e-4")
    verb.add_argument("--batch", type=int, metavar="N", help="default: the method's")


def add_which(verb: Any) -> None:
    """Which weights of a run."""
    verb.add_argument("--which", default="best", choices=("best", "last"), help="weights (default: best)")


def add_settings(verb: Any, what: str) -> None:
    """Settings in the place of those of the method."""
    verb.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help=what)


def _data(verb: Any) -> None:
    verb.add_argument("--data", metavar="NAME", help="a dataset of `emfast data list`")
    verb.add_argument("--image", action="append", default=[], metavar="PLACE", help="may be given several times")
    verb.add_argument("--labels", action="append", default=[], metavar="PLACE", help="one for each image")
    verb.add_argument("--mask", action="append", default=[], metavar="PLACE", help="where labels are known")
    verb.add_argument("--spacing", type=spacing, metavar="Z,Y,X", help="nanometres per voxel, if the files do not say")


def add_device(verb: Any) -> None:
    """Where and how torch computes."""
    verb.add_argument("--device", help="of torch, like cuda:1 (default: CUDA where there is one)")
    verb.add_argument("--precision", help="float32, bfloat16 or float16 (default: docs/training.md)")


def settings_of(texts: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Settings as they were said, KEY=VALUE each; values as YAML has them."""
    from .._settings import _yaml

    found = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise ValueError(f"{option} must be KEY=VALUE, got {text!r}")
        found[name] = _yaml().safe_load(value)
    return found


def _pieces(chosen: argparse.Namespace) -> Any:
    """What ``emfast.train`` takes as data."""
    if chosen.data and not chosen.image and not chosen.labels:
        return chosen.data
    if chosen.data or not chosen.image:
        raise ValueError("--data or --image and --labels must be given, one of both")
    for name in ("labels", "mask"):
        count = len(getattr(chosen, name))
        if count != len(chosen.image) and (name == "labels" or count):
            raise ValueError(f"--{name} must be given once for each of {len(chosen.image)} images, got {count}")
    masks: list[Any] = [(place,) for place in chosen.mask] or [()] * len(chosen.image)
    return [(i, la, *mask) for i, la, mask in zip(chosen.image, chosen.labels, masks, strict=True)]


def _tell_unknown(chosen: argparse.Namespace) -> None:
    """What files do not say, and is taken for something."""
    from ..volumes import open_volume

    for place in [] if chosen.spacing else chosen.image:
        with open_volume(place) as volume:
            if volume.spacing is None:
                words = f"emfast {chosen.verb}: {place} has no spacing: voxels of 1 nm are meant; --spacing says it"
                print(words, file=sys.stderr)


def _train(chosen: argparse.Namespace) -> int:
    import os
    from contextlib import suppress
    from pathlib import Path

    from .. import training
    from ..training._log import best_in_words

    if chosen.resume == "never" and os.path.exists(os.path.join(chosen.folder, "about.json")):
        raise ValueError(f"--run must be a new folder with --resume never, got {chosen.folder}")
    pieces = _pieces(chosen)
    _tell_unknown(chosen)
    validation = chosen.validation
    with suppress(TypeError, ValueError):  # none, or the name of a dataset
        validation = float(validation)
    try:
        model = training.train(
            chosen.recipe,
            pieces,
            run=chosen.folder,
            validation=validation,
            steps=chosen.steps,
            batch=chosen.batch,
            seed=chosen.seed,
            device=chosen.device,
            settings=settings_of(chosen.settings),
            spacing=chosen.spacing,
            precision=chosen.precision,
            workers=chosen.workers,
            validate_every=chosen.validate_every,
            best=chosen.best,
            patience=chosen.patience,
            tensorboard=chosen.tensorboard,
            compiled=chosen.compile,
        )
    except KeyboardInterrupt as stopped:
        print(stopped or "interrupted", file=sys.stderr)
        return 130
    best = best_in_words(Path(chosen.folder))
    print(*([best] if best else []), model.place, os.path.join(chosen.folder, "report.html"), sep="\n")
    folder = shlex.quote(chosen.folder)
    decoded = model.decode is not None
    print(f"next: emfast segment IMAGE OUT --model {folder}" if decoded else f"next: emfast predict {folder} IMAGE OUT")
    return 0


def _predict(chosen: argparse.Namespace) -> int:
    import time

    from .. import inference, training
    from .blocks import client_of, options_of

    model = training.load(chosen.model, chosen.which, device=chosen.device)
    start = time.perf_counter()
    with client_of(chosen.dask) as client:
        found = inference.predict(
            model,
            chosen.source,
            chosen.target,
            heads=chosen.heads.split(",") if chosen.heads else None,
            dtype=chosen.dtype,
            settings=settings_of(chosen.settings),
            batch=chosen.batch,
            precision=chosen.precision,
            client=client,
            on_corrupt=chosen.on_corrupt,
            **options_of(chosen),
        )
    seconds = time.perf_counter() - start
    for name, volume in found.items():
        print(f"{name}: {volume.uri}: {volume.shape} {volume.dtype}")
    voxels = next(iter(found.values())).size / next(iter(found.values())).shape[0]
    print(f"{seconds:.1f} s, {voxels / max(seconds, 1e-9) / 1e6:.3g} Mvoxels/s")
    return 0


def _tune(chosen: argparse.Namespace) -> int:
    from .. import inference, training

    name, found = inference.tune_model(
        training.load(chosen.model, chosen.which, device=chosen.device),
        chosen.source,
        chosen.truth,
        score=chosen.score or "automatic",
        label=chosen.label,
        decoding=settings_of(chosen.decoding, "--decoding"),
        budget=chosen.budget,
        progress=True,
        settings=settings_of(chosen.settings),
        precision=chosen.precision,
    )
    before = found.tried[0][1]
    print(f"{name}: {abs(before or 0):.4f} by default, {abs(found.score):.4f} in the best of {len(found.tried)} with")
    fixed = [f"--decoding {text}" for text in chosen.decoding]
    print(" ".join([*fixed, *(f"--decoding {key}={value:.6g}" for key, value in found.options.items())]))
    return 0


def _explain(chosen: argparse.Namespace) -> int:
    from .. import training

    options: dict[str, Any] = {"batch": chosen.batch, "settings": settings_of(chosen.settings), "device": chosen.device}
    print(training.explain(chosen.recipe, calibrate=not chosen.no_times, **options))
    return 0


def _plan(chosen: argparse.Namespace) -> int:
    import os

    from .. import _settings, training

    options: dict[str, Any] = {"memory": chosen.memory, "labels": chosen.learn, "steps": chosen.steps}
    options["spacing"] = chosen.spacing
    if os.path.exists(chosen.out):
        raise ValueError(f"--out must be a new file, {chosen.out} is there")
    pieces = _pieces(chosen)
    _tell_unknown(chosen)
    method, words = training.plan(pieces, **options)
    _settings.write(method, chosen.out, comment="\n".join(words))
    print("\n".join(words))
    print(chosen.out)
    explain = shlex.join(["emfast", "explain", chosen.out])
    train = shlex.join(["emfast", "train", "--recipe", chosen.out, *_data_words(chosen), "--run", "run"])
    print(f"next: {explain} (memory and time, before anything runs), then {train}")
    return 0


def _data_words(chosen: argparse.Namespace) -> list[str]:
    """The options of the data, as they were given."""
    words = ["--data", chosen.data] if chosen.data else []
    for name in ("image", "labels", "mask"):
        words += [word for place in getattr(chosen, name) for word in (f"--{name}", place)]
    return [*words, "--spacing", ",".join(f"{s:g}" for s in chosen.spacing)] if chosen.spacing else words


def _recipes(_: argparse.Namespace) -> int:
    from .. import recipes

    found = [recipes.get(name) for name in recipes.names()]
    wide = max((len(recipe.name) for recipe in found), default=0)
    for recipe in found:
        print(f"{recipe.name:<{wide}}  {recipe.task}; {recipe.title}\n{'':<{wide}}  {recipe.paper}")
    return 0
