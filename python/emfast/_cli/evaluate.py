"""``emfast evaluate``: scores of a segmentation by a named protocol, as a table, JSON, a page to look at and a volume
of what is wrong."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .. import _files
from .._progress import Progress
from .options import add_threads, numbers, sides, spacing

__all__ = ["add"]

_MAP = "emfast error map 1"


def add(verbs: Any) -> None:
    """The verb and its options."""
    verb = verbs.add_parser(
        "evaluate",
        help="scores of a segmentation by a named protocol, and where its errors are",
        description="Scores of a segmentation by a named protocol, and where its errors are.",
        epilog="Files are .npy, .npz, .h5, .tif or .zarr; of an archive with the name of the array, as in "
        "file.h5:path. Volumes of .h5 and .zarr are read block by block where the protocol allows it.",
    )
    verb.add_argument("truth", metavar="TRUTH", nargs="?")
    verb.add_argument("labels", metavar="LABELS", nargs="?")
    verb.add_argument("--protocol", default="general", metavar="NAME", help="see --list (default: general)")
    verb.add_argument("--list", action="store_true", help="list the protocols and what they fix")
    verb.add_argument("--spacing", type=spacing, metavar="Z,Y,X", help="nanometres per voxel")
    verb.add_argument("--mask", metavar="FILE", help="voxels that are 0 there do not count")
    verb.add_argument(
        "--thresholds", type=numbers, metavar="T,T,…", help="of a probability; the best counts (ISBI 2012 has its own)"
    )
    verb.add_argument("--no-checksums", action="store_true", help="do not read files once more for the card")
    verb.add_argument("--bootstrap", type=int, default=0, metavar="N", help="rounds for 95 %% intervals")
    verb.add_argument("--block", type=sides, metavar="Z,Y,X", help="voxels that are read at a time")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the card as JSON")
    verb.add_argument("--report", type=Path, metavar="FILE.html", help="write a page with slices of the worst errors")
    verb.add_argument("--image", metavar="FILE", help="uint8, shown in the report")
    verb.add_argument(
        "--errors", type=Path, metavar="FILE", help="write the table of errors, worst first, as .csv or .parquet"
    )
    verb.add_argument(
        "--error-map",
        metavar="FILE.zarr[:NAME]",
        help="write what is wrong at each voxel, block by block (.h5, .npy and .tif too): 0 correct, 1 split, 2 merge, "
        "3 missed, 4 spurious, 5 shift, 255 ignored",
    )
    verb.add_argument(
        "--shift", type=float, metavar="NM", help="of the error map: wrong, but right so near is 5; wants --spacing"
    )
    verb.add_argument("--worst", type=int, default=12, metavar="N", help="errors in the report (default: 12)")
    add_threads(verb)
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    from dataclasses import replace

    from .. import metrics
    from .._options import integer_of

    if chosen.list:
        for protocol in metrics.PROTOCOLS.values():
            print(f"{protocol.name}: {protocol.about}")
            print("".join(f"    {line}\n" for line in protocol.conventions))
        return 0
    if chosen.labels is None:
        raise ValueError("TRUTH and LABELS must be given, two files")
    integer_of(chosen.worst, "--worst", 0)
    objects = metrics.PROTOCOLS.get(chosen.protocol, metrics.PROTOCOLS["general"]).takes == "objects"
    _check_options(chosen, objects)
    _check_targets(chosen)
    with ExitStack() as stack:
        truth: Any = stack.enter_context(_files.opened(chosen.truth))
        labels: Any = stack.enter_context(_files.opened(chosen.labels))
        if len(labels.shape) == len(truth.shape) + 1 and labels.shape[0] == 1:  # as emfast predict writes it
            labels = _OneChannel(labels)
        mask, image = (
            None if place is None else stack.enter_context(_files.opened(place))
            for place in (chosen.mask, chosen.image)
        )
        if image is not None and (tuple(image.shape) != tuple(truth.shape) or image.dtype != "uint8"):
            raise ValueError(
                f"--image must be uint8 of the shape of TRUTH {tuple(truth.shape)}, "
                f"got {image.dtype} of shape {tuple(image.shape)}"
            )
        shared: dict[str, Any] = {"spacing": chosen.spacing, "mask": mask, "block": chosen.block}
        with Progress("counting") as progress:
            scores = metrics.evaluate(
                truth,
                labels,
                protocol=chosen.protocol,
                thresholds=chosen.thresholds,
                bootstrap=chosen.bootstrap,
                checksums=False,
                progress=progress,
                **shared,
            )
        errors: Any = None
        if objects and (chosen.errors or chosen.report or chosen.error_map):
            with Progress("looking for errors") as progress:
                errors = metrics.compare_by(chosen.protocol, truth, labels, progress=progress, **shared)
        scores = replace(scores, about=scores.about | _files_of(chosen))
        print(scores)
        _tell_masks(scores)
        if chosen.json:
            with _files.beside(chosen.json) as part, open(part, "w", encoding="utf-8") as file:
                file.write(scores.to_json())
        if chosen.errors:
            _files.save_table(chosen.errors, errors.events)
        if chosen.error_map:
            _write_map(chosen, truth, labels, errors, shared)
            print(f"error map: {chosen.error_map}")
        if chosen.report:
            title = f"{Path(chosen.labels).name} against {Path(chosen.truth).name}"
            options = {"errors": errors, "truth": truth, "labels": labels, "image": image, "worst": chosen.worst}
            metrics.write_page(chosen.report, scores, title=title, **options)
            print(f"page: {chosen.report}")
    return 0


class _OneChannel:
    """A volume (1, z, y, x) without its first axis."""

    def __init__(self, volume: Any) -> None:
        self.volume, self.shape, self.dtype = volume, tuple(volume.shape[1:]), volume.dtype
        self.chunks = tuple(getattr(volume, "chunks", None) or volume.shape)[1:]

    def __getitem__(self, where: Any) -> Any:
        first = (0,) + (where if isinstance(where, tuple) else (where,))
        return self.volume[first]

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        import numpy as np

        return np.asarray(self[...], dtype)


def _tell_masks(scores: Any) -> None:
    """Scores of objects that are of one object, for a mask was given."""
    if scores.get("objects_truth") == 1:
        print(
            "emfast evaluate: TRUTH holds one label. If it is a mask of several objects, `emfast components TRUTH OUT` "
            "makes them one by one; --protocol lucchi scores the mask itself",
            file=sys.stderr,
        )


def _files_of(chosen: argparse.Namespace) -> dict[str, Any]:
    """The names of the volumes and what they were made of, for the card."""
    places = {name: getattr(chosen, name) for name in ("truth", "labels", "mask")}
    named = {name: place for name, place in places.items() if place is not None}
    if chosen.no_checksums:
        return named
    return named | {f"{name}_file_sha256": _files.checksum(_files.parse(place)[0]) for name, place in named.items()}


def _write_map(chosen: argparse.Namespace, truth: Any, labels: Any, errors: Any, shared: dict[str, Any]) -> None:
    """The class of every voxel, into a file that appears when all is written."""
    import json

    from .. import _targets, metrics

    meanings = {kind.name.lower(): int(kind) for kind in metrics.ErrorClass}
    about = {"classes": json.dumps(meanings), "protocol": chosen.protocol, "shift_nm": chosen.shift or 0.0}
    chunks = getattr(truth, "chunks", None)
    target = _targets.created(chosen.error_map, truth.shape, "u1", kind=_MAP, about=about, chunks=chunks)
    with target as out, Progress("writing the error map") as progress:
        options = {"shift": chosen.shift or 0.0, "out": out, "check": False, "progress": progress, **shared}
        metrics.error_map_by(chosen.protocol, truth, labels, errors, **options)


def _check_options(chosen: argparse.Namespace, objects: bool) -> None:
    """Options that want others, or objects."""
    from .._options import number_of

    if chosen.image and not chosen.report:
        raise ValueError("--image needs --report, which shows it")
    if chosen.errors:
        _files.check_table(chosen.errors, "--errors")
    for name, value in (("--errors", chosen.errors), ("--error-map", chosen.error_map)):
        if value and not objects:
            raise ValueError(f"{name} needs a protocol that takes objects, got {chosen.protocol!r}")
    if chosen.shift is not None:
        number_of(chosen.shift, "--shift", 0)
        if not (chosen.error_map and chosen.spacing):
            raise ValueError("--shift needs --error-map, which it is of, and --spacing, for it is in nanometres")


def _check_targets(chosen: argparse.Namespace) -> None:
    """Each file that is written must be one of its own."""
    from .. import _targets

    taken = [place for place in (chosen.truth, chosen.labels, chosen.mask, chosen.image) if place is not None]
    if chosen.error_map:
        path = _targets.file_of(chosen.error_map)
        if any(_files.holds(place, path) or _files.holds(path, _files.parse(place)[0]) for place in taken):
            raise ValueError(f"{path} must be a file of its own")
        _targets.check(chosen.error_map, _MAP)
        taken.append(path)
    for path in (chosen.json, chosen.report, chosen.errors):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise ValueError(f"{path} must lie in an existing folder, got {str(path.parent)!r}")
        if path.is_dir() or any(_files.holds(place, path) for place in taken):
            raise ValueError(f"{path} must be a file of its own")
        taken.append(str(path))
