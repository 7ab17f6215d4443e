"""Loading a sweep: one row a run, and errors that name file and column."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.load import BENCHMARK_RESULTS, OPTIONAL_RESULTS, PROBLEM, RESULTS, SCENARIO, load_sweep
from analysis.select import panels, study_runs
from analysis.style import look
from cerolab.errors import RecordError
from cerolab.records import pack_experiment
from tests.test_analysis_data import make_info, write_infos


def test_one_row_a_run_sorted_by_run_id_with_every_column(tmp_path: Path) -> None:
    infos = [make_info("uniform", seed=1), make_info("cero", seed=0, regret_per_prompt=0.25)]
    data = load_sweep(write_infos(tmp_path, infos))
    assert data["run_id"].tolist() == sorted(info["run_id"] for info in infos)
    assert list(data.columns) == [
        *("run_id", "method", "options", "seed"),
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
    with pytest.raises(RecordError, match=r"run\.json: seconds='fast' is no number"):
        load_sweep(tmp_path)


def test_runs_that_a_mean_would_mix_are_refused(tmp_path: Path) -> None:
    infos = [make_info(), make_info(saturation=2.0)]
    data = load_sweep(write_infos(tmp_path, infos))
    with pytest.raises(RecordError, match="differ in saturation"):
        study_runs(data, "horizon", ["num_rounds"])


def test_options_are_part_of_the_methods_name(tmp_path: Path) -> None:
    infos = [make_info(options={}), make_info(options={"price": 0.2, "catch_up": True})]
    data = load_sweep(write_infos(tmp_path, infos))
    assert sorted(data["method"]) == ["cero", "cero(catch_up=true, price=0.2)"]
    assert look("cero(catch_up=true, price=0.2)").name == "CERO (catch_up=true, price=0.2)"
    assert look("my_rule").name == "My rule"


def test_panels_are_populations_by_name(tmp_path: Path) -> None:
    infos = [make_info(population="beta(5, 5)"), make_info(population="0.5*beta(1, 1) + 0.5*point(0)")]
    data = load_sweep(write_infos(tmp_path, infos))
    found = panels(study_runs(data, "horizon", ["num_rounds"]))
    assert [title for title, _ in found] == ["0.5·Beta(1, 1) + 0.5·Point(0)", "Beta(5, 5)"]
    assert study_runs(data, "drift", ["dynamics"]).empty
