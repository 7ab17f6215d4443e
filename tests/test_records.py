"""Run records: whole or absent, never overwritten, read with errors that name file and column."""

import json
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from cerolab.errors import RecordError
from cerolab.records import (
    TABLES,
    RunSettings,
    RunWriter,
    find_runs,
    pack_experiment,
    provenance,
    read_infos,
    read_run,
    read_schedule,
)
from cerolab.records.files import write_atomically, write_json
from cerolab.records.schema import NUM_BINS

PROBLEM = {"num_prompts": 4, "num_rounds": 3, "budget": 6, "capacity": 3, "max_units": 2, "responses_per_unit": 2}
FILLERS = {"int64": 0, "float64": 0.5, "bool": True, "string": "all"}


def settings(**changes):
    given = {
        "source": "sim",
        "experiment": "tests",
        "method": "cero",
        "problem": PROBLEM,
        "seed": 0,
        "detail": ("rounds", "groups"),
    }
    return RunSettings(**(given | changes))


def rows(table, rounds, **given):
    filled = {
        column.name: (
            np.zeros((len(rounds), NUM_BINS), np.int64)
            if column.type == "list<int64>"
            else np.array([FILLERS[column.type]] * len(rounds))
        )
        for column in TABLES[table]
    }
    return filled | {"round": np.array(rounds)} | given


def written(directory, **changes):
    writer = RunWriter(directory, settings(**changes), provenance())
    writer.append("rounds", rows("rounds", [0, 1, 2]))
    writer.append("groups", rows("groups", [0, 0, 2], prompt=np.array([3, 1, 3]), units=np.array([2, 1, 2])))
    writer.finish({"value": 1.5})
    return writer.path


def test_round_trip(tmp_path):
    run = read_run(written(tmp_path))
    assert run.info["results"] == {"value": 1.5}
    assert run.info["status"] == "finished"
    assert run.table("rounds")["round"].tolist() == [0, 1, 2]
    assert run.table("groups")["prompt"].tolist() == [3, 1, 3]
    assert not list(run.path.glob("*.parts"))


def test_run_id_depends_on_every_setting_and_on_nothing_else():
    assert settings().run_id == settings().run_id
    changes = [{"seed": 1}, {"method": "uniform"}, {"options": {"price": 0.1}}, {"scenario": {"population": "x"}}]
    ids = {settings(**change).run_id for change in [{}, *changes]}
    assert len(ids) == 5


@pytest.mark.parametrize("bad", ["", "a/b", "../up", ".hidden", "x" * 201])
def test_names_that_are_no_folder_are_refused(bad):
    with pytest.raises(RecordError, match="cannot be a folder name"):
        settings(experiment=bad)


def test_a_finished_run_is_never_written_again(tmp_path):
    path = written(tmp_path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(RecordError, match="is finished"):
        RunWriter(tmp_path, settings(), provenance())
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_a_folder_of_another_run_is_refused(tmp_path):
    path = written(tmp_path)
    info = json.loads((path / "run.json").read_text()) | {"seed": 7}
    write_json(path / "run.json", info)
    with pytest.raises(RecordError, match=r"seed=7, not 0"):
        RunWriter(tmp_path, settings(), provenance())


def test_a_folder_of_something_else_is_refused(tmp_path):
    path = tmp_path / settings().run_id
    path.mkdir()
    (path / "thesis.txt").write_text("mine")
    with pytest.raises(RecordError, match="holds no run record"):
        RunWriter(tmp_path, settings(), provenance())
    assert (path / "thesis.txt").read_text() == "mine"


def test_an_unfinished_run_is_refused_by_readers(tmp_path):
    writer = RunWriter(tmp_path, settings(), provenance())
    with pytest.raises(RecordError, match="not finished"):
        read_run(writer.path)
    writer.fail(ValueError("no luck"))
    info = read_run(writer.path, unfinished=True).info
    assert info["status"] == "failed"
    assert info["error"] == "ValueError: no luck"


def test_resuming_drops_the_rounds_after_the_checkpoint(tmp_path):
    writer = RunWriter(tmp_path, settings(), provenance())
    writer.append("rounds", rows("rounds", [0, 1]))
    writer.flush()
    writer.append("rounds", rows("rounds", [2]))
    writer.close()
    again = RunWriter(tmp_path, settings(), provenance(), resume_from=1)
    again.append("rounds", rows("rounds", [1, 2]))
    again.finish({})
    run = read_run(writer.path)
    assert run.table("rounds")["round"].tolist() == [0, 1, 2]
    assert run.info["resumed"][0]["round"] == 1


def test_a_missing_column_is_named(tmp_path):
    writer = RunWriter(tmp_path, settings(), provenance())
    incomplete = rows("rounds", [0])
    del incomplete["price"]
    writer.append("rounds", incomplete)
    with pytest.raises(RecordError, match=r"'rounds': column 'price' is missing"):
        writer.flush()


def test_an_unknown_column_is_named(tmp_path):
    writer = RunWriter(tmp_path, settings(), provenance())
    writer.append("rounds", rows("rounds", [0], luck=np.array([1.0])))
    with pytest.raises(RecordError, match="'luck' is unknown"):
        writer.flush()


def test_an_unknown_table_is_named(tmp_path):
    with pytest.raises(RecordError, match="'grups'; known: rounds, groups"):
        RunWriter(tmp_path, settings(detail=("grups",)), provenance())


def test_a_table_that_was_not_kept_is_named(tmp_path):
    with pytest.raises(RecordError, match="kept no 'evals' table"):
        read_run(written(tmp_path)).table("evals")


@pytest.mark.parametrize("keep", [0, 10, -20])
def test_a_truncated_table_is_named(tmp_path, keep):
    path = written(tmp_path)
    content = (path / "groups.parquet").read_bytes()
    (path / "groups.parquet").write_bytes(content[:keep])
    with pytest.raises(RecordError, match=r"groups\.parquet is truncated or no parquet file"):
        read_run(path).table("groups")


def test_a_foreign_table_is_named(tmp_path):
    path = written(tmp_path)
    pq.write_table(pq.read_table(path / "groups.parquet").drop_columns(["units"]), path / "groups.parquet")
    with pytest.raises(RecordError, match=r"groups\.parquet: column 'units' is missing"):
        read_run(path).table("groups")
    pq.write_table(pq.read_table(path / "rounds.parquet").cast(_with_text_price(path)), path / "rounds.parquet")
    with pytest.raises(RecordError, match=r"rounds\.parquet: column 'price' has type string, expected double"):
        read_run(path).table("rounds")


def _with_text_price(path):
    import pyarrow as pa

    schema = pq.read_schema(path / "rounds.parquet")
    return schema.set(schema.get_field_index("price"), pa.field("price", pa.string()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema_version is 99"),
        ({"problem": None}, "problem is missing"),
    ],
)
def test_a_foreign_run_json_is_named(tmp_path, change, message):
    path = written(tmp_path)
    info = json.loads((path / "run.json").read_text()) | change
    write_json(path / "run.json", {key: value for key, value in info.items() if value is not None or key != "problem"})
    with pytest.raises(RecordError, match=message):
        read_run(path)


@pytest.mark.parametrize("text", ["", '{"schema_version": 1', "[]"])
def test_a_damaged_run_json_is_named(tmp_path, text):
    path = written(tmp_path)
    (path / "run.json").write_text(text)
    with pytest.raises(RecordError, match=r"run\.json"):
        read_run(path)


def test_no_run_directory(tmp_path):
    with pytest.raises(RecordError, match=r"does not exist"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(RecordError, match="no run record"):
        find_runs([tmp_path])


def test_nan_is_no_json(tmp_path):
    writer = RunWriter(tmp_path, settings(detail=()), provenance())
    with pytest.raises(ValueError, match="not JSON compliant"):
        writer.finish({"value": float("nan")})
    assert read_run(writer.path, unfinished=True).info["status"] == "running"


def test_packing_keeps_every_run_and_reads_the_same(tmp_path):
    for seed in range(3):
        written(tmp_path, seed=seed)
    RunWriter(tmp_path, settings(seed=9), provenance())  # unfinished: not packed
    before = read_infos(tmp_path)
    packed = pack_experiment(tmp_path)
    for path in find_runs([tmp_path]):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    assert read_infos(tmp_path) == before
    assert len(before) == 3
    first = packed.read_bytes()
    assert pack_experiment(tmp_path).read_bytes() == first


def test_a_truncated_pack_is_named(tmp_path):
    written(tmp_path)
    packed = pack_experiment(tmp_path)
    packed.write_bytes(packed.read_bytes()[:50])
    with pytest.raises(RecordError, match=r"runs\.parquet is truncated"):
        read_infos(tmp_path)


def test_a_schedule_merges_waves_and_keeps_idle_rounds(tmp_path):
    schedule = read_schedule(written(tmp_path))
    assert [allocation.prompts.tolist() for allocation in schedule] == [[3, 1], [], [3]]
    assert [allocation.units.tolist() for allocation in schedule] == [[2, 1], [], [2]]


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "x.json"
    write_json(file, {"old": 1})

    def breaks(stream):
        stream.write(b'{"new"')
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, breaks)
    assert json.loads(file.read_text()) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_full_disk_is_a_clear_error_and_nothing_is_half_written(tmp_path):
    writer = RunWriter(tmp_path, settings(), provenance())
    writer.append(
        "groups", rows("groups", range(100_000), prompt=np.random.default_rng(0).integers(1 << 60, size=100_000))
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))  # writes fail as on a full disk
    try:
        with pytest.raises(RecordError, match=r"cannot write .*parquet"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(writer.path.rglob("*.partial"))
    assert not list(writer.path.rglob("*.parquet"))
    with pytest.raises(RecordError, match="not finished"):
        read_run(writer.path)
    writer.finish({})  # room again: the rows are still there
    assert len(read_run(writer.path).table("groups")) == 100_000


def test_a_directory_that_cannot_be_made_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot create"):
        RunWriter(tmp_path / "file", settings(), provenance())


KILLED = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from tests.test_records import rows, settings
    from cerolab.records import RunWriter, provenance
    writer = RunWriter(Path({directory!r}), settings(), provenance())
    print("started", flush=True)
    k = 0
    while True:
        writer.append("rounds", rows("rounds", [k]))
        writer.append("groups", rows("groups", [k] * 50))
        writer.flush()
        k += 1
"""


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.11])
def test_kill_minus_nine_leaves_only_whole_parts_and_a_resumable_run(tmp_path, delay):
    root = str(Path(__file__).resolve().parents[1])
    script = textwrap.dedent(KILLED.format(root=root, directory=str(tmp_path)))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"started\n"
    time.sleep(delay)
    child.kill()
    child.communicate()
    path = tmp_path / settings().run_id
    with pytest.raises(RecordError, match="not finished"):
        read_run(path)
    for part in path.rglob("*.parts/*.parquet"):
        assert pq.read_table(part).num_rows in (1, 50)  # whole
    written(tmp_path)
    assert read_run(path).table("rounds")["round"].tolist() == [0, 1, 2]
    assert len(read_run(path).table("groups")) == 3


def test_a_kill_while_a_run_is_created_leaves_nothing_in_its_place(tmp_path):
    aside = tmp_path / f".{settings().run_id}.123.partial"
    aside.mkdir()
    (aside / "run.json").write_text("{")
    assert read_infos(tmp_path) == {}
    written(tmp_path)
    assert len(read_infos(tmp_path)) == 1
    assert find_runs([tmp_path]) == [tmp_path / settings().run_id]


def test_a_kill_in_the_middle_of_a_write_leaves_a_resumable_run(tmp_path):
    writer = RunWriter(tmp_path, settings(), provenance())
    writer.fail(KeyboardInterrupt())
    parts = writer.path / "rounds.parts"
    parts.mkdir()
    for leftover in (writer.path / ".run.json.123.partial", parts / ".000000.parquet.123.partial"):
        leftover.write_bytes(b"half")
    (writer.path / "rounds.parquet").write_bytes(b"half")
    path = written(tmp_path)
    assert read_run(path).table("rounds")["round"].tolist() == [0, 1, 2]
    assert not list(path.rglob(".*"))


def test_two_writers_of_one_run_are_refused(tmp_path):
    first = RunWriter(tmp_path, settings(), provenance())
    first.append("rounds", rows("rounds", [0]))
    first.flush()
    with pytest.raises(RecordError, match="is being written by another process"):
        RunWriter(tmp_path, settings(), provenance())
    first.append("rounds", rows("rounds", [1]))
    first.finish({})
    assert read_run(first.path).table("rounds")["round"].tolist() == [0, 1]


def test_a_damaged_row_of_a_pack_is_named(tmp_path):
    import pyarrow as pa

    pq.write_table(pa.table({"run_id": ["x"], "run_json": ["{half"]}), tmp_path / "runs.parquet")
    with pytest.raises(RecordError, match="row 0 cannot be read"):
        read_infos(tmp_path)


def test_provenance_is_json_ready_and_names_versions():
    stamp = provenance()
    assert json.loads(json.dumps(stamp)) == stamp
    assert {"python", "numpy", "cerolab"} <= set(stamp["versions"])
