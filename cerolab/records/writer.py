"""Writing a run record: append-only, crash-safe, never over another run."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from traceback import format_exception
from typing import TYPE_CHECKING, Any

import numpy as np

from cerolab.errors import RecordError, RunFinishedError, RunTakenError
from cerolab.records.files import Lock, cannot_write, make_folder, read_json, write_json
from cerolab.records.info import text
from cerolab.records.own import refuse_committed
from cerolab.records.schema import SCHEMA_VERSION, TABLES
from cerolab.records.settings import RunSettings
from cerolab.records.tables import read_table, to_arrow, write_table

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)
_SHORTEST, _LONGEST = 0.05, 5.0  # seconds between looks at a run that another process writes
_TOLD = 10.0  # seconds after which it is said that one is waited for
_PART_ROWS = {"rounds": 1 << 10, "groups": 1 << 17, "evals": 1 << 12, "pool": 1 << 17}


class RunWriter:
    """One run's record under ``directory/<run_id>/``.

    Rows are buffered, then flushed as numbered parts (``rounds.parts/000000.parquet``), each whole or absent.
    ``finish`` joins the parts into ``rounds.parquet``, writes the results and marks the run finished; only then do
    readers take it as a whole. A run that was killed is resumed from a round, or started again from round 0.

    Args:
        directory: folder of the experiment, ``results/<source>/<experiment>``.
        settings: what identifies the run.
        provenance: see ``cerolab.records.provenance``.
        resume_from: rounds that a checkpoint has completed; rows of later rounds are dropped.

    Raises:
        RunFinishedError: the run is finished already.
        RunTakenError: another process is writing it.
        RecordError: its folder holds a run with other settings, or the allocator is not built in and the folder holds
            committed records.
    """

    def __init__(
        self, directory: Path, settings: RunSettings, provenance: Mapping[str, Any], resume_from: int = 0
    ) -> None:
        for table in settings.detail:
            if table not in TABLES:
                raise RecordError(f"detail names table {table!r}; known: {', '.join(TABLES)}")
        refuse_committed(Path(directory), settings)
        self.path = Path(directory) / settings.run_id
        self.settings = settings
        self._rows: dict[str, dict[str, list[np.ndarray]]] = {table: {} for table in settings.detail}
        self._num_rows = dict.fromkeys(settings.detail, 0)
        self._info = {
            "schema_version": SCHEMA_VERSION,
            "run_id": settings.run_id,
            **settings.to_dict(),
            "provenance": dict(provenance),
            "started": _now(),
            "finished": None,
            "status": "running",
            "results": {},
        }
        created = not self.path.exists() and self._create()
        self._lock = Lock(self.path / ".lock")
        try:
            if not created:
                self._resume(resume_from)
                write_json(self.path / "run.json", self._info)
        except OSError as error:
            self._lock.release()
            raise cannot_write(self.path, error) from error
        except BaseException:
            self._lock.release()
            raise

    def _create(self) -> bool:
        """Make the run's folder with its run.json in one step, so that a kill leaves both or neither.

        Returns:
            False where another process made the folder first; the lock then decides.
        """
        try:
            make_folder(self.path, lambda folder: write_json(folder / "run.json", self._info))
        except OSError as error:
            if not self.path.exists():
                raise RecordError(f"cannot create {self.path}: {error.strerror}; choose another --out") from error
            return False
        return True

    def _resume(self, resume_from: int) -> None:
        if not (self.path / "run.json").exists():
            raise RecordError(f"{self.path} exists, but holds no run record; move it away")
        for partial in self.path.rglob(".*.partial"):  # left by a kill in the middle of a write
            partial.unlink()
        found = read_json(self.path / "run.json")
        for key, mine in self.settings.to_dict().items():
            if found.get(key) != mine:
                raise RecordError(f"{self.path} holds a run with {key}={found.get(key)!r}, not {mine!r}; move it away")
        if found.get("status") == "finished":
            raise RunFinishedError(f"{self.path} is finished; a finished run is never written again")
        self._info["started"] = found.get("started", self._info["started"])
        self._info["resumed"] = [*found.get("resumed", []), {"at": _now(), "round": resume_from}]
        for table in TABLES:
            (self.path / f"{table}.parquet").unlink(missing_ok=True)  # a finish that was killed half-way
            self._keep_parts(table, resume_from)

    def _keep_parts(self, table: str, resume_from: int) -> None:
        """Of the parts on disk keep the rows of rounds below ``resume_from``."""
        import pyarrow.compute as pc

        parts = self.path / f"{table}.parts"
        if not parts.is_dir():
            return
        if resume_from == 0 or table == "pool":
            shutil.rmtree(parts)
            return
        for part in sorted(parts.glob("*.parquet")):
            data = read_table(part, table)
            kept = data.filter(pc.less(data["round"], resume_from))
            if kept.num_rows == 0:
                part.unlink()
            elif kept.num_rows < data.num_rows:
                write_table(part, kept)

    def append(self, table: str, columns: Mapping[str, Any]) -> None:
        """Add rows; every column an array of the same length, or a scalar for one row."""
        rows = self._rows[table]
        arrays = {name: np.atleast_1d(np.asarray(values)) for name, values in columns.items()}
        for name, array in arrays.items():
            rows.setdefault(name, []).append(array)
        self._num_rows[table] += len(next(iter(arrays.values())))
        if self._num_rows[table] >= _PART_ROWS[table]:
            self.flush(table)

    def flush(self, table: str | None = None) -> None:
        """Put buffered rows on disk; call it when a checkpoint is taken."""
        for name in self._rows if table is None else (table,):
            if not self._num_rows[name]:
                continue
            columns: dict[str, Any] = {key: np.concatenate(parts) for key, parts in self._rows[name].items()}
            if name == "rounds":
                columns["pool_histogram"] = list(columns["pool_histogram"])
            parts = self.path / f"{name}.parts"
            try:
                parts.mkdir(exist_ok=True)
            except OSError as error:
                raise cannot_write(parts, error) from error
            taken = [int(part.stem) for part in parts.glob("*.parquet")]
            write_table(parts / f"{max(taken, default=-1) + 1:06d}.parquet", to_arrow(name, columns))
            self._rows[name], self._num_rows[name] = {}, 0

    def so_far(self, table: str) -> pa.Table:
        """All rows of a table up to now, those before a resume too; what was buffered is put on disk."""
        import pyarrow as pa

        self.flush(table)
        parts = sorted((self.path / f"{table}.parts").glob("*.parquet"))
        empty = to_arrow(table, {column.name: [] for column in TABLES[table]})
        return pa.concat_tables([empty, *(read_table(part, table) for part in parts)])

    def finish(self, results: Mapping[str, Any], resolved_options: Mapping[str, Any] | None = None) -> None:
        """Join the parts, write the results and mark the run finished.

        Args:
            results: JSON-ready numbers.
            resolved_options: all options of the method, defaults included.
        """
        for table in self.settings.detail:
            write_table(self.path / f"{table}.parquet", self.so_far(table))
        self._info |= {"status": "finished", "finished": _now(), "results": dict(results)}
        self._info["resolved_options"] = dict(resolved_options or self.settings.options)
        write_json(self.path / "run.json", self._info)
        for table in self.settings.detail:
            shutil.rmtree(self.path / f"{table}.parts", ignore_errors=True)
        self._lock.release()

    def close(self) -> None:
        """Flush and let go of an unfinished run, to be resumed later."""
        self.flush()
        self._lock.release()

    def fail(self, error: BaseException) -> None:
        """Mark the run failed, with the reason and its traceback; it may be started again."""
        self._info |= {"status": "failed", "error": text(f"{type(error).__name__}: {error}")}
        self._info["traceback"] = text("".join(format_exception(error)))
        try:
            with suppress(RecordError):  # where nothing can be written, ``error`` is the one to hear of
                write_json(self.path / "run.json", self._info)
        finally:
            self._lock.release()


def write_in_turn(write: Callable[[], object]) -> bool:
    """Do ``write``, which writes a run, as soon as no other process writes the same one.

    Returns:
        Whether it was done; False where the other process has finished the run, which is then as good.
    """
    pause, waited = _SHORTEST, 0.0
    while True:
        try:
            write()
            return True
        except RunFinishedError:
            return False
        except RunTakenError as taken:
            if waited <= _TOLD < waited + pause:
                logger.warning("%s; waiting for it", str(taken).partition(";")[0])
            time.sleep(pause)
            waited, pause = waited + pause, min(1.5 * pause, _LONGEST)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
