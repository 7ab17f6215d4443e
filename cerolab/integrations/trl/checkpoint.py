"""States of allocator, ledger and feedback map beside TRL's checkpoint: one file of plain arrays, written last.

It also holds size and CRC-32 of every other file of the checkpoint. So a checkpoint with this file was complete, and
one that was damaged later is told from a whole one before anything of it is loaded.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cerolab import Allocator, BudgetLedger
from cerolab.errors import CerolabError, StateError, shown
from cerolab.integrations.trl.checkpoint_files import checksum, checksums, first_line, numbered
from cerolab.integrations.trl.feedback_map import FeedbackMap
from cerolab.records.files import write_atomically

logger = logging.getLogger(__name__)
FILE = "allocator.npz"
_STATES = ("allocator", "ledger", "feedback")


def save(folder: Path, allocator: Allocator, ledger: BudgetLedger, feedback_map: FeedbackMap) -> None:
    """Write the states into ``folder``; a checkpoint without this file was cut short."""
    states = dict(zip(_STATES, (allocator.state_dict(), ledger.state_dict(), feedback_map.state_dict()), strict=True))
    flat = {f"{owner}/{key}": np.asarray(value) for owner, state in states.items() for key, value in state.items()}
    flat |= {f"file/{name}": np.array(pair) for name, pair in checksums(folder).items() if name != FILE}
    write_atomically(folder / FILE, lambda stream: np.savez(stream, **flat))  # type: ignore[arg-type]


def load(folder: Path, allocator: Allocator, ledger: BudgetLedger, feedback_map: FeedbackMap) -> None:
    """Continue all three from ``folder``; checkpoints of earlier versions have no feedback map.

    Raises:
        StateError: no such file, a damaged one, or a state of another run; nothing is changed.
    """
    saved = _read(folder)
    before, before_map = ledger.state_dict(), feedback_map.state_dict()
    try:
        ledger.load_state_dict(saved["ledger"])
        feedback_map.load_state_dict(saved["feedback"])
        allocator.load_state_dict(saved["allocator"])
    except StateError as error:
        ledger.load_state_dict(before)
        feedback_map.load_state_dict(before_map)
        raise StateError(f"{folder / FILE}: {error}") from error


def latest(output_dir: Path) -> Path | None:
    """The last whole checkpoint below ``output_dir``; None where there is none.

    Damaged ones are passed over with a warning that names the file.

    Raises:
        StateError: there are checkpoints, and all are damaged.
    """
    damage: list[str] = []
    for path in reversed(_complete(output_dir)):
        try:
            verify(path)
        except StateError as error:
            damage.append(str(error))
            continue
        if damage:
            logger.warning("%s; going on from %s", "; ".join(damage), path)
        return path
    if damage:
        raise StateError(
            f"no checkpoint is whole: {'; '.join(damage)}; restore these files, or remove {output_dir} to start the "
            "run from its first round"
        )
    return None


def verify(folder: Path) -> None:
    """Compare the files of a checkpoint with what was saved.

    Raises:
        StateError: names the first file that is missing, cut short, altered or cannot be read.
    """
    for name, saved in _read(folder)["file"].items():  # of checkpoints of earlier versions nothing is known
        size, crc = _size_and_crc(folder, name, saved)
        path = folder / name
        try:
            if not path.is_file():
                raise StateError(f"{path} is missing")
            found = path.stat().st_size
            if found != size:
                raise StateError(f"{path} is damaged: {found:,} bytes, {size:,} were saved")
            if checksum(path)[1] != crc:
                raise StateError(f"{path} is damaged: its checksum is not what was saved")
        except OSError as error:
            raise StateError(f"{path} cannot be read: {first_line(error)}") from error


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Around the loading of a checkpoint: whatever a loader makes of its files becomes one error.

    Raises:
        StateError: names the checkpoint, and says whether its files are what was saved.
    """
    try:
        yield
    except CerolabError:
        raise
    except Exception as error:
        what = f"checkpoint {folder} cannot be loaded: {type(error).__name__}: {first_line(error)}"
        if _whole(folder):
            raise StateError(
                f"{what}; its files are what was saved, so keep it: resume with the settings, and the versions of "
                "torch and transformers, that it was saved with"
            ) from error
        raise StateError(f"{what}; move it away, and the same command goes on from the checkpoint before it") from error


def _whole(folder: Path) -> bool:
    """Whether the files are known to be what was saved."""
    try:
        verify(folder)
        return bool(_read(folder)["file"])
    except StateError:
        return False


def _size_and_crc(folder: Path, name: str, saved: np.ndarray) -> tuple[int, int]:
    """What ``save`` noted of the file ``name``; a name that leads out of the folder is never looked at."""
    file, way = folder / FILE, PurePosixPath(name)
    if not way.parts or way.is_absolute() or ".." in way.parts:
        raise StateError(f"{file} is damaged: entry {shown(f'file/{name}')} names no file of the checkpoint")
    if saved.shape != (2,) or saved.dtype.kind not in "iu" or (saved < 0).any():
        raise StateError(f"{file} is damaged: entry {shown(f'file/{name}')} is no size and checksum")
    size, crc = saved.tolist()
    return size, crc


def keep_newest(folder: Path, limit: int | None, protected: str | None = None) -> None:
    """Remove checkpoints beside ``folder``, which was just saved: all but the last ``limit`` whole ones up to it.

    TRL would do it before ``folder`` is whole, and would count those that never were.

    Args:
        folder: the newest checkpoint.
        limit: how many to keep, with it; None or 0 keeps all.
        protected: path of one that stays in any case.
    """
    if not limit:
        return
    ours = _complete(folder.parent)
    kept = {*ours[: ours.index(folder) + 1][-limit:], folder.parent / Path(protected or "").name}
    for path in numbered(folder.parent):
        if path not in kept:
            shutil.rmtree(path, ignore_errors=True)


def _complete(output_dir: Path) -> list[Path]:
    return [path for path in numbered(output_dir) if (path / FILE).exists()]


def _read(folder: Path) -> dict[str, dict[str, Any]]:
    """What ``save`` wrote, by owner; pickles are refused."""
    file = folder / FILE
    if not file.exists():
        raise StateError(f"{folder} has no {FILE}: no checkpoint of an allocated training, or one cut short")
    states: dict[str, dict[str, Any]] = {owner: {} for owner in (*_STATES, "file")}
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as saved:
            for name in saved.files:
                owner, key = name.split("/", 1)
                states[owner][key] = saved[name]
    except Exception as error:  # zipfile and numpy raise many kinds for damaged bytes
        raise StateError(f"{file} is damaged: {first_line(error)}") from error
    return states
