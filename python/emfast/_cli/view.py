"""``emfast view``: volumes in Neuroglancer, served by this machine to itself; or a picture of that."""

from __future__ import annotations

import argparse
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .. import _files
from .options import spacing

__all__ = ["add"]


def add(verbs: Any) -> None:
    """The verb and its options."""
    verb = verbs.add_parser(
        "view",
        help="show volumes in Neuroglancer, or write a picture of that",
        description="Show volumes in Neuroglancer, from this machine alone: nothing is fetched from elsewhere.",
        epilog="Volumes are read as the page asks for them. Four axes are affinities; of others uint8 and floats are "
        "images, other integers labels, unless --image or --labels says so.",
    )
    verb.add_argument("volumes", metavar="VOLUME", nargs="*")
    for kind in ("image", "labels", "affinities"):
        verb.add_argument(f"--{kind}", action="append", default=[], metavar="FILE", help=f"a volume that is {kind}")
    verb.add_argument("--spacing", type=spacing, metavar="Z,Y,X", help="nanometres per voxel (default: the files')")
    verb.add_argument("--port", type=int, default=0, metavar="N", help="of the server (default: any that is free)")
    verb.add_argument("--open", action="store_true", help="open the page in this machine's browser")
    verb.add_argument("--screenshot", type=Path, metavar="FILE.png", help="write a picture instead; needs Chromium")
    verb.add_argument("--size", type=_size, default=(1280, 960), metavar="W,H", help="of it (default: 1280,960)")
    verb.set_defaults(run=run)


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be two integers like 1280,960, got {text!r}") from None
    if not (64 <= width <= 16384 and 64 <= height <= 16384):
        raise argparse.ArgumentTypeError(f"must be from 64 to 16384, got {text!r}")
    return width, height


def run(chosen: argparse.Namespace) -> int:
    from .. import viewing
    from ..volumes import open_volume

    places: list[tuple[str, str | None]] = [(place, None) for place in chosen.volumes]
    places += [(place, kind) for kind in viewing.KINDS for place in getattr(chosen, kind)]
    if not places:
        raise ValueError("VOLUME must be given, at least one file")
    if not 0 <= chosen.port < 65536:
        raise ValueError(f"--port must be from 0 to 65535, got {chosen.port}")
    if chosen.screenshot:
        _check_target(chosen.screenshot, [place for place, _ in places])
        viewing.browser_of()
    with ExitStack() as stack:
        volumes = [stack.enter_context(open_volume(place)) for place, _ in places]
        layers: list[Any] = []
        for (place, kind), volume in zip(places, volumes, strict=True):
            name = _unused(Path(place).name, [layer.name for layer in layers])
            nm = chosen.spacing or volume.spacing or _spacing_beside(volume, volumes)
            layers.append(viewing.Layer(name, volume, kind=kind, spacing=nm))
            if not (chosen.spacing or volume.spacing):
                taken = "1 nm is" if nm is None else f"that of the others, {nm} nm, is"
                print(f"{place} does not say how large its voxels are: {taken} taken; --spacing Z,Y,X says otherwise")
        viewer = viewing.view(layers, port=chosen.port)
        if chosen.screenshot:
            viewing.screenshot(viewer, chosen.screenshot, size=chosen.size)
            print(f"picture: {chosen.screenshot}")
            return 0
        print(f"{viewer}\nCtrl-C ends it.", flush=True)
        if chosen.open:
            import webbrowser

            webbrowser.open(str(viewer))
        threading.Event().wait()
    return 0


def _check_target(path: Path, taken: list[str]) -> None:
    if path.suffix.lower() != ".png" or not path.absolute().parent.is_dir():
        raise ValueError(f"--screenshot must be a file .png in an existing folder, got {str(path)!r}")
    if path.is_dir() or any(_files.holds(place, path) for place in taken):
        raise ValueError(f"--screenshot must be a file of its own, got {str(path)!r}")


def _spacing_beside(volume: Any, others: list[Any]) -> Any:
    """That of the first volume of the same voxels that says it."""
    dims = sum(axis in "zyx" for axis in volume.axes)
    sides = volume.shape[-dims:]
    return next((v.spacing for v in others if v.spacing is not None and v.shape[-dims:] == sides), None)


def _unused(name: str, taken: list[str]) -> str:
    """The name, or one with a number: layers are told apart by theirs."""
    number, found = 2, name
    while found in taken:
        found, number = f"{name} ({number})", number + 1
    return found
