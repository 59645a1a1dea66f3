"""``emfast.train``: a method and data in, a run folder and a model out."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from .. import _native, _settings
from .._locks import alone
from .._options import integer_of
from ..inference._constants import Constants, constants_of
from ..inference._model import Model
from ..nn.running import channels_last, check_gradients, usual_precision
from ..recipes import Method, Recipe, get
from ..sampling import Piece
from . import _checkpoint
from ._folder import about_of, claim, words_of
from ._hooks import Average, Hook, Patience
from ._log import Board, Log, Show
from ._loop import PRECISIONS, Loop
from ._pieces import check_ids, has_labels, held_out, in_memory, pieces_of, tell_odd_image
from ._previews import Previews
from ._supervised import Supervised, labels_of, shape_of
from ._team import Team, team
from ._validation import Validation

__all__ = ["method_of", "train"]

_LOOK = 8  # pieces whose images are looked at


def train(
    method: Any,
    data: Any,
    *,
    run: str | os.PathLike[str],
    validation: Any = None,
    steps: int | None = None,
    batch: int | None = None,
    seed: int = 0,
    device: Any = None,
    settings: Mapping[str, Any] | None = None,
    spacing: Sequence[float] | None = None,
    precision: str | None = None,
    workers: int | None = None,
    validate_every: int | None = None,
    save_every: int | None = None,
    log_every: int = 1,
    crops: int = 16,
    best: str = "loss",
    patience: int | None = None,
    hooks: Sequence[Hook] = (),
    memory: str | float = "4GB",
    tensorboard: bool = False,
    compiled: bool = False,
    progress: bool = True,
) -> Model:
    """Train the network of a method. The same call again goes on where the last one stopped.

    A run on the CPU gives the same weights to the bit whether it was interrupted or not, and with any number of
    ``workers``. Where ``torchrun`` starts several processes each takes its share of every batch.

    Parameters
    ----------
    method : str, Recipe, Method or path
        The name of a recipe, or the path of a YAML file with a method.
    data : Piece, Sample, str, tuple or a list of these
        Pieces, samples, the name of a dataset, or ``(image, labels)`` or ``(image, labels, mask)``: arrays, volumes or
        places; labels and masks also by name, ``{"cells": …}``.
    run : path
        The folder of the run: ``method.yaml`` and ``about.json``, ``log.jsonl``, ``last.pt`` and ``best.pt``,
        ``previews/`` and ``report.html``. One of another method or other data is refused, if it has learnt anything.
    validation : as ``data``, or float, optional
        What the network is judged by; a number is the share of each piece, its last sections, that is held out for it.
        By default the validation samples of a dataset; without any the last weights count as the best.
    steps, batch : int, optional
        By default the method's. ``batch`` is that of all processes together. ``steps`` may be another than before: the
        schedule is that of the new number from there on.
    seed : int
        Of weights, samples and dropout.
    device : device of torch, optional
        By default CUDA where there is one.
    settings : mapping, optional
        Settings of the method by their places, as ``{"optimiser.rate": 1e-4, "heads[0].weight": 2.0}``.
    spacing : (z, y, x) in nanometres, optional
        Of the voxels, in the place of what files say; 1 where they say nothing.
    precision : {"float32", "bfloat16", "float16"}, optional
        Of what the network computes; weights are float32. By default bfloat16 on CUDA devices that
        have it. Processors with AVX512-BF16 or AMX train two to three times quicker in it, too.
    workers : int, optional
        Threads that make samples; by default one for each processor on CUDA, one beside the network on the CPU.
    validate_every, save_every : int, optional
        Steps between validations and checkpoints; by default a twentieth of all steps, but from 100 to 1000. The last
        step is always followed by both.
    log_every : int
        Steps between lines of the log.
    crops : int
        At most so many patches are judged in a validation.
    best : str
        The score that tells the best weights: ``loss`` or another of the validation, as ``mask/iou``.
    patience : int, optional
        Stop after so many validations that were no better.
    hooks : sequence of Hook
    memory : str or number
        Training data up to so many bytes are read into memory; of more each crop is read when it is needed.
    tensorboard, compiled, progress : bool
        Write for TensorBoard too; compile the network by torch; show a bar in a terminal, and
        elsewhere a line for each validation.

    Returns
    -------
    Model
        The best one, as :func:`emfast.training.load` gives it.

    Raises
    ------
    AnotherJob
        The folder is that of another run.
    Diverged
        A loss or gradient is not finite; the batch is kept.
    """
    settled, recipe = method_of(method)
    for place, value in {**(settings or {}), **_given(steps=steps, batch=batch)}.items():
        settled = _settings.override(settled, place, value)
    _check(settled, seed, crops, log_every, precision)
    folder = Path(run)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"run must be a folder, {folder} is a file")
    pieces, judged = _pieces(data, validation, spacing)
    _check_best(settled, best, patience, bool(judged))
    _check_labels(settled, pieces)
    about_data = {"train": words_of(pieces), "validation": words_of(judged)}
    pieces, judged = in_memory(pieces, memory), in_memory(judged, memory)
    for piece in (*pieces, *judged):
        for name in {head.labels or next(iter(piece.labels)) for head in settled.heads} & set(piece.labels):
            check_ids(piece, name)
    with ExitStack() as stack:
        here = stack.enter_context(team(device))
        stack.enter_context(_kept_random())
        if precision is None:
            precision = usual_precision(here.device) if here.device.type == "cuda" else "float32"
        constants = constants_of(settled.normalisation.kind, pieces)
        if here.first:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone(str(folder / ".lock"), f"run {folder}"))
            kept = _kept(folder, settled.steps)
        every = min(1000, max(100, settled.steps // 20))
        options = {
            "precision": precision,
            "workers": _workers(workers, here),
            "validate_every": every if validate_every is None else integer_of(validate_every, "validate_every", 0),
            "save_every": every if save_every is None else integer_of(save_every, "save_every", 0),
            "criterion": best,
        }
        loop = _loop(settled, here, folder, pieces, judged, constants, seed, crops, compiled, options)
        if here.first:  # only now: what is refused leaves nothing in the folder
            about = about_of(
                settled, recipe.name if recipe else None, constants, pieces, about_data, seed=seed, precision=precision
            )
            claim(folder, settled, about)
            for piece in pieces[:_LOOK]:
                tell_odd_image(piece)
        here.wait()
        loop.hooks = _hooks(loop, folder, log_every, patience, hooks, tensorboard, progress)
        if not here.first:
            kept = _kept(folder, settled.steps)
        if kept is not None:
            loop.restore(kept)
        stack.enter_context(_stops(loop))
        loop.run()
        here.wait()
    if loop.reason == INTERRUPTED:
        raise KeyboardInterrupt(f"{folder} holds what was learnt in {loop.step} steps; the same command goes on")
    model = _checkpoint.load(folder, device=here.device)
    if here.first:
        from ._report import write_report

        write_report(folder, model, judged, loop.validation)
    return model


INTERRUPTED = "interrupted"


def method_of(method: Any) -> tuple[Method, Recipe | None]:
    """A method by name, by path or as it is; and the recipe that it is of."""
    if isinstance(method, Method):
        return method, None
    if isinstance(method, Recipe):
        return method.method, method
    if not isinstance(method, (str, os.PathLike)):
        raise TypeError(f"method must be a recipe's name, a Recipe, a Method or a path, got {method!r}")
    if str(method).endswith((".yaml", ".yml")):
        return _settings.read(Method, method), None
    recipe = get(str(method))
    return recipe.method, recipe


def _kept(folder: Path, steps: int) -> dict[str, Any] | None:
    """Where the run stands, if it was begun."""
    last = folder / _checkpoint.LAST
    if not last.exists():
        return None
    state = _checkpoint.read(last)
    if state["step"] > steps:
        raise ValueError(f"steps must be at least the {state['step']} that {folder} has done, got {steps}")
    return state


def _given(**options: Any) -> dict[str, Any]:
    return {name: integer_of(value, name, 1) for name, value in options.items() if value is not None}


def _check(method: Method, seed: int, crops: int, log_every: int, precision: str | None) -> None:
    integer_of(seed, "seed", 0, 2**63 - 1)
    integer_of(crops, "crops", 1)
    integer_of(log_every, "log_every", 1)
    if not method.heads:
        raise ValueError("heads must be at least one, got none")
    for name in ("batch", "accumulate", "steps", "channels"):
        integer_of(getattr(method, name), name, 1)
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")


def _check_best(method: Method, best: str, patience: int | None, judged: bool) -> None:
    """That there is such a score to choose by, before anything is learnt."""
    if not judged:
        for name, value, usual in (("best", best, "loss"), ("patience", patience, None)):
            if value != usual:
                raise ValueError(f"{name} must be left out where nothing is judged: give validation, got {value!r}")
    heads = [head.name for head in method.heads]
    scores = [f"{head}/{score}" for head in heads for score in ("iou", "dice", "accuracy")]
    known = ["loss", *(f"loss/{head}" for head in heads), *scores]
    if method.procedure is None and best not in known:
        raise ValueError(f"best must be one of {', '.join(known)}, got {best!r}")


def _pieces(data: Any, validation: Any, spacing: Any) -> tuple[list[Piece], list[Piece]]:
    pieces = pieces_of(data, spacing=spacing)
    if not pieces:
        raise ValueError(f"data must have something to learn from, {data!r} has no labelled samples for training")
    if isinstance(validation, (int, float)) and not isinstance(validation, bool):
        return held_out(pieces, validation)
    if validation is None:
        return pieces, pieces_of(data, split="validation", spacing=spacing) if isinstance(data, str) else []
    judged = pieces_of(validation, "validation", split="validation", spacing=spacing)
    if not judged:
        raise ValueError(f"validation must have something to judge by, {validation!r} has no samples for validation")
    return pieces, judged


def _check_labels(method: Method, pieces: Sequence[Piece]) -> None:
    """That there is something to learn: a known voxel with a label, for every head."""
    for head in method.heads:
        if not any(has_labels(piece, labels_of(piece, head)) for piece in pieces):
            raise ValueError(f"data must have labels other than 0 where they are known, for head {head.name}")


def _workers(workers: int | None, here: Team) -> int:
    if workers is not None:
        return integer_of(workers, "workers", 0)
    return max(1, _native.get_threads() // here.size) if here.device.type == "cuda" else 1


def _loop(
    method: Method,
    here: Team,
    folder: Path,
    pieces: list[Piece],
    judged: list[Piece],
    constants: Constants,
    seed: int,
    crops: int,
    compiled: bool,
    options: dict[str, Any],
) -> Loop:
    if method.batch % here.size:
        raise ValueError(f"batch must be a multiple of the {here.size} processes, got {method.batch}")
    torch.manual_seed(seed)
    module = method.network.build(method.channels, method.outputs())
    teach = getattr(method.procedure, "teach", None) or Supervised
    teaching = teach(method, pieces, module.geometry, constants, seed)
    module = module.to(here.device)
    if options["precision"] != "float32":
        channels_last(module)
        if here.device.type == "cpu":
            check_gradients(module, (1, module.inputs or method.channels, *shape_of(method.patch)))
    if compiled:
        module.compile()
    validation = None
    if judged and here.first:
        validation = Validation(teaching, judged, here.device, PRECISIONS[options["precision"]], crops)
    if not judged:
        options = {**options, "validate_every": 0}

    def save(loop: Loop, best: bool) -> None:
        model = {name: tensor.detach().cpu() for name, tensor in loop.judged.state_dict().items()}
        _checkpoint.write(folder / _checkpoint.LAST, {**loop.state(), "model": model})
        if best:
            _checkpoint.write(folder / _checkpoint.BEST, {"step": loop.step, "best": loop.best, "model": model})

    return Loop(method, module, teaching, here, folder, seed=seed, validation=validation, save=save, **options)


def _hooks(
    loop: Loop,
    folder: Path,
    log_every: int,
    patience: int | None,
    more: Sequence[Hook],
    tensorboard: bool,
    progress: bool,
) -> list[Hook]:
    """Those of the settings, of the user, and those that tell; only the first process tells."""
    hooks: list[Hook] = []
    if loop.method.ema is not None:
        hooks.append(Average(loop.method.ema))
    hooks += more
    if not loop.team.first:
        return hooks
    if patience is not None:
        hooks.append(Patience(integer_of(patience, "patience", 1)))
    if loop.validation is not None:
        hooks.append(Previews(folder))
    if tensorboard:
        hooks.append(Board(folder))
    hooks.append(Log(folder, log_every))
    return [*hooks, Show()] if progress else hooks


@contextmanager
def _kept_random() -> Iterator[None]:
    """Torch's random state of the caller is what it was afterwards."""
    with torch.random.fork_rng():
        yield


@contextmanager
def _stops(loop: Loop) -> Iterator[None]:
    """Ctrl-C, and the signal by which clusters end a job, stop a run after its step; a second time at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(number: int, frame: Any) -> None:
        if loop.reason == INTERRUPTED:
            raise KeyboardInterrupt
        loop.stop(INTERRUPTED)

    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
