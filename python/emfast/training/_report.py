"""The page of a run: curves, scores, the worst validation crops, settings, time and machine; one file to look at."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _files, _png
from .._progress import span
from ..inference._model import Model
from ..inference._predict import predict
from ..metrics import contingency
from ..metrics.report import STYLE, framed, plotted
from ..sampling import Piece
from ._log import entries
from ._previews import panels
from ._supervised import labels_of

__all__ = ["write_report"]

_WORST = 6
_DECODED = 1 << 21  # voxels
_POINTS = 400  # of a curve


def write_report(folder: Path, model: Model, pieces: Sequence[Piece], validation: Any) -> None:
    """``report.html`` in the folder of a run."""
    log = entries(folder)
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    title = f"{about['recipe'] or 'Training'}: {folder.resolve().name}"
    judged = [line for line in log if "validation" in line]
    parts = [_summary(log, about), _curves(log, judged)]
    if judged and validation is not None:
        parts += [_scores(judged), _decoded(model, pieces), _worst(model, validation)]
    settings = (folder / "method.yaml").read_text(encoding="utf-8")
    parts.append(f"<h2>Settings</h2><pre>{html.escape(settings)}</pre>")
    parts.append(f"<h2>About</h2><pre>{html.escape(json.dumps(about, indent=1))}</pre>")
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{html.escape(title)}</h1>{''.join(parts)}</html>\n"
    )
    with _files.beside(folder / "report.html") as part, open(part, "w", encoding="utf-8") as file:
        file.write(text)


def _summary(log: list[dict[str, Any]], about: dict[str, Any]) -> str:
    steps = [line for line in log if "loss" in line]
    last = steps[-1]
    rates, waits = [s["samples_per_s"] for s in steps], [s["wait"] for s in steps]
    return (
        f"<p>{last['step']} steps in {span(last['seconds'])}, {np.median(rates):.3g} samples/s, waiting for samples "
        f"{100 * float(np.mean(waits)):.1f} % of the time, at most {last['memory'] / 1e9:.2f} GB; "
        f"loss {last['loss']:.4g}. Machine: {html.escape(about['machine'])}, torch {html.escape(about['torch'])}.</p>"
    )


def _curves(log: list[dict[str, Any]], judged: list[dict[str, Any]]) -> str:
    steps = [line for line in log if "loss" in line]
    at = np.array([line["step"] for line in steps], float)
    parts = ["<h2>Curves</h2>", _line(at, [line["loss"] for line in steps], "loss")]
    at = np.array([line["step"] for line in judged], float)
    for name in judged[0]["validation"] if judged else ():
        if "@" not in name:
            parts.append(_line(at, [line["validation"][name] for line in judged], f"validation: {name}"))
    return "".join(parts)


def _line(at: np.ndarray, values: Sequence[float], name: str) -> str:
    """Means of neighbours where there are more points than can be seen."""
    y = np.asarray(values, float)
    group = -(-len(y) // _POINTS)
    if group > 1:
        n = len(y) // group * group
        at, y = at[:n].reshape(-1, group).mean(1), y[:n].reshape(-1, group).mean(1)
    return plotted(at, y, "step", html.escape(name))


def _scores(judged: list[dict[str, Any]]) -> str:
    best = next((line for line in reversed(judged) if line["best"]), judged[-1])
    last = judged[-1]
    rows = "".join(
        f'<tr><td>{html.escape(name)}<td class="number">{value:.5g}'
        f'<td class="number">{last["validation"].get(name, float("nan")):.5g}'
        for name, value in best["validation"].items()
    )
    head = f"<tr><th>score<th>best, step {best['step']}<th>last, step {last['step']}"
    return f"<h2>Validation</h2><table>{head}{rows}</table>"


def _decoded(model: Model, pieces: Sequence[Piece]) -> str:
    """Segments of a block in the middle of the first validation piece beside its labels, where these are objects."""
    head, piece = model.method.heads[0], pieces[0]
    if model.decode is None:
        return ""
    sides = [min(n, 2 * p if n > 1 else 1) for n, p in zip(piece.shape, model.method.patch, strict=True)]
    sides[0] = max(1, min(piece.shape[0], max(sides[0], 8), _DECODED // (sides[1] * sides[2])))
    z, y, x = (slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(piece.shape, sides, strict=True))
    name = labels_of(piece, head)
    truth = np.ascontiguousarray(piece.labels[name][z, y, x])
    if len(np.unique(truth[truth != 0])) < 2:
        return ""
    image = np.ascontiguousarray(piece.image[:, z, y, x])
    try:
        outputs = predict(model, image if len(image) > 1 else image[0])
        found = np.asarray(model.decode(outputs, spacing=piece.spacing))
        counts = contingency(truth, found, ignore=(0,))
        split, merge = counts.voi()
        error = counts.adapted_rand().error
    except Exception as failed:  # what was learnt is there all the same
        words = f"{type(failed).__name__}: {failed}"
        return f"<h2>Segments</h2><p>The decoder could not make any: {html.escape(words)}</p>"
    middle = truth.shape[0] // 2
    grey = image[0, middle].astype(np.float32)
    low, high = np.percentile(grey, (1, 99))
    shade = np.rint(255 * np.clip((grey - low) / max(float(high - low), 1e-6), 0, 1)).astype(np.uint8)
    pictures = [(n, _png.overlay(shade, a[middle], 0.6)) for n, a in (("truth", truth), ("segments", found))]
    words = (
        f"adapted Rand error {error:.4f}, variation of information {split:.3f} bits split and {merge:.3f} bits merged, "
        f"in {' x '.join(map(str, truth.shape))} voxels of the first validation volume, by the decoder's defaults"
    )
    return f"<h2>Segments</h2>{framed(words, pictures)}"


def _worst(model: Model, validation: Any) -> str:
    validation(model.module)
    order = np.argsort(-np.array(validation.losses), kind="stable")[:_WORST]
    figures = []
    for number in order.tolist():
        piece, corner = validation.corners[number]
        name = html.escape(validation.pieces[piece].name or f"piece {piece}")
        caption = f"loss {validation.losses[number]:.4g}: {name} at voxel {tuple(corner)}"
        figures.append(framed(caption, panels(validation, model.module, number)))
    return f"<h2>The worst {len(figures)} of {len(validation.corners)} crops</h2>{''.join(figures)}"
