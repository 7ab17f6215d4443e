"""Many small runs as one file: every run.json of an experiment, one row a run, nothing left out.

A sweep of thousands of runs is committed and read as this one table; its figures need nothing else.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cerolab.errors import RecordError
from cerolab.records.files import write_atomically
from cerolab.records.reader import checked_info, find_runs, is_partial, read_run

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
            raise RecordError(f"{packed} is truncated or no parquet file: {error}") from None
        except KeyError:
            raise RecordError(f"{packed}: column 'run_json' is missing; is it a packed experiment?") from None
        for number, text in enumerate(texts):
            try:
                info = checked_info(json.loads(text), packed)
            except ValueError as error:
                raise RecordError(f"{packed}: row {number} cannot be read: {error}") from None
            infos[info["run_id"]] = info
    if any(not is_partial(record.parent) for record in directory.glob("*/run.json")):
        for path in find_runs([directory]):
            run = read_run(path, unfinished=True)
            if run.info["status"] == "finished":
                infos[run.info["run_id"]] = run.info
    return infos
