"""Run records: one schema for simulator and training, written crash-safe, read with clear errors.

A run is a directory ``<source>/<experiment>/<run_id>/`` with ``run.json`` and the tables of
``cerolab.records.schema`` as parquet files.
"""

from cerolab.records.experiment import claim_directory, is_claimed
from cerolab.records.pack import PACKED_FILE, pack_experiment, pack_tables, read_infos, read_rows
from cerolab.records.provenance import host_facts, provenance
from cerolab.records.reader import Run, find_runs, read_run, read_schedule
from cerolab.records.schema import SCHEMA_VERSION, TABLES
from cerolab.records.settings import RunSettings, method_label
from cerolab.records.transport import pack_runs, place_run
from cerolab.records.writer import RunWriter, write_in_turn

__all__ = [
    "PACKED_FILE",
    "SCHEMA_VERSION",
    "TABLES",
    "Run",
    "RunSettings",
    "RunWriter",
    "claim_directory",
    "find_runs",
    "host_facts",
    "is_claimed",
    "method_label",
    "pack_experiment",
    "pack_runs",
    "pack_tables",
    "place_run",
    "provenance",
    "read_infos",
    "read_rows",
    "read_run",
    "read_schedule",
    "write_in_turn",
]
