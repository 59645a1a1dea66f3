"""``python -m benchmarks.real``: networks trained on real data for a stated budget, and what they reach.

Each case has three parts that share no section: what is learnt from, what parameters of the decoder are chosen by, and
what is reported. Steps, seeds and settings are fixed, so that another run gives the same on the same machine. Writes
real.md and pictures under results/.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

import emfast
from emfast import segmentation
from emfast.sampling import Piece
from emfast.targets import Semantic

from .__main__ import machine

_SIDE = 256  # of a picture
PAGE = Path(__file__).parent / "real.md"
RESULTS = Path(__file__).parent / "results"
ANIMALS = ("rat2_sample-data5", "rat3_sample-data10", "rat3_sample-data11", "rat3_sample-data9", "rat4_sample-data12")
DATA = Path(os.environ.get("EMFAST_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))


@dataclass(frozen=True)
class Part:
    """A stretch of sections of a sample."""

    image: np.ndarray  # (z, y, x)
    labels: np.ndarray
    others: Mapping[str, np.ndarray] = field(default_factory=dict)  # segmentations that were published


@dataclass(frozen=True)
class Case:
    """``score`` is what parameters are chosen by; ``report`` what is told of labels or outputs.

    Where ``coarser`` is not 1, the network learns and predicts on means of squares of that side: it sees farther, and
    less noise. What it says holds for each of their pixels, and is judged on all of them.
    """

    name: str
    words: str
    recipe: str
    steps: int
    parts: Callable[[], tuple[Sequence[Part], Part, Part]]  # to learn from, to choose by, to report
    spacing: tuple[float, float, float]
    score: Callable[[Any, Any], float] | None
    report: Callable[[Part, Mapping[str, np.ndarray], Any], dict[str, float]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    decoding: Mapping[str, Any] = field(default_factory=dict)
    beside: Callable[[Part], dict[str, dict[str, float]]] | None = None
    coarser: int = 1

    def piece(self, part: Part, name: str) -> Piece:
        """What is learnt from, or the weights are chosen by."""
        z, y, x = self.spacing
        spacing = z, y * self.coarser, x * self.coarser
        return Piece(self.seen(part.image)[None], {"labels": self.seen(part.labels)}, spacing=spacing, name=name)

    def seen(self, array: np.ndarray) -> np.ndarray:
        """As the network sees it; labels, which are not bytes, by majority."""
        return array if self.coarser == 1 else emfast.volumes.downsample(array, (1, self.coarser, self.coarser))

    def predicted(self, model: Any, part: Part) -> dict[str, np.ndarray]:
        """The outputs for all pixels of a part."""
        outputs = emfast.predict(model, self.seen(part.image))
        sides = part.image.shape[1:]
        return {
            name: each.repeat(self.coarser, 2).repeat(self.coarser, 3)[..., : sides[0], : sides[1]]
            for name, each in outputs.items()
        }


def _cut(name: str, file: str, labels: str, cuts: tuple[int, int, int, int], *others: str) -> Any:
    """The sections between these, one part each."""
    sample = emfast.data.open(name, DATA / file)[0]
    image, truth = sample.raw[...], sample.labels[labels][...].astype("u4")
    beside = {other: sample.labels[other][...] for other in others}
    learnt, chosen, held = (
        Part(image[a:b], truth[a:b], {n: each[a:b] for n, each in beside.items()})
        for a, b in zip(cuts[:-1], cuts[1:], strict=True)
    )
    return [learnt], chosen, held


def _tiles() -> Any:
    """Heart muscle: five tiles of each of four sources, of which the fourth are chosen by, the fifth reported."""
    sample = emfast.data.open("cardiac", DATA / "cardiac_mito_train20.h5")[0]
    image, truth = sample.raw[...], sample.labels["mitochondria"][...].astype("u4")
    learnt = [Part(image[k : k + 1], truth[k : k + 1]) for k in range(20) if k % 5 < 3]
    return learnt, *(Part(image[k::5], truth[k::5]) for k in (3, 4))


def _animals() -> Any:
    """Spinal cord: two rats to learn from, one of their images to choose by, another rat to report."""
    import h5py

    with h5py.File(DATA / "axon_sem_dev.h5") as file:
        *learnt, chosen, held = (
            Part(file[f"sub-{name}/image"][:][None], file[f"sub-{name}/labels"][:][None].astype("u4"))
            for name in ANIMALS
        )
    return learnt, chosen, held


# ---- scores


def voi_sum(truth: Any, labels: Any) -> float:
    """Negative, for more is better."""
    return -sum(emfast.contingency(truth.astype("u8"), labels.astype("u8")).voi())


def overlap(truth: Any, labels: Any) -> float:
    """Intersection over union of what is labelled."""
    return emfast.contingency(truth > 0, np.asarray(labels) > 0).binary(1).iou


def partition(truth: np.ndarray, labels: np.ndarray, mask: np.ndarray | None = None) -> dict[str, float]:
    table = emfast.contingency(truth.astype("u8"), labels.astype("u8"), mask=mask)
    split, merge = table.voi()
    return {"VOI split": split, "VOI merge": merge, "VOI": split + merge, "ARAND": table.adapted_rand().error}


def neurons(part: Part, outputs: Mapping[str, np.ndarray], labels: Any) -> dict[str, float]:
    found = partition(part.labels, labels)
    if "ffn" in part.others:  # where the other segmentation says something
        found["VOI where FFN segmented"] = partition(part.labels, labels, part.others["ffn"] > 0)["VOI"]
    return found


def published(part: Part) -> dict[str, dict[str, float]]:
    rows = {}
    for name, labels in part.others.items():
        rows[f"published {name}"] = partition(part.labels, labels)
        rows[f"published {name}"]["VOI where FFN segmented"] = partition(part.labels, labels, part.others["ffn"] > 0)[
            "VOI"
        ]
    return rows


def membranes(part: Part, outputs: Mapping[str, np.ndarray], labels: Any) -> dict[str, float]:
    scores = emfast.evaluate(part.labels > 0, 1 - outputs["membrane"][0], protocol="isbi2012")
    return {name: float(scores[name]) for name in scores}


def objects(part: Part, outputs: Mapping[str, np.ndarray], labels: Any) -> dict[str, float]:
    iou = overlap(part.labels, labels)
    return {"IoU": iou, "Dice": 2 * iou / (1 + iou)}


def classes(part: Part, outputs: Mapping[str, np.ndarray], labels: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for k, name in enumerate(("axon", "myelin")):
        iou = overlap(part.labels == k + 1, outputs["mask"][k] >= 0.5)
        found |= {f"IoU {name}": iou, f"Dice {name}": 2 * iou / (1 + iou)}
    return found


CASES = {
    case.name: case
    for case in (
        Case(
            "fib25",
            "neurons, fly medulla, FIB-SEM",
            "affinities_isotropic",
            6000,
            lambda: _cut("fib25", "fib25_medulla_train.h5", "neurons", (0, 110, 130, 170), "watershed", "ffn"),
            (10.0, 10.0, 10.0),
            voi_sum,
            neurons,
            beside=published,
        ),
        Case(
            "isbi2012",
            "membranes, fly nerve cord, ssTEM",
            "membranes",
            5000,
            lambda: _cut("isbi2012", "isbi2012_train20.h5", "cells", (0, 14, 16, 20)),
            (50.0, 4.0, 4.0),
            None,
            membranes,
        ),
        Case(
            "cardiac",
            "mitochondria, heart muscle, SBF-SEM",
            "objects",
            5000,
            _tiles,
            (50.0, 10.0, 10.0),
            overlap,
            objects,
            coarser=2,
        ),
        Case(
            "snemi3d",
            "mitochondria, mouse cortex, ssSEM",
            "objects",
            1000,
            lambda: _cut("snemi3d", "snemi3d_ac4_dev.h5", "mitochondria", (0, 22, 25, 32)),
            (30.0, 6.0, 6.0),
            overlap,
            objects,
        ),
        Case(
            "cdeep3m",
            "mitochondria, brain, SBF-SEM",
            "objects",
            1500,
            lambda: _cut("cdeep3m-s", "cdeep3m_mito_train.h5", "mitochondria", (0, 8, 9, 12)),
            (24.0, 2.4, 2.4),
            overlap,
            objects,
            coarser=2,
        ),
        Case(
            "axons",
            "axons and myelin, rat spinal cord, SEM",
            "objects",
            1500,
            _animals,
            (100.0, 100.0, 100.0),
            None,
            classes,
            settings={"heads[0].target": Semantic(classes=2)},
            decoding={"channel": 0},
        ),
    )
}


# ---- a run


def run(case: Case, folder: Path, *, scale: float, seed: int) -> dict[str, Any]:
    """Train, choose, report. A run that was cut short goes on."""
    import torch

    from emfast import recipes

    learn, choose, held = case.parts()
    *pieces, judged = (
        case.piece(part, name)
        for name, part in (*((f"learnt {k}", part) for k, part in enumerate(learn)), ("chosen", choose))
    )
    steps = max(2, round(case.steps * scale))
    _commit(folder / case.name)
    model = emfast.train(
        case.recipe,
        pieces,
        validation=[judged],
        run=folder / case.name,
        steps=steps,
        seed=seed,
        settings=case.settings,
        precision="bfloat16",
    )
    decode = recipes.get(case.recipe).decode
    start = time.perf_counter()
    outputs = {name: case.predicted(model, part) for name, part in (("choose", choose), ("held", held))}
    predicted = time.perf_counter() - start
    options = dict(case.decoding)
    if case.score is not None:
        options = segmentation.tune(decode, [(outputs["choose"], choose.labels)], case.score, budget=60).options
    labels = np.asarray(decode(outputs["held"], spacing=case.spacing, **options))
    rows = {"emfast": case.report(held, outputs["held"], labels)} | (case.beside(held) if case.beside else {})
    _picture(RESULTS / f"real_{case.name}.png", held, outputs["held"], labels)
    return {
        "case": case.name,
        "recipe": case.recipe,
        "steps": steps,
        "seed": seed,
        "coarser": case.coarser,
        "trained": _commit(folder / case.name),
        "threads": torch.get_num_threads(),
        "train_s": _seconds(folder / case.name, model.method.batch),
        "predict_s": predicted,
        "voxels": int(choose.image.size + held.image.size),
        "options": options,
        "rows": rows,
    }


def _commit(folder: Path) -> str:
    """Of this repository when the run was begun."""
    place = folder / "commit.txt"
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        here = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        place.write_text(subprocess.run(here, capture_output=True, text=True, check=True).stdout)
    return place.read_text().strip()


def _seconds(folder: Path, batch: int) -> float:
    """Of all steps of a run at their median rate, however often it was interrupted."""
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    rates = [line["samples_per_s"] for line in lines if "samples_per_s" in line]
    return len(rates) * batch / float(np.median(rates))


def _picture(path: Path, part: Part, outputs: Mapping[str, np.ndarray], labels: np.ndarray) -> None:
    """Of a section in the middle the part with most labels: image, first output, truth, labels."""
    from emfast import _png

    z = len(part.image) // 2
    first = next(iter(outputs.values()))
    seen = first[:3, z] if len(first) >= 3 else np.repeat(first[:1, z], 3, 0)
    panels = [
        np.repeat(part.image[z][..., None], 3, -1),
        np.moveaxis((255 * np.clip(seen, 0, 1)).astype("u1"), 0, -1),
        _png.overlay(part.image[z], part.labels[z], 0.5),
        _png.overlay(part.image[z], labels[z], 0.5),
    ]
    path.parent.mkdir(exist_ok=True)
    y, x = _busiest(part.labels[z] > 0)
    whole = np.concatenate([panel[y : y + _SIDE, x : x + _SIDE] for panel in panels], axis=1)
    _png.write(path, whole & 0xF8 | whole >> 5)


def _busiest(marked: np.ndarray) -> tuple[int, int]:
    """The corner of the square with most that is marked; the first of equals."""
    corners = itertools.product(*(range(0, max(1, n - _SIDE + 1), 32) for n in marked.shape))
    return max(corners, key=lambda c: int(marked[c[0] : c[0] + _SIDE, c[1] : c[1] + _SIDE].sum()))


# ---- the page


def page(found: list[dict[str, Any]]) -> str:
    here = machine()
    lines = [
        "# Networks on real data",
        "",
        f"`python -m benchmarks.real`, {date.today().isoformat()}, {here['processor']}.",
        "",
        "Small excerpts, trained on the CPU. Sections that are learnt from, those by which parameters of decoders and "
        "the best weights are chosen, and those that are reported are apart; nothing was chosen by what is reported, "
        "but for the two thresholds of ISBI 2012, which its protocol takes where they do best.",
        "",
    ]
    for each in found:
        case = CASES[each["case"]]
        learn, choose, held = case.parts()
        sections = sum(len(part.image) for part in learn), len(choose.image), len(held.image)
        chosen = ", ".join(f"{k} {v:.4g}" for k, v in each["options"].items()) or "none"
        lines += [
            f"## {case.name}: {case.words}",
            "",
            f"Recipe `{each['recipe']}`{_coarser(each)}, {each['steps']} steps in {each['train_s'] / 60:.0f} min by "
            f"{each['threads']} {'thread' if each['threads'] == 1 else 'threads'}, seed {each['seed']}, "
            f"at commit {each['trained']}; "
            f"{sections[0]} sections learnt, {sections[1]} to choose by, {sections[2]} reported; "
            f"prediction {each['voxels'] / each['predict_s'] / 1e6:.2f} Mvox/s. Parameters chosen: {chosen}.",
            "",
        ]
        names = list(next(iter(each["rows"].values())))
        lines += [f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
        for row, scores in each["rows"].items():
            lines.append(f"| {row} | {' | '.join(f'{scores[n]:.3f}' if n in scores else '' for n in names)} |")
        lines += ["", f"![image, output, truth, labels](results/real_{case.name}.png)", ""]
    return "\n".join(lines)


def _coarser(found: dict[str, Any]) -> str:
    factor = found.get("coarser", 1)
    return "" if factor == 1 else f" at pixels {factor} times as large"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all")
    parser.add_argument("--runs", type=Path, default=Path("real-runs"), help="folder of the runs, which go on")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write real.md")
    chosen = parser.parse_args()
    kept = RESULTS / "real.json"
    found = {each["case"]: each for each in (json.loads(kept.read_text()) if kept.exists() else [])}
    for name in chosen.cases or list(CASES):
        found[name] = run(CASES[name], chosen.runs, scale=chosen.scale, seed=chosen.seed)
        print(json.dumps(found[name], indent=1), flush=True)
        if chosen.write:
            ordered = [found[n] for n in CASES if n in found]
            kept.write_text(json.dumps(ordered, indent=1) + "\n")
            PAGE.write_text(page(ordered))


if __name__ == "__main__":
    main()
