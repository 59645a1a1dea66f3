"""Files over HTTP that survive what networks do: what is there already is kept, and the next call goes on from it.

A file grows under ``.part`` beside its place; ``.part.json`` says where it comes from. It takes its name when length
and checksum are right. Addresses are tried in turn; of each, broken connections are taken up again with a Range
request, and a server that does not know these begins anew.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from .._files import beside
from ..errors import CorruptData
from ._records import File

Told = Callable[[int, int], None]
_PIECE = 1 << 18
_TRIES = 5  # of one address without a byte of progress between them
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class _Unusable(Exception):
    """This address does not give the file."""


class _Broken(Exception):
    """The connection ended early; what came is kept."""


@dataclass
class Settings:
    """How patient to be. ``pause`` gives the seconds before a further try."""

    timeout: float = 60.0
    tries: int = _TRIES
    pause: Callable[[int], float] = lambda k: min(30.0, 0.5 * 2**k)
    told: Told | None = None


def fetch(file: File, path: str, settings: Settings | None = None) -> str:
    """Bring a file to its path.

    Parameters
    ----------
    file : File
        Its addresses, and its checksum and length where they are known.
    path : str
        Where it goes; there must be no such file yet.
    settings : Settings, optional

    Returns
    -------
    str
        The SHA-256 of what was fetched.
    """
    settings = settings or Settings()
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    reasons = []
    with _alone(path) as part:
        for url in file.urls:
            try:
                digest = _from(url, file, path, part, settings)
            except _Unusable as error:
                reasons.append(f"{url}: {error}")
                continue
            os.replace(f"{path}.part", path)
            _forget(path)
            return digest
    raise OSError(f"{path} could not be fetched:\n  " + "\n  ".join(reasons))


@contextmanager
def _alone(path: str) -> Iterator[BinaryIO]:
    """The unfinished file, which one process at a time may have."""
    with _open_part(f"{path}.part") as part:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(f"{path} is being fetched by another process") from None
        yield part
    if os.path.exists(f"{path}.part") and not os.path.getsize(f"{path}.part"):
        os.unlink(f"{path}.part")


def _open_part(path: str) -> BinaryIO:
    return open(path, "a+b")


def _from(url: str, file: File, path: str, part: BinaryIO, settings: Settings) -> str:
    """The checksum of the file, which is all in ``part`` then."""
    again = True
    while True:
        _fill(url, file, path, part, settings)
        digest = _digest(part)
        if file.sha256 in (None, digest):
            return digest
        resumed = again and _was_resumed(path)
        _drop(path, part)
        if not resumed:
            raise _Unusable(f"its SHA-256 is {digest}, not {file.sha256}")
        again = False  # two halves of different files, perhaps: once from the start


def _fill(url: str, file: File, path: str, part: BinaryIO, settings: Settings) -> None:
    failures = 0
    while True:
        before = _length(part)
        try:
            _transfer(url, file, path, part, settings)
            return
        except _Broken as error:
            failures = 1 if _length(part) > before else failures + 1
            if failures >= settings.tries:
                raise _Unusable(f"{error}, {failures} times; the next call goes on from what is there") from None
            time.sleep(settings.pause(failures))


def _transfer(url: str, file: File, path: str, part: BinaryIO, settings: Settings) -> None:
    """One request: what is missing, or all."""
    start = _resumable(url, file, path, part)
    headers = {"User-Agent": "emfast", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if mark := _said(path).get("mark"):
            headers["If-Range"] = mark
    try:
        answer = _opener(file).open(urllib.request.Request(url, headers=headers), timeout=settings.timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and start:
                if _total(error.headers.get("Content-Range")) == start and file.size in (None, start):
                    return
                _drop(path, part)
                raise _Broken("it is shorter than what is there") from None
            if error.code in _AGAIN:
                raise _Broken(f"HTTP {error.code} {error.reason}") from None
            raise _Unusable(f"HTTP {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise (_Unusable if isinstance(error.reason, ssl.SSLError) else _Broken)(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_words(error)) from None
    with answer:
        _take(answer, url, file, path, part, start, settings)


def _take(answer: Any, url: str, file: File, path: str, part: BinaryIO, start: int, settings: Settings) -> None:
    """What a server sends, into the unfinished file."""
    length = answer.headers.get("Content-Length")
    rest = int(length) if length is not None and length.isdigit() else None
    if answer.status == 206:
        first = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if first is None or int(first[1]) != start:
            _drop(path, part)
            raise _Broken("it sent another piece than was asked for")
        total = _total(answer.headers["Content-Range"]) or (None if rest is None else start + rest)
    elif answer.status == 200:
        if answer.headers.get_content_type() == "text/html" and not path.endswith((".html", ".htm")):
            raise _Unusable("it sent a page, not the file: fetch it with a browser")
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _Unusable(f"it packs the file as {answer.headers['Content-Encoding']}, which was not asked for")
        if start:  # no Range here, or the file has changed
            _drop(path, part)
            start = 0
        total = rest
    else:
        raise _Unusable(f"HTTP {answer.status}")
    if file.size is not None and total not in (None, file.size):
        raise _Unusable(f"it has {total} bytes, not {file.size}")
    _note(url, path, answer.headers, resumed=bool(start) or _was_resumed(path))
    _check_space(path, None if total is None else total - start)
    done = start
    while True:
        try:
            piece = answer.read(_PIECE)
        except (OSError, http.client.HTTPException) as error:
            kept = getattr(error, "partial", b"")
            _write(part, path, kept)
            raise _Broken(_words(error)) from None
        if not piece:
            break
        _write(part, path, piece)
        done += len(piece)
        if settings.told is not None and total:
            settings.told(done, total)
    if total is not None and done < total:
        raise _Broken(f"the connection ended after {done} of {total} bytes")
    if file.size is not None and done != file.size:
        _drop(path, part)
        raise _Unusable(f"it has {done} bytes, not {file.size}")


def _write(part: BinaryIO, path: str, piece: bytes) -> None:
    try:
        part.write(piece)
        part.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            words = f"the disk of {path} is full; the next call goes on from what is there"
            raise OSError(error.errno, words) from error
        raise


def _check_space(path: str, rest: int | None) -> None:
    free = shutil.disk_usage(os.path.dirname(path) or ".").free
    if rest is not None and rest > free:
        raise OSError(errno.ENOSPC, f"{path} needs {rest} bytes more, the disk has {free}")


def _resumable(url: str, file: File, path: str, part: BinaryIO) -> int:
    """How much of what is there can be built upon: of the same address if the server marks its files, of any if the
    checksum is known, for that tells in the end."""
    said = _said(path)
    same = said.get("url") == url and bool(said.get("mark"))
    length = _length(part)
    if (length and not (same or file.sha256)) or (file.size is not None and length > file.size):
        _drop(path, part)
        length = 0
    if length and not same:
        _keep(path, {**said, "mark": ""})  # of another server: If-Range would not fit
    return length


def _opener(file: File) -> urllib.request.OpenerDirector:
    """http and https alone, proxies as the environment says."""
    context = _context(file.pinned)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPRedirectHandler(),
    ):
        opener.add_handler(handler)
    return opener


@functools.cache
def _context(pinned: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if pinned:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _total(said: str | None) -> int | None:
    found = re.search(r"/(\d+)\s*$", said or "")
    return int(found[1]) if found else None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _length(part: BinaryIO) -> int:
    return os.fstat(part.fileno()).st_size


def _digest(part: BinaryIO) -> str:
    part.seek(0)
    found = hashlib.sha256()
    while piece := part.read(1 << 20):
        found.update(piece)
    return found.hexdigest()


def _note(url: str, path: str, headers: Any, resumed: bool) -> None:
    mark = headers.get("ETag") or headers.get("Last-Modified") or ""
    _keep(path, {"url": url, "mark": "" if mark.startswith("W/") else mark, "resumed": resumed})


def _keep(path: str, said: dict[str, Any]) -> None:
    with beside(f"{path}.part.json") as new, open(new, "w", encoding="utf-8") as file:
        json.dump(said, file)


def _said(path: str) -> dict[str, Any]:
    try:
        with open(f"{path}.part.json", encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _was_resumed(path: str) -> bool:
    return bool(_said(path).get("resumed"))


def _forget(path: str) -> None:
    if os.path.exists(f"{path}.part.json"):
        os.unlink(f"{path}.part.json")


def _drop(path: str, part: BinaryIO) -> None:
    """Begin anew."""
    part.truncate(0)
    _forget(path)


def check_sum(path: str, wanted: str) -> None:
    """A file must have the checksum that is known of it."""
    with open(path, "rb") as file:
        found = _digest(file)
    if found != wanted:
        raise CorruptData(f"{path} must have the SHA-256 {wanted}, got {found}: remove it and get it again")


__all__ = ["Settings", "check_sum", "fetch"]
