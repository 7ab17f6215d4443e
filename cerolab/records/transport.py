"""A run's record on its way from the machine that made it to the folder of its experiment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cerolab.errors import RecordError, RunFinishedError
from cerolab.records.files import Lock, make_folder, read_json, remove_folder, write_bytes
from cerolab.records.reader import is_partial


def pack_runs(directory: Path) -> dict[str, dict[str, bytes]]:
    """Every record below ``directory``, finished or not, by run id: the bytes of its files by their relative paths."""
    records = (path.parent for path in sorted(directory.glob("*/run.json")) if not is_partial(path.parent))
    return {
        record.name: {
            str(file.relative_to(record)): file.read_bytes()
            for file in sorted(record.rglob("*"))
            if file.is_file() and not file.name.startswith(".")  # no lock, no half-written file
        }
        for record in records
    }


def place_run(directory: Path, run_id: str, files: Mapping[str, bytes]) -> None:
    """Put a packed record below ``directory``, whole or not at all; one of the same run that is unfinished goes.

    Raises:
        RunFinishedError, RunTakenError: the run there is finished, or another process is writing it; it stays as it is.
    """
    path = directory / run_id

    def write(folder: Path) -> None:
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            write_bytes(folder / name, content)
        if path.exists():
            _remove_unfinished(path)

    try:
        make_folder(path, write)
    except OSError as error:
        raise RecordError(f"cannot create {path}: {error.strerror}") from error


def _remove_unfinished(path: Path) -> None:
    lock = Lock(path / ".lock")
    try:
        if read_json(path / "run.json").get("status") == "finished":
            raise RunFinishedError(f"{path} is finished; a finished run is never written again")
        remove_folder(path)
    finally:
        lock.release()
