"""Archives, unpacked beside themselves: plain files below the folder, whole or not at all, and nothing else."""

from __future__ import annotations

import errno
import gzip
import hashlib
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_DAMAGE = (  # RuntimeError: encrypted, or packed in a way that Python does not know
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError),
    *(RuntimeError, UnicodeError),
)
_MOST = 1 << 20  # members
_MOST_RATIO = 1100  # deflate packs no tighter


def unpack(path: str, told: Callable[[int, int], None] | None = None, *, folder: str | None = None) -> dict[str, str]:
    """Unpack a .zip, a .tar of any kind or a .gz.

    Parameters
    ----------
    path : str
    told : function of (done, total), optional
    folder : str, optional
        Where to (default: where the archive is).

    Returns
    -------
    dict of str to str
        The SHA-256 of each file that came out, by its name below the folder.
    """
    folder = folder or os.path.dirname(path) or "."
    os.makedirs(folder, exist_ok=True)
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".emfast-") as beside_it, _telling(path):
        for name, stream in _members(path, told):
            target = _below(beside_it, name, path)
            name = os.path.relpath(target, beside_it)
            if name in found:
                raise ValueError(f"{path} holds {name!r} twice")
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "xb") as file:
                found[name] = _copy(stream, file)
        if not found:
            raise ValueError(f"{path} holds no files")
        for name in sorted(found):
            target = os.path.join(folder, name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.replace(os.path.join(beside_it, name), target)
    return found


@contextmanager
def _telling(path: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    except OSError as error:
        if error.errno in (None, errno.EINVAL):  # of bz2, and of places beyond a file; others are the disk's
            raise _damaged(path, error) from None
        raise


def _damaged(path: str, error: Exception) -> ValueError:
    return ValueError(f"{path} must be an archive of its kind, got another file or a damaged one ({error})")


def _members(path: str, told: Callable[[int, int], None] | None) -> Iterator[tuple[str, IO[bytes]]]:
    if not os.path.getsize(path):
        raise EOFError("it is empty")
    lower = path.lower()
    if lower.endswith(".zip"):
        yield from _of_zip(path, told)
    elif lower.endswith(_TARS):
        yield from _of_tar(path)
    elif lower.endswith(".gz"):
        with gzip.open(path, "rb") as stream:
            yield os.path.basename(path)[:-3], stream  # type: ignore[misc]
    else:
        raise ValueError(f"{path} must end in .zip, .gz, {', '.join(_TARS)} to be unpacked")


def _of_zip(path: str, told: Callable[[int, int], None] | None) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        total = sum(info.file_size for info in infos)
        _check_size(path, len(infos), total)
        done = 0
        for info in infos:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise ValueError(f"{path} must hold plain files, got {info.filename!r}, a link or the like")
            with archive.open(info) as stream:
                yield info.filename, stream
            done += info.file_size
            if told is not None and total:
                told(done, total)


def _of_tar(path: str) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(path) as archive:
        for count, member in enumerate(archive):
            if count >= _MOST:
                raise ValueError(f"{path} must hold no more than {_MOST} files")
            if member.isdir():
                continue
            stream: Any = archive.extractfile(member) if member.isreg() else None
            if stream is None:
                raise ValueError(f"{path} must hold plain files, got {member.name!r}, a link or the like")
            with stream:
                yield member.name, stream


def _check_size(path: str, count: int, total: int) -> None:
    """Before a byte is written: headers that promise more than any packing can hold."""
    size = os.path.getsize(path)
    if count > _MOST or total > size * _MOST_RATIO:
        raise ValueError(f"{path} of {size} bytes cannot hold {count} files of {total} bytes")
    free = shutil.disk_usage(os.path.dirname(path) or ".").free
    if total > free:
        raise OSError(errno.ENOSPC, f"{path} unpacks to {total} bytes, the disk has {free}")


def _below(folder: str, name: str, path: str) -> str:
    """Where a member goes, which must be below the folder."""
    parts = name.split("/")
    bad = not name or "\\" in name or "\0" in name or os.path.isabs(name) or ".." in parts or ":" in parts[0]
    if bad or parts[-1] in ("", "."):
        raise ValueError(f"{path} must hold files below its folder, got {name!r}")
    return os.path.join(folder, *(part for part in parts if part not in ("", ".")))


def _copy(stream: IO[bytes], file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := stream.read(1 << 20):
        digest.update(piece)
        file.write(piece)
    return digest.hexdigest()


__all__ = ["unpack"]
