"""``emfast mesh``: the surfaces of labels, a file for each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import _files
from .._progress import Progress
from .blocks import anew, engine
from .options import blocks, ids, spacing

__all__ = ["add"]

_COST = 64  # bytes for each voxel of a box: labels, the object in it, and what zmesh makes of them


def add(verbs: Any) -> None:
    """The verb and its options."""
    verb = verbs.add_parser(
        "mesh",
        help="surfaces of labels as triangles, a file per label",
        description="Surfaces of labels as triangles, in nanometres, a file per label. Needs zmesh.",
        epilog="OUT is a new or empty folder. Its files 7.ply or 7.obj are for MeshLab, Blender and the like; those of "
        "precomputed are for Neuroglancer (precomputed://…/OUT as the mesh of a segmentation). Labels are counted "
        "block by block, then the box of one object after the other is read; with --memory a large one in pieces.",
        parents=[blocks()],
    )
    verb.add_argument("labels", metavar="LABELS")
    verb.add_argument("out", metavar="OUT", type=Path)
    verb.add_argument("--format", default="ply", choices=("ply", "obj", "precomputed"), help="default: ply")
    verb.add_argument("--ids", metavar="ID,ID,…", type=ids, help="only these (default: all)")
    verb.add_argument("--spacing", type=spacing, metavar="Z,Y,X", help="nanometres per voxel (default: the file's)")
    verb.add_argument("--simplify", type=int, default=0, metavar="N", help="make N times fewer triangles, about")
    verb.add_argument("--max-error", type=float, metavar="NM", help="how far that may move a vertex (default: a voxel)")
    verb.add_argument("--open", action="store_true", help="leave surfaces open where the volume ends")
    verb.add_argument("--dust", type=int, default=0, metavar="N", help="leave out labels of fewer voxels")
    verb.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    out: Path = chosen.out
    if not out.absolute().parent.is_dir() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ValueError(f"OUT must be a new or empty folder in an existing one, got {str(out)!r}")
    return anew(_run, chosen, str(out))


def _run(chosen: argparse.Namespace, stem: str) -> int:
    from .. import blockwise, meshes
    from .._engine.mended import mended
    from ..blockwise._labels import most_voxels
    from ..blockwise._run import Engine
    from ..volumes import open_volume

    with engine(chosen, stem) as shared, open_volume(chosen.labels) as labels:
        if chosen.dry_run:
            print(blockwise.plan(blockwise.statistics, labels, **shared))
            return 0
        options = {name: getattr(chosen, name) for name in ("ids", "simplify", "max_error", "dust")}
        if chosen.memory:
            options["largest"] = most_voxels(Engine(memory=chosen.memory, workers=1), _COST, 0)
        nm = chosen.spacing or labels.spacing
        if nm is None:
            raise ValueError(f"--spacing must be given: {chosen.labels} does not say how large its voxels are")
        options |= {"spacing": nm, "offset": labels.offset or (0, 0, 0), "closed": not chosen.open}
        options["table"] = blockwise.statistics(labels, **shared)
        notes = shared["on_corrupt"]
        with Progress("meshing") as progress:
            sound = labels if notes == "error" else mended(labels, notes)
            count, faces = _write(chosen, meshes.each_mesh(sound, progress=progress, **options))
    if chosen.format == "precomputed":
        _write_json(chosen.out / "info", {"@type": "neuroglancer_legacy_mesh"})
    print(f"{count} meshes, {faces} triangles; {chosen.out}")
    return 0


def _write(chosen: argparse.Namespace, found: Any) -> tuple[int, int]:
    """A file for each; how many there are, and their triangles."""
    count, faces, out = 0, 0, chosen.out
    out.mkdir(exist_ok=True)
    for label, mesh in found:
        count, faces = count + 1, faces + len(mesh)
        if chosen.format == "precomputed":
            mesh.save(out / f"{label}.ngmesh")
            _write_json(out / f"{label}:0", {"fragments": [f"{label}.ngmesh"]})
        else:
            mesh.save(out / f"{label}.{chosen.format}")
    return count, faces


def _write_json(path: Path, value: Any) -> None:
    import json

    with _files.beside(path) as part, open(part, "w", encoding="utf-8") as file:
        json.dump(value, file)
