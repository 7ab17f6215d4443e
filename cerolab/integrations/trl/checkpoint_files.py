"""The files of a checkpoint, whoever wrote them: checksums, and one kind of error for what goes wrong in writing."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cerolab.errors import RecordError

_BLOCK = 1 << 20  # bytes read at once


def numbered(output_dir: Path) -> list[Path]:
    """The folders ``checkpoint-<step>``, by step."""
    found = [path for path in output_dir.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(found, key=lambda path: int(path.name.split("-")[1]))


def checksums(folder: Path) -> dict[str, tuple[int, int]]:
    """(size, CRC-32) of every file below ``folder``, each put on disk, so that a power cut cannot shorten it later."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): checksum(path, flush=True) for path in files}


def checksum(path: Path, flush: bool = False) -> tuple[int, int]:
    """(size, CRC-32)."""
    size = crc = 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            size, crc = size + len(block), zlib.crc32(block, crc)
        if flush:
            os.fsync(stream.fileno())
    return size, crc


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around the writing of a checkpoint.

    Raises:
        RecordError: the disk is full, or the place cannot be written.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:  # torch raises the last one for a full disk
        raise RecordError(
            f"cannot write checkpoint {folder}: {first_line(error)}; make room there, then the same command goes on "
            "from the checkpoint before it, which is unchanged"
        ) from error


def first_line(error: BaseException) -> str:
    """The message without what loaders add to it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
