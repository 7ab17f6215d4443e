"""Files that are whole or absent: written aside, flushed to disk, then renamed into place."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from cerolab.errors import RecordError, RunTakenError


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it, rename it; on any error ``path`` is untouched.

    Raises:
        RecordError: the disk is full, or the place cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with aside.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too, survives a power cut
        finally:
            os.close(folder)
    except OSError as error:
        _remove(aside)
        raise cannot_write(path, error, "the file before it is unchanged") from error
    except BaseException:
        _remove(aside)
        raise


def make_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Let ``fill`` fill a folder aside, then rename it to ``path``, so that a kill leaves all of it or nothing.

    Raises:
        OSError: it cannot be made, or ``path`` exists.
        Whatever ``fill`` raises; nothing is left behind.
    """
    # Not by process id alone: a container gives the same ones again, also to who comes after a kill.
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        aside.mkdir(parents=True)
        fill(aside)
        aside.rename(path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def remove_folder(path: Path) -> None:
    """Remove a folder; a kill leaves it as it was, or none of that name."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.removed.partial")
    path.rename(aside)
    shutil.rmtree(aside)


def cannot_write(path: Path, error: OSError, state: str = "what was there is unchanged") -> RecordError:
    """The error for a full disk or a place that cannot be written: what failed, what is left, what to do."""
    return RecordError(
        f"cannot write {path}: {error.strerror or error}; {state}; make room or the place writable, then give the same "
        "command again, or choose another --out"
    )


def remedy(damaged: Path) -> str:
    """What to do about a record that cannot be read."""
    return f"restore it from a copy, or move {damaged} away and give the command that made it again"


def _remove(aside: Path) -> None:
    with suppress(OSError):  # the first error is the one to tell; a leftover is never read
        aside.unlink(missing_ok=True)


class Lock:
    """A lock file held by one process at a time; the system lets go of it when the process dies.

    Who lets go removes the file, which another may have opened a moment before: a lock counts only where the file that
    is locked is still the one at ``path``, else it is tried again.

    Raises:
        RunTakenError: another process, or another writer in this one, holds it.
        RecordError: it cannot be made, or the file system has no locks.
    """

    def __init__(self, path: Path):
        self._path = path
        handle = None
        while handle is None:
            handle = _locked(path)
        self._close = weakref.finalize(self, os.close, handle)

    def release(self) -> None:
        """Let go and remove the file; more than once does nothing."""
        if self._close.alive:
            _remove(self._path)
            self._close()


def _locked(path: Path) -> int | None:
    """The handle of the locked file; None where it was removed before it was locked."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except BlockingIOError:
        os.close(handle)
        raise RunTakenError(
            f"{path.parent} is being written by another process; wait for it, or choose another name"
        ) from None
    except FileNotFoundError:
        pass
    except OSError as error:  # some network file systems have no locks, or have lost the service for them
        os.close(handle)
        raise RecordError(
            f"cannot lock {path}: {error.strerror or error}; the file system there gives no locks, without which two "
            "processes could write one run: choose an --out on another one, a local disk say"
        ) from error
    os.close(handle)
    return None


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; nan and infinities are refused, they are no JSON."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    write_atomically(path, lambda stream: stream.write(content))


def parsed(content: bytes | str) -> Any:
    """JSON as Python values, by a reader that is stricter than Python's own: no half of a surrogate pair.

    Raises:
        ValueError: no JSON, or nested deeper than 200 levels.
    """
    return from_json(content)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RecordError: missing, not JSON, or no object; names the file.
    """
    try:
        value = parsed(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist; is {path.parent} a run directory?") from None
    except (ValueError, OSError) as error:
        raise RecordError(f"{path} cannot be read as JSON: {error}; {remedy(path.parent)}") from None
    if not isinstance(value, dict):
        raise RecordError(f"{path} holds no JSON object")
    return value
