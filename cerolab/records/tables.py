"""Parquet tables of the record schema: to disk and back, checked both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cerolab.errors import RecordError
from cerolab.records.files import remedy, write_atomically
from cerolab.records.schema import TABLES, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa


def to_arrow(table: str, columns: Mapping[str, Sequence[Any] | Any]) -> pa.Table:
    """Columns as an Arrow table of the schema.

    Raises:
        RecordError: a column is missing, unknown, of another type or length; names table and column.
    """
    import pyarrow as pa

    expected = [column.name for column in TABLES[table]]
    for name in expected:
        if name not in columns:
            raise RecordError(f"table {table!r}: column {name!r} is missing")
    for name in columns:
        if name not in expected:
            raise RecordError(f"table {table!r}: column {name!r} is unknown; known: {', '.join(expected)}")
    arrays = []
    for field in arrow_schema(table):
        try:
            arrays.append(pa.array(columns[field.name], type=field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise RecordError(f"table {table!r}: column {field.name!r} is no {field.type}: {error}") from None
    try:
        return pa.Table.from_arrays(arrays, schema=arrow_schema(table))
    except pa.ArrowInvalid as error:
        raise RecordError(f"table {table!r}: columns differ in length: {error}") from None


def write_table(path: Path, data: pa.Table) -> None:
    """Write parquet atomically."""
    import pyarrow.parquet as pq

    write_atomically(path, lambda stream: pq.write_table(data, stream, compression="zstd"))


def damaged(path: Path, error: Exception) -> RecordError:
    """The error for bytes that are no parquet; a table belongs to the run whose run.json stands over it."""
    owner = next((folder for folder in path.parents[:2] if (folder / "run.json").exists()), path)
    return RecordError(f"{path} is truncated or no parquet file: {error}; {remedy(owner)}")


def read_table(path: Path, table: str) -> pa.Table:
    """Read parquet and check it against the schema.

    Raises:
        RecordError: missing, truncated, foreign, or nan where a number must be known; names file and column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not path.exists():
        raise RecordError(f"{path} does not exist: the run has no {table!r} table")
    try:
        data = pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowIOError, OSError) as error:
        raise damaged(path, error) from None
    schema = arrow_schema(table)
    for field in schema:
        if field.name not in data.column_names:
            raise RecordError(f"{path}: column {field.name!r} is missing; is it a {table!r} table of this version?")
        found = data.schema.field(field.name).type
        if found != field.type:
            raise RecordError(f"{path}: column {field.name!r} has type {found}, expected {field.type}")
        if data.column(field.name).null_count:
            raise RecordError(f"{path}: column {field.name!r} has missing values")
    for column in TABLES[table]:
        if column.type == "float64" and not column.may_be_nan and pc.any(pc.is_nan(data[column.name])).as_py():
            raise RecordError(f"{path}: column {column.name!r} has nan in it; it must be known")
    return data.select(schema.names)
