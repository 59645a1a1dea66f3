"""``emfast data``: list public datasets, say what is known of one, fetch and check it; name own data."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .options import spacing

__all__ = ["add"]


def add(verbs: Any) -> None:
    """The verb and what follows it."""
    verb = verbs.add_parser(
        "data",
        help="public datasets: list, info, get, check; and add for your own",
        description="Public datasets of electron microscopy, and your own under a name. Nothing is fetched but by get.",
    )
    words = verb.add_subparsers(dest="word", metavar="list|info|get|check|add", required=True)

    word = words.add_parser("list", help="all that are known, and what is on this machine")
    word.set_defaults(run=_list)

    word = words.add_parser("info", help="licence, citation, voxels, splits, protocol and traps of one")
    word.add_argument("name")
    word.set_defaults(run=_info)

    word = words.add_parser(
        "get", help="fetch one; what broke off goes on", description="Fetch a dataset. Call it again to go on."
    )
    word.add_argument("name")
    word.add_argument("--to", metavar="DIR", help="its folder (default: by its name in $EMFAST_DATA)")
    word.add_argument("--only", action="append", default=[], metavar="PART", help="a part of it, as info names them")
    word.add_argument("--drop-archives", action="store_true", help="remove archives once they are unpacked")
    word.set_defaults(run=_get)

    word = words.add_parser("check", help="whether its files are as they were fetched")
    word.add_argument("name")
    word.add_argument("--to", metavar="DIR", help="its folder (default: by its name in $EMFAST_DATA)")
    word.set_defaults(run=_check)

    word = words.add_parser("add", help="own data under a name: an image, its labels and masks")
    word.add_argument("name")
    word.add_argument("--raw", metavar="PLACE", help="the image, as emfast.open_volume takes it")
    for kind in ("labels", "mask"):
        word.add_argument(f"--{kind}", action="append", default=[], metavar="[NAME=]PLACE")
    word.add_argument("--spacing", type=spacing, metavar="Z,Y,X", help="nanometres per voxel, if the files do not say")
    word.add_argument("--split", default="all", help="train, validation, test or all (default: all)")
    word.add_argument("--sample", metavar="NAME", help="of this image; further ones are added by further calls")
    word.add_argument("--replace", action="store_true", help="the sample of that name is another one from now on")
    word.add_argument("--about", default="", metavar="TEXT")
    word.set_defaults(run=_add)


def _list(_: argparse.Namespace) -> int:
    from ..data import _own
    from ..data._fetching import place_of, read_record
    from ..data._registry import DATASETS

    rows = [("name", "what", "voxel nm (z, y, x)", "here")]
    for d in DATASETS.values():
        folder = place_of(d.name)
        here = "yes" if os.path.isdir(folder) and read_record(folder) else "folder" if os.path.isdir(folder) else ""
        rows.append((d.name, d.title, voxels(d.spacing), here))
    rows += [(name, _own.read(name).about or "your own", "", "yes") for name in _own.names()]
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _info(chosen: argparse.Namespace) -> int:
    import textwrap

    from ..data import _own
    from ..data._fetching import info, place_of
    from ..data._registry import DATASETS

    if chosen.name not in DATASETS and chosen.name in _own.names():
        print(f"{chosen.name}: your own, in {_own.path_of(chosen.name)}")
        for sample in _own.load(chosen.name):
            print(f"  {sample!r}")
        return 0
    d = info(chosen.name)
    fetched = [f"{f.path}{f' ({f.part})' if f.part else ''}{', optional' if f.optional else ''}" for f in d.files]
    rows = [
        ("", f"{d.title}. {d.about}"),
        ("licence", d.licence),
        ("cite", d.citation),
        ("modality", f"{d.modality}; {d.organism}"),
        ("voxel nm", voxels(d.spacing)),
        ("shape", d.shape),
        ("labels", ", ".join(d.labels) or "none"),
        ("splits", d.splits),
        ("evaluation", d.evaluation),
        ("protocol", ", ".join(d.protocols) or "none"),
        ("home", d.home or "none known"),
        ("files", "; ".join(fetched) or "none that emfast can fetch"),
        ("by hand", d.by_hand),
        ("folder", place_of(d.name)),
        *(("mind", trap) for trap in d.traps),
        *(("unverified", words) for words in d.unverified),
    ]
    for name, text in rows:
        if text:
            print(textwrap.fill(text, 110, initial_indent=f"{name:<12}", subsequent_indent=" " * 12))
    return 0


def voxels(spacing: tuple[float, ...] | None) -> str:
    """A spacing in words."""
    return "differ" if spacing is None else " x ".join(f"{v:g}" for v in spacing)


def _get(chosen: argparse.Namespace) -> int:
    from ..data import _fetching
    from ..data._download import Settings

    d = _fetching.info(chosen.name)
    folder = _fetching.place_of(chosen.name, chosen.to)
    print(f"{d.title}\nlicence: {d.licence}\ncite: {d.citation}", flush=True)
    files = _fetching.chosen(d, chosen.only)
    if files:
        print(f"{len(files)} {'file' if len(files) == 1 else 'files'} to {folder}", flush=True)
    with _Lines() as lines:
        _fetching.get(
            d.name,
            folder,
            only=chosen.only,
            keep_archives=not chosen.drop_archives,
            progress=lines,
            settings=Settings(),
        )
    print(f"all there; emfast.data.open({d.name!r}{'' if chosen.to is None else f', {folder!r}'})")
    return 0


def _check(chosen: argparse.Namespace) -> int:
    from ..data import _fetching, _own

    if chosen.name in _own.names():
        for sample in _own.load(chosen.name):
            print(f"sound     {sample!r}")
        return 0
    with _Lines() as lines:
        states = _fetching.check(chosen.name, chosen.to, progress=lines)
    if not states:  # brought by hand: nothing is known but whether it can be read
        from ..data import open as open_dataset

        found = open_dataset(chosen.name, _fetching.place_of(chosen.name, chosen.to))
        print(f"{len(found)} {'sample' if len(found) == 1 else 'samples'} can be opened; no checksums are known")
        return 0
    bad = {path: state for path, state in states.items() if state != "sound"}
    for path, state in bad.items():
        print(f"{state:<10}{path}")
    print(f"{len(states) - len(bad)} of {len(states)} files are sound")
    return 1 if bad else 0


def _add(chosen: argparse.Namespace) -> int:
    from ..data import _own

    path = _own.add(
        chosen.name,
        chosen.raw,
        labels=_named(chosen.labels, "labels"),
        mask=_named(chosen.mask, "labels"),
        spacing=chosen.spacing,
        split=chosen.split,
        sample=chosen.sample,
        about=chosen.about,
        replace_sample=chosen.replace,
    )
    print(f"{path}\nemfast.data.open({chosen.name!r}) reads it")
    return 0


def _named(options: list[str], default: str) -> dict[str, str]:
    """``name=place``, or a place alone."""
    found: dict[str, str] = {}
    for option in options:
        name, sign, place = option.partition("=")
        if not sign or "/" in name or ":" in name:
            name, place = default, option
        if name in found:
            raise ValueError(f"--labels and --mask must have a name each, NAME=PLACE, got {name!r} twice")
        found[name] = place
    return found


class _Lines:
    """A bar for each file in its turn."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.bar is not None:
            self.bar.__exit__()

    def __call__(self, name: str, done: int, total: int) -> None:
        from .._progress import Progress

        if self.bar is None or self.bar.words != name:
            if self.bar is not None:
                self.bar.__exit__()
            self.bar = Progress(name)
        self.bar(done, total)
