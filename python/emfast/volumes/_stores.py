"""Files by key below a folder or an address: read whole or in part, written whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import CorruptData
from ._places import is_remote
from ._source import library

_WAITS = (0.1, 0.4, 1.6)  # seconds before a store is asked again


class Handle(Protocol):
    """One file: the same all along, even if another takes its name."""

    name: str
    size: int

    def read(self, start: int, length: int) -> bytes: ...


class Store(Protocol):
    root: str

    def open(self, key: str) -> Handle | None: ...
    def put(self, key: str, data: bytes | list[bytes]) -> None: ...
    def below(self, key: str) -> list[str]: ...


def open_store(root: str) -> Store:
    return Remote(root) if is_remote(root) else Local(root)


def read_all(store: Store, key: str) -> bytes | None:
    """The content of a file, or None where there is none."""
    handle = store.open(key)
    return None if handle is None else handle.read(0, handle.size)


class Local:
    def __init__(self, root: str) -> None:
        self.root = root

    def open(self, key: str) -> Handle | None:
        path = os.path.join(self.root, key) if key else self.root
        try:
            return LocalFile(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, key: str, data: bytes | list[bytes]) -> None:
        """Data first, then the name: a reader sees the old file or the new one, a crash leaves one of them."""
        path = os.path.join(self.root, key)
        folder, name = os.path.split(path)
        part = os.path.join(folder, f".{name}.{os.getpid()}-{threading.get_ident()}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        try:
            try:
                fd = os.open(part, flags, 0o666)
            except FileNotFoundError:
                os.makedirs(folder, exist_ok=True)
                fd = os.open(part, flags, 0o666)
            try:
                for piece in [data] if isinstance(data, bytes) else data:
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(fd, view) :]
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(part, path)
        except BaseException:
            if os.path.exists(part):
                os.unlink(part)
            raise

    def below(self, key: str) -> list[str]:
        try:
            with os.scandir(os.path.join(self.root, key)) as found:
                return sorted(entry.name for entry in found if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []


class LocalFile:
    """Closed when nobody holds it."""

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.name = path
        self.fd = os.open(path, os.O_RDONLY)
        found = os.fstat(self.fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotADirectoryError(path)
        self.size = found.st_size

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def read(self, start: int, length: int) -> bytes:
        _check_range(start, length, self.size, self.name)
        data = os.pread(self.fd, length, start) if length else b""
        while 0 < len(data) < length:  # one call gives no more than 2 GiB
            more = os.pread(self.fd, length - len(data), start + len(data))
            if not more:
                break
            data += more
        return _complete(data, length, self.name)


class Reader(io.RawIOBase):
    """A local file for libraries that read one. It gives no more than there is, whatever a header asks for: Python's
    own files make room first. It may be left to the garbage collector, as arrays may."""

    def __init__(self, path: str) -> None:
        self.handle, self.at = LocalFile(path), 0
        self.name = path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self.handle.size - self.at)
        data = self.handle.read(min(self.at, self.handle.size), left if size is None or size < 0 else min(size, left))
        self.at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.handle.size}[whence]
        if self.at < 0:
            raise ValueError(f"it is damaged: it points to byte {self.at}")
        return self.at


class Remote:
    """Through fsspec: http, https, s3, gs and what else it knows."""

    def __init__(self, root: str) -> None:
        fsspec = library("fsspec", root, "remote")
        try:
            self.files, path = fsspec.core.url_to_fs(root)
        except (ImportError, ValueError) as error:
            raise ModuleNotFoundError(f"{root} cannot be opened ({error}): pip install 'emfast[remote]'") from None
        self.root, self.path = root, path.rstrip("/")

    def open(self, key: str) -> Handle | None:
        path = f"{self.path}/{key}" if key else self.path
        name = f"{self.root}/{key}" if key else self.root
        found = _tried(lambda: self.files.info(path), name)
        if found is None:
            return None
        if found.get("type", "file") != "file":
            return None
        return _RemoteFile(self.files, path, name, found.get("size"))

    def put(self, key: str, data: bytes | list[bytes]) -> None:
        whole = data if isinstance(data, bytes) else b"".join(data)
        path = f"{self.path}/{key}"
        self.files.makedirs(path.rpartition("/")[0], exist_ok=True)
        _tried(lambda: self.files.pipe_file(path, whole), f"{self.root}/{key}")

    def below(self, key: str) -> list[str]:
        try:
            found = self.files.ls(f"{self.path}/{key}".rstrip("/"), detail=True)
        except (FileNotFoundError, NotImplementedError):
            return []
        return sorted(f["name"].rstrip("/").rpartition("/")[2] for f in found if f["type"] == "directory")


class _RemoteFile:
    def __init__(self, files: Any, path: str, name: str, size: int | None) -> None:
        self.files, self.path, self.name = files, path, name
        self.whole: bytes | None = _tried(lambda: files.cat_file(path), name) if size is None else None
        self.size: int = (size or 0) if self.whole is None else len(self.whole)

    def read(self, start: int, length: int) -> bytes:
        _check_range(start, length, self.size, self.name)
        if self.whole is not None:
            return _complete(self.whole[start : start + length], length, self.name)
        if not length:
            return b""
        partial = (start, length) != (0, self.size)
        limits = {"start": start, "end": start + length} if partial else {}
        data: bytes | None = _tried(lambda: self.files.cat_file(self.path, **limits), self.name)
        if data is None:
            raise CorruptData(f"{self.name} is not there any more")
        if len(data) == self.size != length:  # a server that knows no ranges gives all
            data = data[start : start + length]
        return _complete(data, length, self.name)


def _tried(call: Callable[[], Any], name: str) -> Any:
    """What a store answers, or None where it has no such file. What fails is asked again, a few times.

    fsspec says "not found" of every failure over http, and what it was by its cause alone: a server that is busy must
    not make a chunk empty.
    """
    for wait in (*_WAITS, None):
        try:
            return call()
        except FileNotFoundError as error:
            cause = error.__cause__
            if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in (404, 410):
                return None
            found: BaseException = cause
        except (PermissionError, NotImplementedError, MemoryError):
            raise
        except Exception as error:  # each store has its own
            found = error
        if wait is None:
            raise ConnectionError(f"{name} could not be reached ({found or type(found).__name__})") from found
        time.sleep(wait)
    raise AssertionError("not reached")


def _check_range(start: int, length: int, size: int, name: str) -> None:
    """Before anything is allocated: what a header says may be anything."""
    if start < 0 or length < 0 or start + length > size:
        raise CorruptData(f"{name} is cut short: bytes {start} to {start + length} were wanted, it has {size}")


def _complete(data: bytes, length: int, name: str) -> bytes:
    if len(data) != length:
        raise CorruptData(f"{name} is cut short: {length} bytes were wanted, {len(data)} are there")
    return data


__all__ = ["Handle", "Local", "LocalFile", "Reader", "Remote", "Store", "open_store", "read_all"]
