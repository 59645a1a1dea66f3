"""Datasets on this machine: where they are, fetching them, and whether they are still what was fetched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from .._files import beside, checksum
from ..errors import CorruptData
from . import _download
from ._records import Dataset, File, nearest
from ._registry import DATASETS
from ._unpack import unpack

Told = Callable[[str, int, int], None]
RECORD = "emfast-data.json"  # what was fetched, in the folder of a dataset


def home() -> str:
    """The folder of all datasets: ``EMFAST_DATA``, else ``emfast`` in the user's folder of data."""
    said = os.environ.get("EMFAST_DATA")
    if said:
        return os.path.abspath(os.path.expanduser(said))
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(base, "emfast")


def info(name: str) -> Dataset:
    """What is known of a public dataset.

    Parameters
    ----------
    name : str
        As ``emfast data list`` has it.

    Returns
    -------
    Dataset

    Examples
    --------
    >>> import emfast
    >>> emfast.data.info("cremi").spacing
    (40, 4, 4)
    """
    if name not in DATASETS:
        known = ", ".join(DATASETS)
        raise ValueError(f"name must be one of {known}, got {name!r}{nearest(str(name), list(DATASETS))}")
    return DATASETS[name]


def place_of(name: str, to: str | os.PathLike[str] | None = None) -> str:
    """The folder of a dataset."""
    return os.path.join(home(), name) if to is None else os.path.abspath(os.path.expanduser(os.fspath(to)))


def get(
    name: str,
    to: str | os.PathLike[str] | None = None,
    *,
    only: Sequence[str] = (),
    keep_archives: bool = True,
    progress: Told | None = None,
    settings: _download.Settings | None = None,
) -> str:
    """Fetch a dataset; what is there already is not fetched again, and what broke off goes on.

    Read its licence and cite it: :func:`info` has both, and ``emfast data get`` prints them.

    Parameters
    ----------
    name : str
    to : path, optional
        The folder it goes to (default: one of its name in :func:`home`).
    only : sequence of str
        Parts of it, as its files name them (default: all that are not optional).
    keep_archives : bool, default True
        Archives stay beside what came out of them; else they are removed.
    progress : function of (file, done, total), optional
    settings : Settings, optional
        How patient to be with the network.

    Returns
    -------
    str
        The folder.
    """
    return _get(info(name), place_of(name, to), only, keep_archives, progress, settings)


def _get(
    dataset: Dataset,
    folder: str,
    only: Sequence[str] = (),
    keep_archives: bool = True,
    progress: Told | None = None,
    settings: _download.Settings | None = None,
) -> str:
    files = chosen(dataset, only)
    if not files:
        raise ValueError(f"{dataset.name} must be fetched by hand, to {folder}. {dataset.by_hand}")
    os.makedirs(folder, exist_ok=True)
    for file in files:
        _get_file(dataset, file, folder, keep_archives, progress, settings or _download.Settings())
    return folder


def chosen(dataset: Dataset, only: Sequence[str] = ()) -> list[File]:
    """The files of some parts."""
    for part in only:
        if part not in dataset.parts:
            known = ", ".join(dataset.parts) or "no parts"
            raise ValueError(f"only must be of {known}, got {part!r}")
    return [f for f in dataset.files if (f.part in only if only else not f.optional)]


def _get_file(
    dataset: Dataset,
    file: File,
    folder: str,
    keep_archives: bool,
    progress: Told | None,
    settings: _download.Settings,
) -> None:
    record = read_record(folder)
    said = record.get(file.path, {})
    path = os.path.join(folder, file.path)
    finished = all(os.path.exists(os.path.join(folder, name)) for name in said.get("members", ()))
    if said and finished and (os.path.exists(path) or said.get("members")) and ("members" in said or not file.unpack):
        return
    if not os.path.exists(path):
        told = None if progress is None else lambda done, total: progress(file.path, done, total)
        known = said.get("sha256") if file.sha256 is None else file.sha256  # the same file as the first time
        wanted = File(file.path, file.urls, known, file.size, pinned=file.pinned and bool(known))
        digest = _download.fetch(wanted, path, _told(settings, told))
    else:
        digest = checksum(path)
        if file.sha256 not in (None, digest):
            _download.check_sum(path, str(file.sha256))
    said = {"sha256": digest, "size": os.path.getsize(path)}
    _write_record(dataset, folder, {**record, file.path: said})
    if file.unpack:
        told = None if progress is None else lambda done, total: progress(f"{file.path} unpacked", done, total)
        below = os.path.dirname(file.path)
        said["members"] = {os.path.join(below, name): sha for name, sha in unpack(path, told).items()}
        _write_record(dataset, folder, {**record, file.path: said})
        if not keep_archives:
            os.unlink(path)


def _told(settings: _download.Settings, told: Callable[[int, int], None] | None) -> _download.Settings:
    return _download.Settings(settings.timeout, settings.tries, settings.pause, told or settings.told)


def check(name: str, to: str | os.PathLike[str] | None = None, *, progress: Told | None = None) -> dict[str, str]:
    """Whether the files of a dataset are those that were fetched, byte for byte.

    Parameters
    ----------
    name : str
    to : path, optional
        The folder (default: where ``get`` puts it).
    progress : function of (file, done, total), optional

    Returns
    -------
    dict of str to str
        For each file ``"sound"``, ``"damaged"``, ``"missing"`` or ``"unfinished"``.
    """
    return _check(info(name), place_of(name, to), progress)


def _check(dataset: Dataset, folder: str, progress: Told | None = None) -> dict[str, str]:
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"no such folder: {folder}; emfast data get {dataset.name}")
    record = read_record(folder)
    known = {file.path: file.sha256 for file in dataset.files}
    wanted: dict[str, str | None] = {}
    for path, said in record.items():
        dropped = "members" in said and not os.path.exists(os.path.join(folder, path))  # an archive that went
        if not dropped:
            wanted[path] = known.get(path) or said.get("sha256")
        wanted.update(said.get("members", {}))
    for file in chosen(dataset):
        if file.path not in record:
            wanted[file.path] = file.sha256
    states: dict[str, str] = {}
    for k, (path, sha256) in enumerate(wanted.items()):
        states[path] = _state(os.path.join(folder, path), sha256)
        if progress is not None:
            progress(path, k + 1, len(wanted))
    return states


def _state(path: str, sha256: str | None) -> str:
    if not os.path.exists(path):
        return "unfinished" if os.path.exists(f"{path}.part") else "missing"
    return "sound" if sha256 in (None, checksum(path)) else "damaged"


def read_record(folder: str) -> dict[str, Any]:
    """What was fetched into a folder: checksum, size and members of each file."""
    path = os.path.join(folder, RECORD)
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)["files"]
        if not isinstance(found, dict) or not all(isinstance(said, dict) for said in found.values()):
            raise TypeError("files must be a table")
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData(f"{path} must be a record of emfast data get ({error}): remove it and get the data") from None
    return found


def _write_record(dataset: Dataset, folder: str, files: dict[str, Any]) -> None:
    with beside(os.path.join(folder, RECORD)) as part, open(part, "w", encoding="utf-8") as file:
        json.dump({"dataset": dataset.name, "files": files}, file, indent=1)


__all__ = ["RECORD", "check", "chosen", "get", "home", "info", "place_of", "read_record"]
