"""Locks on files, of this run alone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from .errors import InUse


def lock(file: int, name: str | None) -> None:
    """Until the file is closed. Without a name, wait for another's end; else say that what has it is in use."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if name is None else fcntl.LOCK_NB))
    except BlockingIOError:
        raise InUse(f"{name} is in use by another run: wait for its end, or stop it") from None


@contextmanager
def alone(path: str, name: str | None = None) -> Iterator[None]:
    """By a file that is there as long; what it stands for may be removed and made anew."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            lock(file, name)
            if os.path.exists(path) and os.path.samestat(os.fstat(file), os.stat(path)):
                break
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # of a run that ended just now
    try:
        yield
    finally:
        with suppress(FileNotFoundError):  # gone with its folder
            os.unlink(path)
        os.close(file)


__all__ = ["alone", "lock"]
