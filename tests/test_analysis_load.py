"""Loading a sweep: one row a run, and errors that name file and column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.data.load import PROBLEM, load_runs, load_setting
from analysis.data.results import BENCHMARK_RESULTS, OPTIONAL_RESULTS, RESULTS, SCENARIO
from analysis.data.select import by_population, study_runs
from analysis.plotting.style import look
from cerolab.errors import RecordError
from cerolab.records import pack_experiment
from tests.test_analysis_data import load_sweep, make_info, write_detailed_run, write_infos


def test_one_row_a_run_sorted_by_run_id_with_every_column(tmp_path: Path) -> None:
    infos = [make_info("uniform", seed=1), make_info("cero", seed=0, regret_per_prompt=0.25)]
    data = load_sweep(write_infos(tmp_path, infos))
    assert data["run_id"].tolist() == sorted(info["run_id"] for info in infos)
    assert list(data.columns) == [
        *("run_id", "method", "seed", "options", "source"),
        *SCENARIO,
        *PROBLEM,
        "optimum_kind",
        *RESULTS,
        *BENCHMARK_RESULTS,
        *OPTIONAL_RESULTS,
    ]
    row = data[data["method"] == "cero"].iloc[0]
    assert (row["regret_per_prompt"], row["num_rounds"], row["study"], row["options"]) == (0.25, 100, "horizon", "{}")
    assert data["num_rounds"].dtype == "int64"


def test_a_method_without_estimate_has_nan_bounds(tmp_path: Path) -> None:
    data = load_sweep(write_infos(tmp_path, [make_info("uniform")]))
    assert data["bound_total"].isna().all()
    assert data["estimation_error"].isna().all()


def test_without_a_benchmark_regret_may_be_null(tmp_path: Path) -> None:
    none = dict.fromkeys(("optimum", "optimum_kind", "regret", "regret_per_prompt"))
    data = load_sweep(write_infos(tmp_path, [make_info(study="dynamics", dynamics="learning(0.1)", **none)]))
    assert data["regret"].isna().all()


def test_packed_and_loose_runs_load_the_same(tmp_path: Path) -> None:
    write_infos(tmp_path, [make_info("cero", seed) for seed in range(3)])
    loose = load_sweep(tmp_path)
    pack_experiment(tmp_path)
    for record in tmp_path.glob("*/run.json"):
        record.unlink()
    assert load_sweep(tmp_path).equals(loose)


def test_an_empty_or_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"nowhere: no finished run.*runs\.parquet"):
        load_sweep(tmp_path / "nowhere")


@pytest.mark.parametrize(("part", "key"), [("results", "unspent_units"), ("scenario", "study"), ("problem", "budget")])
def test_a_missing_key_is_named_with_its_file(tmp_path: Path, part: str, key: str) -> None:
    info = make_info()
    del info[part][key]
    write_infos(tmp_path, [info])
    with pytest.raises(RecordError, match=rf"{info['run_id']}/run\.json: {part}\.{key} is missing"):
        load_sweep(tmp_path)


@pytest.mark.parametrize("column", ["regret_per_prompt", "value", "effective_group_rate"])
def test_a_null_number_is_named_with_its_file(tmp_path: Path, column: str) -> None:
    bad = make_info(seed=1, **{column: None})
    write_infos(tmp_path, [make_info(seed=0), bad])
    with pytest.raises(RecordError, match=rf"{bad['run_id']}/run\.json: {column} is null or nan"):
        load_sweep(tmp_path)


def test_a_null_in_a_packed_table_names_table_and_run(tmp_path: Path) -> None:
    bad = make_info(regret=None)
    write_infos(tmp_path, [bad])
    pack_experiment(tmp_path)
    (tmp_path / bad["run_id"] / "run.json").unlink()
    with pytest.raises(RecordError, match=rf"runs\.parquet/{bad['run_id']}: regret is null"):
        load_sweep(tmp_path)


def test_text_for_a_number_is_named(tmp_path: Path) -> None:
    write_infos(tmp_path, [make_info(seconds="fast")])
    with pytest.raises(RecordError, match=r"run\.json: results\.seconds='fast' is no number"):
        load_sweep(tmp_path)


def test_runs_that_a_mean_would_mix_are_refused(tmp_path: Path) -> None:
    infos = [make_info(), make_info(saturation=2.0)]
    runs = load_runs(write_infos(tmp_path, infos))
    with pytest.raises(RecordError, match="differ in saturation"):
        study_runs(runs, "horizon", ["num_rounds"])


def test_options_are_part_of_the_methods_name(tmp_path: Path) -> None:
    infos = [make_info(options={}), make_info(options={"price": 0.2, "catch_up": True})]
    data = load_sweep(write_infos(tmp_path, infos))
    assert sorted(data["method"]) == ["cero", "cero(catch_up=true, price=0.2)"]
    assert look("cero(catch_up=true, price=0.2)").name == "CERO (catch_up=true, price=0.2)"
    assert look("my_rule").name == "My rule"


def test_panels_are_populations_by_name(tmp_path: Path) -> None:
    infos = [make_info(population="beta(5, 5)"), make_info(population="0.5*beta(1, 1) + 0.5*point(0)")]
    runs = load_runs(write_infos(tmp_path, infos))
    found = by_population(study_runs(runs, "horizon", ["num_rounds"]))
    assert [title for title, _ in found] == ["0.5·Beta(1, 1) + 0.5·Point(0)", "Beta(5, 5)"]
    assert study_runs(runs, "drift", ["dynamics"]).empty


def test_runs_experiments_and_patterns_may_be_given(tmp_path: Path) -> None:
    infos = [make_info("cero", seed) for seed in range(2)]
    write_infos(tmp_path / "one", infos)
    other = make_info("uniform", 1)
    write_infos(tmp_path / "two", [other])
    pack_experiment(tmp_path / "two")
    (tmp_path / "two" / other["run_id"] / "run.json").unlink()
    everything = sorted(info["run_id"] for info in (*infos, other))
    assert list(load_runs(tmp_path).infos) == everything
    assert list(load_runs(tmp_path / "one", tmp_path / "two").infos) == everything
    assert list(load_runs(tmp_path / "one" / infos[0]["run_id"]).infos) == [infos[0]["run_id"]]
    assert list(load_runs(str(tmp_path / "one" / "cero-*-s1-*")).infos) == [infos[1]["run_id"]]
    with pytest.raises(RecordError, match="no path matches this pattern"):
        load_runs(str(tmp_path / "three*"))


def test_a_copy_of_an_experiment_is_refused(tmp_path: Path) -> None:
    for name in ("one", "copy"):
        write_infos(tmp_path / name, [make_info()])
    with pytest.raises(RecordError, match=r"both hold run cero-M10-K100-s0.* one is a copy of the other"):
        load_runs(tmp_path)


def test_a_run_named_by_itself_must_be_finished(tmp_path: Path) -> None:
    info = make_info() | {"status": "running"}
    write_infos(tmp_path, [info, make_info("uniform")])
    assert load_runs(tmp_path).unfinished == (info["run_id"],)
    with pytest.raises(RecordError, match=r"the run is not finished \(status 'running'\); resume it first"):
        load_runs(tmp_path / info["run_id"])


def test_a_foreign_record_and_another_version_are_named(tmp_path: Path) -> None:
    info = make_info()
    write_infos(tmp_path, [info | {"schema_version": 99}])
    with pytest.raises(RecordError, match=r"run\.json: schema_version is 99, this cerolab reads 1"):
        load_runs(tmp_path)
    (tmp_path / info["run_id"] / "run.json").write_text("{}")
    with pytest.raises(RecordError, match=r"run\.json: schema_version is None"):
        load_runs(tmp_path)


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("rounds", "units", None, r"rounds\.parquet: column 'units' is missing"),
        ("rounds", "reward_sum", np.nan, r"rounds\.parquet: column 'reward_sum' has nan in it"),
        ("groups", "reward_mean", np.nan, r"groups\.parquet: column 'reward_mean' has nan in it"),
        ("pool", "exposure", 1.5, r"pool\.parquet: column 'exposure' has type double, expected int64"),
    ],
)
def test_a_damaged_table_is_named_with_its_column(
    tmp_path: Path, table: str, column: str, value: float | None, message: str
) -> None:
    file = write_detailed_run(tmp_path, "cero", (3, 3, 3, 3)) / f"{table}.parquet"
    rows = pq.read_table(file)
    damaged = rows.drop_columns([column])
    if value is not None:
        damaged = damaged.append_column(column, pa.array([value] * rows.num_rows))
    pq.write_table(damaged, file)
    with pytest.raises(RecordError, match=message):
        load_runs(tmp_path).table(table)


def test_a_value_that_a_method_does_not_have_may_be_nan(tmp_path: Path) -> None:
    write_detailed_run(tmp_path, "uniform", (3, 3, 3, 3), predicts=False)
    assert load_runs(tmp_path).table("groups")["predicted_success"].isna().all()


def test_settings_are_split_by_source_problem_and_world(tmp_path: Path) -> None:
    infos = [
        make_info(method, seed, num_rounds=horizon, population=population)
        for method in ("cero", "uniform")
        for seed in range(2)
        for horizon, population in ((100, "beta(1, 1)"), (200, "beta(1, 1)"), (100, "beta(2, 2)"))
    ]
    settings = load_runs(write_infos(tmp_path, infos)).settings()
    assert [(len(one.infos), one.problem["num_rounds"], one.title) for one in settings] == [
        (4, 100, "Simulator: Beta(1, 1), static"),
        (4, 200, "Simulator: Beta(1, 1), static"),
        (4, 100, "Simulator: Beta(2, 2), static"),
    ]


def test_tables_stand_behind_run_method_and_seed(tmp_path: Path) -> None:
    for method, units in (("cero", (4, 4, 2, 2)), ("uniform", (3, 3, 3, 3))):
        write_detailed_run(tmp_path, method, units)
    runs = load_setting(tmp_path)
    groups = runs.table("groups")
    assert groups.columns[:4].tolist() == ["run_id", "method", "seed", "round"]
    assert groups.groupby("method")["units"].sum().to_dict() == {"cero": 12, "uniform": 12}
    assert (groups["run_id"].str.partition("-")[0] == groups["method"]).all()
    assert runs.table("groups") is groups  # read once
