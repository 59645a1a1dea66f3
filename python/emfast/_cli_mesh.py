"""``emfast mesh``: the surfaces of labels, a file for each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from . import _files
from ._cli_options import ids, spacing
from ._progress import Progress

__all__ = ["add"]


def add(verbs: Any) -> None:
    """The verb and its options."""
    verb = verbs.add_parser(
        "mesh",
        help="surfaces of labels as triangles, a file per label",
        description="Surfaces of labels as triangles, in nanometres, a file per label. Needs zmesh.",
        epilog="OUT is a new or empty folder. Its files 7.ply or 7.obj are for MeshLab, Blender and the like; those of "
        "precomputed are for Neuroglancer (precomputed://…/OUT as the mesh of a segmentation).",
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
    from . import meshes
    from .volumes import open_volume

    out: Path = chosen.out
    if not out.absolute().parent.is_dir() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise ValueError(f"OUT must be a new or empty folder in an existing one, got {str(out)!r}")
    options = {name: getattr(chosen, name) for name in ("ids", "simplify", "max_error", "dust")}
    count = faces = 0
    with open_volume(chosen.labels) as labels, Progress("meshing") as progress:
        nm = chosen.spacing or labels.spacing
        if nm is None:
            raise ValueError(f"--spacing must be given: {chosen.labels} does not say how large its voxels are")
        options |= {"spacing": nm, "offset": labels.offset or (0, 0, 0), "closed": not chosen.open}
        found = meshes.each_mesh(labels, progress=progress, **options)
        out.mkdir(exist_ok=True)
        for label, mesh in found:
            count, faces = count + 1, faces + len(mesh)
            if chosen.format == "precomputed":
                mesh.save(out / f"{label}.ngmesh")
                _write_json(out / f"{label}:0", {"fragments": [f"{label}.ngmesh"]})
            else:
                mesh.save(out / f"{label}.{chosen.format}")
    if chosen.format == "precomputed":
        _write_json(out / "info", {"@type": "neuroglancer_legacy_mesh"})
    print(f"{count} meshes, {faces} triangles; {out}")
    return 0


def _write_json(path: Path, value: Any) -> None:
    import json

    with _files.beside(path) as part, open(part, "w", encoding="utf-8") as file:
        json.dump(value, file)
