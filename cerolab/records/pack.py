"""Many runs as few files: every run.json of an experiment, one row a run, nothing left out; and whole tables.

A sweep of thousands of runs is committed and read as the one table of its run.json's; its figures need nothing else.
The figures of a training also need its rounds and evaluations: the rows of all runs, each behind its run id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cerolab.errors import RecordError
from cerolab.records.files import parsed, write_atomically
from cerolab.records.info import checked_info
from cerolab.records.reader import Run, find_runs, is_partial, read_run
from cerolab.records.schema import TABLES, arrow_schema
from cerolab.records.tables import damaged, read_table, write_table

if TYPE_CHECKING:
    import pyarrow as pa

PACKED_FILE = "runs.parquet"


def pack_experiment(directory: Path) -> Path:
    """Write ``runs.parquet`` from the finished runs below ``directory`` and from those packed before.

    Returns:
        The path of the packed file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    infos = read_infos(directory)
    table = pa.table(
        {
            "run_id": pa.array(sorted(infos), pa.string()),
            "run_json": pa.array([json.dumps(infos[key], sort_keys=True) for key in sorted(infos)], pa.string()),
        }
    )
    path = directory / PACKED_FILE
    write_atomically(path, lambda stream: pq.write_table(table, stream, compression="zstd"))
    return path


def read_infos(directory: Path | str) -> dict[str, dict[str, Any]]:
    """run.json of every finished run of an experiment, by run id, from its run folders and its packed file.

    Raises:
        RecordError: a damaged or foreign file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    directory = Path(directory)
    infos: dict[str, dict[str, Any]] = {}
    packed = directory / PACKED_FILE
    if packed.exists():
        try:
            rows = pq.read_table(packed)
            texts = rows["run_json"].to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            raise damaged(packed, error) from None
        except KeyError:
            raise RecordError(f"{packed}: column 'run_json' is missing; is it a packed experiment?") from None
        for number, text in enumerate(texts):
            where = f"{packed}: row {number}"
            try:
                info = parsed(text)
            except (TypeError, ValueError) as error:
                raise RecordError(f"{where} cannot be read: {error}") from None
            checked_info(info, where)
            if info["run_id"] in infos:
                raise RecordError(f"{where}: run_id={info['run_id']!r} stands there twice; remove one of the rows")
            infos[info["run_id"]] = info
    return infos | {run.info["run_id"]: run.info for run in _finished(directory)}


def pack_tables(directory: Path, tables: Sequence[str] = ("rounds", "evals")) -> list[Path]:
    """Write ``<table>.parquet`` with the rows of the finished runs below ``directory`` and of those packed before.

    Together with ``pack_experiment`` it makes run folders dispensable for whoever reads only these tables.

    Returns:
        The paths of the packed tables; none for a table that has no row.
    """
    written = []
    for table in tables:
        rows = read_rows(directory, table)
        if rows.num_rows:
            path = Path(directory) / f"{table}.parquet"
            write_table(path, rows)
            written.append(path)
    return written


def read_rows(directory: Path | str, table: str, run_ids: Iterable[str] | None = None) -> pa.Table:
    """A table of finished runs of an experiment that kept it, from their run folders and its packed file.

    Args:
        directory: the experiment's folder.
        table: name of the table.
        run_ids: of these runs, which must be finished; None: of every one that is.

    Returns:
        The table's columns behind run_id; sorted by run id, the rows of a run in their order.

    Raises:
        RecordError: a damaged or foreign file, a file that is missing, or a table that no record has.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if table not in TABLES:
        raise RecordError(f"no run record has a table {table!r}; known: {', '.join(TABLES)}")
    directory = Path(directory)
    packed = _read_packed(directory / f"{table}.parquet", table)
    known = set(pc.unique(packed["run_id"]).to_pylist())
    folders = _finished(directory) if run_ids is None else _named(directory, run_ids)
    loose = {
        run.info["run_id"]: read_table(run.path / f"{table}.parquet", table)
        for run in folders
        if table in run.info["detail"] and ((run.path / f"{table}.parquet").exists() or run.info["run_id"] not in known)
    }
    wanted = known if run_ids is None else known & set(run_ids)
    kept = packed.filter(pc.is_in(packed["run_id"], pa.array(sorted(wanted - set(loose)), pa.string())))
    parts = {run_id: _behind_run_id(rows, [run_id] * rows.num_rows, table) for run_id, rows in loose.items()}
    if not kept.num_rows:
        return pa.concat_tables([kept, *(parts[run_id] for run_id in sorted(parts))])
    return pa.concat_tables([kept, *parts.values()]).sort_by("run_id")


def _finished(directory: Path) -> list[Run]:
    """The finished runs that have a folder below ``directory``."""
    if all(is_partial(record.parent) for record in directory.glob("*/run.json")):
        return []
    runs = [read_run(path, unfinished=True) for path in find_runs([directory])]
    return [run for run in runs if run.info["status"] == "finished"]


def _named(directory: Path, run_ids: Iterable[str]) -> list[Run]:
    """Those of these runs that have a folder below ``directory``."""
    return [read_run(directory / run_id) for run_id in run_ids if (directory / run_id / "run.json").exists()]


def _read_packed(path: Path, table: str) -> pa.Table:
    """A packed table; without rows where there is none."""
    import pyarrow.parquet as pq

    if not path.exists():
        return _behind_run_id(arrow_schema(table).empty_table(), [], table)
    rows = read_table(path, table)
    if "run_id" not in pq.read_schema(path).names:
        raise RecordError(f"{path}: column 'run_id' is missing; is it a packed table?")
    return _behind_run_id(rows, pq.read_table(path, columns=["run_id"])["run_id"].to_pylist(), table)


def _behind_run_id(rows: pa.Table, run_ids: Sequence[str], table: str) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema([pa.field("run_id", pa.string(), nullable=False), *arrow_schema(table)])
    return pa.Table.from_arrays([pa.array(run_ids, pa.string()), *rows.columns], schema=schema)
