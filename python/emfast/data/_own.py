"""The user's own data: a description in YAML says which volumes belong together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import _settings
from ..volumes import open_volume
from ..volumes._places import parse
from ._fetching import home
from ._records import nearest
from ._registry import DATASETS
from ._samples import Provenance, Sample

_SPLITS = ("train", "validation", "test", "all")
_COMMENT = "Written by emfast data add; edit it as you like."


@dataclass(frozen=True)
class Named:
    """A volume under a name."""

    name: str
    at: str


@dataclass(frozen=True)
class Described:
    """A sample: places of its volumes, and what their files do not say."""

    name: str
    raw: str | None = None
    labels: tuple[Named, ...] = ()
    mask: tuple[Named, ...] = ()
    spacing: tuple[float, ...] | None = None
    split: str = "all"

    def __post_init__(self) -> None:
        if self.split not in _SPLITS:
            raise ValueError(f"split must be {', '.join(_SPLITS)}, got {self.split!r}")
        if self.raw is None and not self.labels:
            raise ValueError(f"raw or labels must be given for {self.name}")
        names = [n.name for n in self.labels]
        if len(set(names)) < len(names):
            raise ValueError(f"labels must have a name each, got {', '.join(names)}")
        strange = [n.name for n in self.mask if n.name not in names]
        if strange:
            raise ValueError(f"mask must be of labels ({', '.join(names) or 'none'}), got {strange[0]!r}")


@dataclass(frozen=True)
class Own:
    """A dataset of the user's."""

    samples: tuple[Described, ...] = ()
    about: str = ""
    citation: str = ""
    licence: str = ""


def path_of(name: str) -> str:
    """Where the description of a dataset is."""
    good = name and all(c.isalnum() or c in "-_+." for c in name) and name[0] != "."
    if not good:
        raise ValueError(f"name must be letters, digits, - _ + or ., got {name!r}")
    return os.path.join(home(), "own", f"{name}.yaml")


def names() -> list[str]:
    """The user's datasets."""
    folder = os.path.join(home(), "own")
    there = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(n.removesuffix(".yaml") for n in there if n.endswith(".yaml") and not n.startswith("."))


def add(
    name: str,
    raw: Any = None,
    *,
    labels: Mapping[str, Any] | None = None,
    mask: Mapping[str, Any] | None = None,
    spacing: Sequence[float] | None = None,
    split: str = "all",
    sample: str | None = None,
    about: str = "",
    replace_sample: bool = False,
) -> str:
    """Describe own data under a name, so that :func:`open` finds them. Another call adds another sample.

    Parameters
    ----------
    name : str
    raw : path or address, optional
        As :func:`emfast.open_volume` takes it.
    labels, mask : mapping of names to paths, optional
        Masks are of labels and True where these are known.
    spacing : sequence of float, optional
        Nanometres along z, y, x, where the files do not say.
    split : {"train", "validation", "test", "all"}
    sample : str, optional
        Its name (default: a number).
    about : str
    replace_sample : bool, default False
        The sample of that name is another one from now on.

    Returns
    -------
    str
        The description, a YAML file that may be edited.

    Examples
    --------
    >>> import emfast, numpy as np, os, tempfile
    >>> os.environ["EMFAST_DATA"] = folder = tempfile.mkdtemp()
    >>> np.save(folder + "/em.npy", np.zeros((4, 5, 6), np.uint8))
    >>> np.save(folder + "/cells.npy", np.ones((4, 5, 6), np.uint32))
    >>> _ = emfast.data.add("mine", folder + "/em.npy", labels={"cells": folder + "/cells.npy"}, spacing=(30, 8, 8))
    >>> [sample] = emfast.data.open("mine")
    >>> sample.raw.spacing, int(sample.labels["cells"][0, 0, 0])
    ((30.0, 8.0, 8.0), 1)
    """
    path = path_of(name)
    if name in DATASETS:
        raise ValueError(f"name must not be that of a public dataset, got {name!r}")
    own = _settings.read(Own, path) if os.path.exists(path) else Own()
    taken = [s.name for s in own.samples]
    chosen = sample or next(str(k) for k in range(1, len(taken) + 2) if str(k) not in taken)
    new = Described(
        chosen,
        None if raw is None else _absolute(raw),
        tuple(Named(n, _absolute(at)) for n, at in (labels or {}).items()),
        tuple(Named(n, _absolute(at)) for n, at in (mask or {}).items()),
        None if spacing is None else tuple(float(v) for v in spacing),
        split,
    )
    if chosen in taken and not replace_sample:
        raise ValueError(f"sample must be a new name in {name}, got {chosen!r}, which is there")
    _opened(name, new).close()  # what cannot be read is said now
    samples = tuple(s for s in own.samples if s.name != chosen)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    own = replace(own, samples=(*samples, new), about=about or own.about)
    _settings.write(own, path, comment=_COMMENT)
    return path


def _absolute(place: Any) -> str:
    text = os.fspath(place)
    found = str(parse(text))
    scheme = text.partition("://")[0] if "://" in text else ""
    return f"{scheme}://{found}" if scheme and "://" not in found and scheme != "file" else found


def read(name: str) -> Own:
    """The description of a dataset."""
    path = path_of(name)
    if not os.path.exists(path):
        known = [*DATASETS, *names()]
        raise ValueError(f"name must be a dataset of emfast data list, got {name!r}{nearest(name, known)}")
    return _settings.read(Own, path)


def load(name: str) -> list[Sample]:
    """Its samples."""
    return [_opened(name, described) for described in read(name).samples]


def _opened(name: str, described: Described) -> Sample:
    options: dict[str, Any] = {} if described.spacing is None else {"spacing": described.spacing}
    raw = None if described.raw is None else open_volume(described.raw, **options)
    labels = {named.name: open_volume(named.at, **options) for named in described.labels}
    mask = {named.name: open_volume(named.at, **options) for named in described.mask}
    places = [described.raw, *(n.at for n in described.labels), *(n.at for n in described.mask)]
    said = Provenance(name, tuple(p for p in places if p is not None), "the user's own")
    return Sample(described.name, raw, labels, mask, described.split, said)


__all__ = ["Described", "Named", "Own", "add", "load", "names", "path_of", "read"]
