"""What is known of a dataset. Where nobody could say, the text is ``NOT_VERIFIED``: nothing here is guessed."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass

NOT_VERIFIED = "not verified"


@dataclass(frozen=True)
class File:
    """A file to fetch.

    Attributes
    ----------
    path : str
        Where it goes, below the folder of the dataset.
    urls : tuple of str
        Mirrors, in the order of asking.
    sha256 : str or None
        Its checksum; None where none is published: that of the first download is recorded then.
    size : int or None
        Bytes.
    part : str
        The part of the dataset it belongs to.
    optional : bool
        Only fetched when its part is asked for.
    unpack : bool
        An archive, whose members go to the folder of ``path``.
    pinned : bool
        The host's certificate is known to have expired. It is not asked for; the checksum, which must be given, is
        what counts.
    """

    path: str
    urls: tuple[str, ...]
    sha256: str | None = None
    size: int | None = None
    part: str = ""
    optional: bool = False
    unpack: bool = False
    pinned: bool = False

    def __post_init__(self) -> None:
        if os.path.isabs(self.path) or ".." in self.path.split("/") or not self.path:
            raise ValueError(f"path must lie below the folder of the dataset, got {self.path!r}")
        if not self.urls or not all(url.startswith(("http://", "https://")) for url in self.urls):
            raise ValueError(f"urls must be http or https addresses, got {self.urls!r}")
        if self.sha256 is not None and (len(self.sha256) != 64 or set(self.sha256) - set("0123456789abcdef")):
            raise ValueError(f"sha256 must be 64 hexadecimal digits in small letters, got {self.sha256!r}")
        if self.pinned and self.sha256 is None:
            raise ValueError(f"sha256 must be given where the certificate is not asked for, as of {self.path}")


@dataclass(frozen=True)
class Dataset:
    """A public dataset.

    Attributes
    ----------
    name, title : str
    row : int or None
        That of the survey's table of datasets; None of those that are useful besides.
    about : str
        What it shows.
    citation, licence : str
        What to cite, and what is allowed.
    modality, organism : str
    spacing : tuple of float or None
        Nanometres along z, y, x, as the files are distributed; None where they differ among them or nobody could say.
    shape : str
        In words: sizes along z, y, x.
    labels : tuple of str
        The names under which samples have them.
    splits : str
        Which part is for what.
    cut : int or None
        The section at which training volumes are commonly cut in two, for training and validation: ``Sample.cut``.
    protocols : tuple of str
        Of ``emfast.metrics.PROTOCOLS``, the official one first; where there is none, one that measures the same.
    evaluation : str
        How results are measured.
    home : str
        Its page, or nothing.
    files : tuple of File
        What ``get`` fetches.
    by_hand : str
        How to get what cannot be fetched so.
    traps : tuple of str
        What readers of the files have stumbled over.
    unverified : tuple of str
        What is said here from hearsay.
    """

    name: str
    title: str
    row: int | None
    about: str
    citation: str
    licence: str
    modality: str
    organism: str
    spacing: tuple[float, float, float] | None
    shape: str
    labels: tuple[str, ...]
    splits: str
    evaluation: str
    cut: int | None = None
    protocols: tuple[str, ...] = ()
    home: str = ""
    files: tuple[File, ...] = ()
    by_hand: str = ""
    traps: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of its parts, in their order."""
        return tuple(dict.fromkeys(file.part for file in self.files if file.part))


def nearest(name: str, names: list[str]) -> str:
    """A remark on which of the names may have been meant."""
    found = difflib.get_close_matches(name, names, 1, 0.4)
    return f"; did you mean {found[0]}?" if found else ""


__all__ = ["NOT_VERIFIED", "Dataset", "File", "nearest"]
