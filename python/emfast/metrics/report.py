"""Evaluations as a page to look at: one HTML file with the scores, what they mean, and slices of the worst errors.

Nothing is loaded from elsewhere; pictures are inside the file.
"""

from __future__ import annotations

import base64
import html
import math
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _files, _png
from ._protocols import as_mask, cleft_masks
from .evaluation import Scores

if TYPE_CHECKING:
    from .errors import Errors

__all__ = ["STYLE", "framed", "page", "plotted", "write_page"]

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; }
td, th { padding: .2rem .8rem; border-bottom: 1px solid var(--line); text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1.2rem 0; padding: .8rem; background: var(--soft); border-radius: .4rem; }
figure div { display: flex; flex-wrap: wrap; gap: .6rem; } figure div > span { flex: 1 1 10rem; max-width: 16rem; }
figure img { width: 100%; image-rendering: pixelated; display: block; }
figcaption { margin-bottom: .5rem; } small { opacity: .75; }
pre { overflow-x: auto; background: var(--soft); padding: .8rem; }
svg { max-width: 40rem; width: 100%; } svg text { fill: currentColor; font-size: 11px; }
.first { color: #d9480f; } .second { color: #1971c2; }
"""
_FIRST, _SECOND, _REST = (217, 72, 15), (25, 113, 194), (110, 110, 110)
_HALF = 64  # voxels from the middle of a slice to its edge
_WIDEST = 512  # pixels of a whole section
_SHOWN = ("kind", "truth", "label", "truth_2", "label_2", "cost", "point")
_WORDS = {
    "split": "One object is cut",
    "merge": "Two objects are one segment",
    "missed": "An object is missing",
    "spurious": "A segment is nothing's",
}


def page(
    scores: Scores,
    *,
    errors: Errors | None = None,
    truth: Any = None,
    labels: Any = None,
    image: Any = None,
    worst: int = 12,
    title: str = "Evaluation",
    pictures: Sequence[tuple[str, np.ndarray]] = (),
) -> str:
    """The page as text.

    Parameters
    ----------
    scores : Scores
    errors : Errors, optional
        Of :func:`emfast.compare`: the worst come as slices.
    truth, labels : (z, y, x) or (y, x) arrays
        What was compared; needed for slices. Anything that can be sliced. Of masks, classes and probabilities, which
        have no errors of objects, the sections with the most wrong voxels are shown.
    image : array of uint8 of that shape, optional
        Shown below the labels.
    worst : int
        How many errors are shown, or sections.
    title : str
    pictures : sequence of (name, (y, x, 3) uint8)
        Shown first.

    Returns
    -------
    str
    """
    if errors is not None and (truth is None or labels is None):
        raise ValueError("truth and labels must be given to show slices of errors")
    parts = [framed("", pictures)] if pictures else []
    parts.append(_scores(scores))
    if scores.curve is not None:
        parts.append(plotted(scores.curve["threshold"], scores.curve["iou"], "threshold", "IoU"))
    if errors is not None:
        parts.append(_errors(errors, truth, labels, image, worst))
    elif truth is not None and labels is not None and scores.protocol.takes != "objects":
        parts.append(_sections(scores, truth, labels, image, worst))
    parts.append(f"<h2>Card</h2><pre>{html.escape(scores.to_json())}</pre>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>{html.escape(title)}</h1>{''.join(parts)}</html>\n"
    )


def write_page(path: str | os.PathLike[str], scores: Scores, **options: Any) -> None:
    """Write :func:`page`, whole or not at all; options as there."""
    text = page(scores, **options)
    with _files.beside(path) as part, open(part, "w", encoding="utf-8") as file:
        file.write(text)


def _scores(scores: Scores) -> str:
    rows = []
    for name, value in scores.scores.items():
        low, high = scores.intervals.get(name, (None, None))
        between = "" if low is None else f"{low:.4g} to {high:.4g}"
        rows.append(f'<tr><td>{html.escape(name)}<td class="number">{value:.6g}<td class="number">{between}')
    interval = "<th>95 %" if scores.intervals else "<th>"
    lines = "".join(f"<li>{html.escape(line)}" for line in scores.protocol.conventions)
    return (
        f"<p>Protocol <b>{html.escape(scores.protocol.name)}</b>: {html.escape(scores.protocol.about)}</p>"
        f"<table><tr><th>score<th>value{interval}{''.join(rows)}</table><ul>{lines}</ul>"
    )


# ---- curves


def plotted(x: np.ndarray, y: np.ndarray, x_name: str, y_name: str) -> str:
    """A line from x to y, as SVG; y from 0 to its largest."""
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.asarray(x, float)[known], np.asarray(y, float)[known]
    if len(x) < 2:
        return ""
    width, height, left, bottom = 560, 200, 50, 30
    top = max(float(y.max()), 1e-300)
    span = float(x.max() - x.min()) or 1.0
    across, up = left + (x - x.min()) / span * (width - left - 10), height - bottom - y / top * (height - bottom - 15)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, up, strict=True))
    foot = height - bottom
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{y_name} by {x_name}">'
        f'<path d="M{left} 10V{foot}H{width - 10}" fill="none" stroke="currentColor" opacity=".4"/>'
        f'<polyline points="{points}" fill="none" stroke="#1971c2" stroke-width="2"/>'
        f'<text x="{left}" y="{height - 10}">{x.min():.4g}</text>'
        f'<text x="{width - 10}" y="{height - 10}" text-anchor="end">{x_name} {x.max():.4g}</text>'
        f'<text x="{left - 6}" y="18" text-anchor="end">{top:.3g}</text>'
        f'<text x="{left - 6}" y="{foot}" text-anchor="end">0</text><text x="{left + 6}" y="18">{y_name}</text></svg>'
    )


# ---- errors


def _errors(errors: Errors, truth: Any, labels: Any, image: Any, worst: int) -> str:
    events = errors.events
    count, costs = len(events), np.asarray(events["cost"], float)
    shown = min(worst, count)
    if not count:
        return "<h2>Errors</h2><p>None: both volumes have the same objects.</p>"
    figures = "".join(_figure({name: events[name][k] for name in _SHOWN}, truth, labels, image) for k in range(shown))
    sums = np.cumsum(costs)
    most = max(2, int(np.searchsorted(sums, 0.99 * sums[-1])) + 1)  # the rest is dust
    line = plotted(np.arange(1, count + 1)[:most], sums[:most], "errors, worst first", "cost so far, bits")
    return (
        f"<h2>The worst {shown} of {count} errors</h2>"
        "<p>The cost of an error is what its half of the variation of information, splits or merges, would fall by "
        "if it alone were mended. A cross marks the place.</p>"
        f"{line}{figures}"
    )


def _figure(event: dict[str, Any], truth: Any, labels: Any, image: Any) -> str:
    point = tuple(int(c) for c in event["point"])
    box = _around(point, truth.shape)
    here, found = _slice(truth, box), _slice(labels, box)
    grey = _slice(image, box).astype(np.uint8) if image is not None else np.full(here.shape, 90, np.uint8)
    pictures = [("image", np.repeat(grey[..., None], 3, axis=-1))] if image is not None else []
    pictures += [
        ("truth", _png.overlay(grey, here, 0.6)),
        ("segments", _png.overlay(grey, found, 0.6)),
        ("error", _marked(_tinted(grey, event, here, found), point, box)),
    ]
    return framed(_caption(event, point), pictures)


def _caption(event: dict[str, Any], point: tuple[int, ...]) -> str:
    kind = str(event["kind"])
    parts = {
        "split": "object {truth}: segments <b class=first>{label}</b> and <b class=second>{label_2}</b>",
        "merge": "segment {label}: objects <b class=first>{truth}</b> and <b class=second>{truth_2}</b>",
        "missed": "object <b class=first>{truth}</b>",
        "spurious": "segment <b class=first>{label}</b>",
    }[kind].format(**event)
    return f"<b>{_WORDS[kind]}</b>, {parts}; {float(event['cost']):.4g} bits at voxel {point}"


def _tinted(grey: np.ndarray, event: dict[str, Any], truth: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The two parts of an error in two colours, the rest of what they lie in in grey."""
    kind = str(event["kind"])
    if kind == "split":
        whole = truth == event["truth"]
        first, second = whole & (labels == event["label"]), whole & (labels == event["label_2"])
    elif kind == "merge":
        whole = labels == event["label"]
        first, second = whole & (truth == event["truth"]), whole & (truth == event["truth_2"])
    else:
        whole = first = truth == event["truth"] if kind == "missed" else labels == event["label"]
        second = np.zeros_like(whole)
    return _painted(grey, ((whole, _REST), (first, _FIRST), (second, _SECOND)))


# ---- sections of masks and classes


def _sections(scores: Scores, truth: Any, labels: Any, image: Any, worst: int) -> str:
    """The sections in which the most voxels are wrong, whole but with fewer pixels."""
    takes, threshold = scores.protocol.takes, float(scores.about.get("threshold", 0.5))
    graded = takes == "probability" or "threshold" in scores.about

    if takes == "clefts":
        truth, labels = cleft_masks(np.asarray(truth[...]), np.asarray(labels[...]))

    def section(z: int) -> tuple[np.ndarray, np.ndarray]:
        here, found = (np.asarray(v[z] if len(v.shape) == 3 else v[...]) for v in (truth, labels))
        if takes in ("classes", "clefts"):
            return here, found
        return here != 0, as_mask(found, threshold, graded=graded)

    count = truth.shape[0] if len(truth.shape) == 3 else 1
    wrong = np.array([np.count_nonzero(np.not_equal(*section(z))) for z in range(count)])
    order = [z for z in np.argsort(-wrong, kind="stable").tolist() if wrong[z]][:worst]
    if not order:
        return "<h2>Errors</h2><p>None: both volumes are the same.</p>"
    figures = []
    for z in order:
        here, found = section(z)
        step = max(1, -(-max(here.shape) // _WIDEST))
        here, found = here[::step, ::step], found[::step, ::step]
        grey = np.full(here.shape, 90, np.uint8)
        if image is not None:
            grey = np.asarray(image[z] if len(image.shape) == 3 else image[...])[::step, ::step].astype(np.uint8)
        pictures = [("image", np.repeat(grey[..., None], 3, axis=-1))] if image is not None else []
        pictures += [("truth", _png.overlay(grey, here, 0.6)), ("prediction", _png.overlay(grey, found, 0.6))]
        parts = (here != 0) & (here == found), (found != 0) & (here != found), (here != 0) & (found == 0)
        pictures.append(("errors", _painted(grey, zip(parts, (_REST, _FIRST, _SECOND), strict=True))))
        caption = f"Section {z}: {wrong[z]} of {math.prod(truth.shape[-2:])} voxels are wrong; "
        words = "<b class=first>wrong or too much</b>, <b class=second>missing</b>"
        figures.append(framed(caption + words, pictures))
    return f"<h2>The worst {len(order)} of {count} sections</h2>{''.join(figures)}"


def _painted(grey: np.ndarray, parts: Iterable[tuple[np.ndarray, tuple[int, int, int]]]) -> np.ndarray:
    """A grey picture with parts in colours, later ones over earlier."""
    below = np.repeat(grey[..., None], 3, axis=-1)
    out = below.astype(np.float32)
    for part, colour in parts:
        out[part] = 0.45 * below[part] + 0.55 * np.array(colour, np.float32)
    return out.astype(np.uint8)


def framed(caption: str, pictures: Sequence[tuple[str, np.ndarray]]) -> str:
    shown = "".join(f'<span><img alt="{name}" src="{_inside(p)}"><small>{name}</small></span>' for name, p in pictures)
    return f"<figure><figcaption>{caption}</figcaption><div>{shown}</div></figure>"


def _marked(picture: np.ndarray, point: Sequence[int], box: tuple[Any, ...]) -> np.ndarray:
    """With a cross beside a point, so that the point itself is seen."""
    y, x = (at - window.start for at, window in zip(point[-2:], box[-2:], strict=True))
    out = picture.copy()
    for gap in (2, 3, 4, 5):
        for row, column in ((y - gap, x), (y + gap, x), (y, x - gap), (y, x + gap)):
            if 0 <= row < out.shape[0] and 0 <= column < out.shape[1]:
                out[row, column] = 255
    return out


def _around(point: Sequence[int], shape: Sequence[int]) -> tuple[Any, ...]:
    """The section of a point, and a window about it that stays inside."""
    window = []
    for at, n in zip(point[-2:], shape[-2:], strict=True):
        start = min(max(0, at - _HALF), max(0, n - 2 * _HALF))
        window.append(slice(start, min(n, start + 2 * _HALF)))
    return (*point[:-2], *window)


def _slice(volume: Any, box: tuple[Any, ...]) -> np.ndarray:
    return np.asarray(volume[box])


def _inside(picture: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(_png.encode(np.ascontiguousarray(picture))).decode()
