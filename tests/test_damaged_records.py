"""Damaged records: each loads as it stands, or one line names file and field; never a traceback."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.data.load import load_runs
from analysis.data.results import results_frame
from analysis.report.page import render
from analysis.tables.sweep_tables import sweep_summary, to_markdown
from cerolab.errors import RecordError
from cerolab.records import RunWriter, pack_experiment, provenance, read_run
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.runs import run_method
from sim.sweep_settings import SweepSettings

DEEP = "\N{SNOWMAN}"  # stands for JSON that is nested 100,000 deep
WRONG: tuple[Any, ...] = (
    None,
    5,
    -1,
    1e24,
    2**70,
    1e308,
    True,
    "",
    "../x",
    "\ud800",
    "x" * 300_000,
    [],
    {},
    [[]],
    {"a": 1},
    DEEP,
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run in an experiment of its own, as it stands and packed."""
    folder = tmp_path_factory.mktemp("damaged") / "exp"
    problem = SweepSettings().problem(6, 4)
    cell = Cell(Scenario(population="beta(1, 1)", study="horizon"), problem, 0)
    run_method(cell, Method.parse("cero"), folder, (), provenance())
    (folder / "experiment.json").write_text('{"schema_version": 1}')
    pack_experiment(folder)
    return folder


def places(info: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every field of a record, to any depth."""
    if isinstance(info, dict):
        for key, value in info.items():
            yield (*at, key)
            yield from places(value, (*at, key))


def text_of(info: dict[str, Any]) -> str:
    return json.dumps(info).replace(json.dumps(DEEP), "[" * 100_000 + "]" * 100_000)


def mutations(info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(what was done, the damaged run.json)."""
    for place in places(info):
        *above, key = place
        for wrong in (*WRONG, "gone"):
            damaged = copy.deepcopy(info)
            part = damaged
            for name in above:
                part = part[name]
            if wrong == "gone":
                del part[key]
            else:
                part[key] = wrong
            yield f"{'.'.join(place)} = {str(wrong)[:20]!r}", text_of(damaged)
    whole = json.dumps(info)
    for text in ("", "null", "[]", "5", '"x"', whole[:-1], whole[: len(whole) // 2], "\ufeff" + whole, whole + "}"):
        yield f"text {text[:20]!r}", text


def rendered(folder: Path) -> None:
    """All that a user does with records."""
    runs = load_runs(folder)
    frame = results_frame(runs)
    if not frame.empty:
        to_markdown(sweep_summary(frame))


def outcome(folder: Path, file: Path, use: Callable[[Path], object] = rendered) -> str:
    """What the damage ends in; anything but a loaded record and a RecordError of one line passes through."""
    message = ""
    try:
        use(folder)
    except RecordError as error:
        message = str(error)
    if not message:
        return "loaded"
    assert "\n" not in message
    assert len(message) < 2_000
    assert str(file) in message or str(folder) in message
    return "refused"


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_damaged_run_loads_or_is_named(experiment: Path, tmp_path: Path, every: int) -> None:
    folder = tmp_path / "exp"
    shutil.copytree(experiment, folder)
    (folder / "runs.parquet").unlink()
    (file,) = folder.glob("*/run.json")
    named = ("run_id = '5'", "problem = 'None'", "seed = '1e+24'", "method = ''", "results.seconds = '[]'")
    found = {}
    for count, (what, text) in enumerate(mutations(json_of(file))):
        if count % every == 0 or what in named:
            file.write_text(text)
            found[what] = outcome(folder, file)
    assert len(found) > 800 / every
    refused = {what for what, end in found.items() if end == "refused"}
    assert len(refused) > 0.5 * len(found)
    assert refused >= set(named)


def test_a_damaged_row_of_a_pack_loads_or_is_named(experiment: Path, tmp_path: Path) -> None:
    folder = tmp_path / "exp"
    folder.mkdir()
    (run,) = (path for path in experiment.iterdir() if path.is_dir())
    file = folder / "runs.parquet"
    for count, (_, text) in enumerate(mutations(json_of(run / "run.json"))):
        if count % 20 == 0:  # the same checks as above
            pq.write_table(pa.table({"run_id": ["a"], "run_json": [text]}), file)
            outcome(folder, file)
    for text in ("[]", "[" * 100_000, "null", '{"schema_version": 1}', None):
        pq.write_table(pa.table({"run_id": ["a"], "run_json": pa.array([text], pa.string())}), file)
        assert outcome(folder, file) == "refused"


@pytest.mark.parametrize("bad", ["../x", "a/b", ".", ""])
def test_a_pack_cannot_point_outside(experiment: Path, tmp_path: Path, bad: str) -> None:
    (run,) = (path for path in experiment.iterdir() if path.is_dir())
    info = json_of(run / "run.json") | {"run_id": bad}
    file = tmp_path / "runs.parquet"
    pq.write_table(pa.table({"run_id": [bad], "run_json": [json.dumps(info)]}), file)
    with pytest.raises(RecordError, match=r"runs\.parquet: row 0: run_id="):
        load_runs(tmp_path)


def test_a_folder_of_another_name_is_refused(experiment: Path, tmp_path: Path) -> None:
    """Renamed, its tables were silently empty; copied, one of the two counted."""
    (run,) = (path for path in experiment.iterdir() if path.is_dir())
    shutil.copytree(run, tmp_path / "exp" / "renamed")
    with pytest.raises(RecordError, match=rf"renamed/run\.json: run_id='{run.name}' is not its folder's name"):
        read_run(tmp_path / "exp" / "renamed")
    shutil.copytree(run, tmp_path / "exp" / run.name)
    with pytest.raises(RecordError, match="renamed"):
        load_runs(tmp_path / "exp")


def test_two_rows_of_one_run_are_refused(experiment: Path, tmp_path: Path) -> None:
    (run,) = (path for path in experiment.iterdir() if path.is_dir())
    text = (run / "run.json").read_text()
    pq.write_table(pa.table({"run_id": ["a", "b"], "run_json": [text, text]}), tmp_path / "runs.parquet")
    with pytest.raises(RecordError, match=r"row 1: run_id=.* stands there twice"):
        load_runs(tmp_path)


def test_the_report_of_damaged_runs_is_made_or_refused(experiment: Path, tmp_path: Path) -> None:
    folder = tmp_path / "exp"
    shutil.copytree(experiment, folder)
    (folder / "runs.parquet").unlink()
    (file,) = folder.glob("*/run.json")
    for count, (_, text) in enumerate(mutations(json_of(file))):
        if count % 60 == 0:
            file.write_text(text)
            assert outcome(folder, file, lambda at: render(load_runs(at))) in ("loaded", "refused")


@pytest.mark.parametrize("message", ["x" * 300_000, "half of a pair: \ud800", "no sign \0 at all"])
def test_a_run_that_failed_with_any_words_can_be_read_and_started_again(tmp_path: Path, message: str) -> None:
    problem = SweepSettings().problem(6, 4)
    settings = Cell(Scenario(study="horizon"), problem, 0).settings("exp", Method.parse("cero"), ())
    RunWriter(tmp_path, settings, provenance()).fail(ValueError(message))
    info = read_run(tmp_path / settings.run_id, unfinished=True).info
    assert info["status"] == "failed"
    assert info["traceback"].rstrip().endswith(info["error"][-50:])
    RunWriter(tmp_path, settings, provenance()).finish({})
    assert read_run(tmp_path / settings.run_id).info["status"] == "finished"


def json_of(file: Path) -> dict[str, Any]:
    info: dict[str, Any] = json.loads(file.read_text())
    return info
