"""Training experiments: loaded from folders or packed files, compared by hand, drawn and tabulated."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from matplotlib.image import imread
from rich.console import Console
from scipy import stats

from analysis.data.load import Runs, load_setting
from analysis.data.rounds import every_round
from analysis.figures import accuracy as accuracy_figure
from analysis.figures import against_uniform as against_uniform_figure
from analysis.figures import pacing
from analysis.plotting.draw import draw
from analysis.plotting.style import look
from analysis.report.gallery import draw_setting
from analysis.stats.curves import Curve
from analysis.stats.heldout import accuracy_points, compare_to_uniform, final_scores, smoothed
from analysis.tables.sweep_tables import to_markdown
from analysis.tables.training_tables import readable, training_summary
from analysis.training import main, notes, report_training
from cerolab.errors import RecordError
from cerolab.records import RunSettings, RunWriter, pack_experiment, pack_tables, read_rows
from tests.test_analysis_data import make_info, write_infos
from tests.test_analysis_figures import footer, legend, line

PROBLEM = {
    "num_prompts": 10,
    "num_rounds": 4,
    "budget": 12,
    "capacity": 6,
    "max_units": 2,
    "responses_per_unit": 4,
    "saturation": 1.0,
}
SCENARIO = {"task": "arithmetic(broad)", "model": "tiny", "learning_rate": 1e-4}
EVEN = (3, 3, 3, 3)  # units of a round: 12 responses each


def write_run(
    directory: Path,
    method: str = "cero",
    seed: int = 0,
    accuracies: Sequence[float] = (0.2, 0.3, 0.4),
    units: Sequence[int] = EVEN,
    final_samples: int = 16,
    detail: tuple[str, ...] = ("rounds", "evals"),
    finish: bool = True,
    source: str = "llm",
    **scenario: Any,
) -> Path:
    """A run whose round k spends ``units[k]`` in groups of one unit, of which all but one are effective.

    Its exact accuracies are measured before the first round, evenly between, and after the last; then once more from
    ``final_samples`` responses a question, one hundredth higher. A suite "sums" has half of the accuracies.
    """
    settings = RunSettings(
        source=source,
        experiment="study",
        method=method.partition("(")[0],
        options={"recovery": 8} if "(" in method else {},
        seed=seed,
        problem=PROBLEM,
        scenario=SCENARIO | scenario,
        detail=detail,
    )
    writer = RunWriter(directory, settings, {"commit": "abc"})
    spent = np.concatenate([[0], np.cumsum(units)])
    for k, of_round in enumerate(units):
        writer.append(
            "rounds",
            {
                "round": k,
                "price": 0.5,
                "virtual_units": of_round,
                "units": of_round,
                "remaining_units": 12 - spent[k + 1],
                "waves": 1,
                "groups": of_round,
                "effective_groups": max(of_round - 1, 0),
                "trained_groups": of_round,
                "responses": 4 * of_round,
                "reward_sum": 1.0,
                "tokens": 0,
                "updated": of_round > 1,
                "predicted_value_mean": 0.2,
                "observed_value_mean": 0.2,
                "true_value_mean": np.nan,
                "value": np.nan,
                "pool_histogram": np.zeros((1, 20), np.int64),
                "seconds_allocate": 1.0,
                "seconds_rollout": 8.0,
                "seconds_train": 5.0,
                "seconds_observe": 1.0,
            },
        )

    def evaluate(round_index: int, samples: int, mean: float) -> None:
        for suite, problem, value in (("sums", "all", mean / 2), ("sums", "1+1", 0.9), ("all", "all", mean)):
            writer.append(
                "evals",
                {
                    "round": round_index,
                    "responses_spent": 4 * spent[round_index],
                    "suite": suite,
                    "problem": problem,
                    "samples": samples,
                    "avg_at_n": value,
                    "pass_at_n": min(2 * value, 1.0),
                },
            )

    if "evals" in detail:
        every = PROBLEM["num_rounds"] // (len(accuracies) - 1)
        for at, mean in enumerate(accuracies):
            evaluate(min(at * every, len(units)), 0, mean)
        if final_samples:
            evaluate(len(units), final_samples, accuracies[-1] + 0.01)
    if finish:
        writer.finish({})
    else:
        writer.close()
    return writer.path


# Final accuracies by seed; CERO's mean curve 20, 50, 60 % crosses uniform's final 40 % two thirds of the way to 50 %.
STUDY: dict[str, dict[int, tuple[float, ...]]] = {
    "cero": {0: (0.2, 0.45, 0.55), 1: (0.2, 0.5, 0.6), 2: (0.2, 0.55, 0.65)},
    "uniform": {0: (0.2, 0.3, 0.36), 1: (0.2, 0.3, 0.4), 2: (0.2, 0.3, 0.44)},
    "random_matched": {0: (0.2, 0.2, 0.3), 1: (0.2, 0.2, 0.3), 2: (0.2, 0.2, 0.3)},
}


def write_study(directory: Path, methods: Sequence[str] = tuple(STUDY), seeds: Sequence[int] = (0, 1, 2)) -> Path:
    for method in methods:
        for seed in seeds:
            units = (6, 4, 2, 0) if method == "cero" else EVEN
            write_run(directory, method, seed, STUDY[method][seed], units)
    return directory


@pytest.fixture
def study(tmp_path: Path) -> Runs:
    return load_setting(write_study(tmp_path / "study"))


def forget_folders(directory: Path) -> None:
    """What a fresh clone has: the packed files alone."""
    for record in directory.glob("*/run.json"):
        shutil.rmtree(record.parent)


def printed(lines: Sequence[Any]) -> str:
    console = Console(width=80, no_color=True)
    with console.capture() as captured:
        for part in lines:
            console.print(part)
    return captured.get()


# --- packed tables ------------------------------------------------------------------------------------------------


def test_packed_tables_load_the_same_as_folders(tmp_path: Path) -> None:
    loose = load_setting(write_study(tmp_path))
    pack_experiment(tmp_path)
    assert pack_tables(tmp_path) == [tmp_path / "rounds.parquet", tmp_path / "evals.parquet"]
    forget_folders(tmp_path)
    packed = load_setting(tmp_path)
    for table in ("rounds", "evals"):
        pd.testing.assert_frame_equal(packed.table(table), loose.table(table))
    pd.testing.assert_frame_equal(packed.frame, loose.frame)


def test_rows_stand_behind_their_run_id_in_their_order(tmp_path: Path) -> None:
    paths = [write_run(tmp_path, "uniform", seed) for seed in (1, 0)]
    rows = read_rows(tmp_path, "rounds").to_pandas()
    assert rows.columns[0] == "run_id"
    assert rows["run_id"].tolist() == sorted(path.name for path in paths for _ in range(4))
    assert rows["round"].tolist() == [0, 1, 2, 3] * 2


def test_packing_adds_new_runs_to_those_packed_before(tmp_path: Path) -> None:
    old = write_run(tmp_path, seed=0)
    pack_experiment(tmp_path)
    pack_tables(tmp_path)
    forget_folders(tmp_path)
    new = write_run(tmp_path, "uniform", seed=1)
    write_run(tmp_path, "uniform", seed=2, finish=False)
    pack_experiment(tmp_path)
    pack_tables(tmp_path)
    forget_folders(tmp_path)
    assert load_setting(tmp_path).frame["run_id"].tolist() == [old.name, new.name]
    assert sorted(set(read_rows(tmp_path, "evals")["run_id"].to_pylist())) == [old.name, new.name]


def test_packing_again_changes_no_byte_and_leaves_nothing_aside(tmp_path: Path) -> None:
    write_study(tmp_path)
    pack_experiment(tmp_path)
    first = [path.read_bytes() for path in pack_tables(tmp_path)]
    assert [path.read_bytes() for path in pack_tables(tmp_path)] == first
    forget_folders(tmp_path)
    assert [path.read_bytes() for path in pack_tables(tmp_path)] == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evals.parquet", "rounds.parquet", "runs.parquet"]


def test_a_folder_comes_before_what_is_packed_and_may_have_lost_its_tables(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    pack_tables(tmp_path)
    (path / "rounds.parquet").unlink()
    assert read_rows(tmp_path, "rounds").num_rows == 4
    rows = pq.read_table(path / "evals.parquet")
    pq.write_table(rows.slice(0, 2), path / "evals.parquet")
    assert read_rows(tmp_path, "evals").num_rows == 2


def test_a_table_that_no_run_kept_is_not_packed(tmp_path: Path) -> None:
    write_run(tmp_path, detail=("rounds",))
    assert pack_tables(tmp_path) == [tmp_path / "rounds.parquet"]
    with pytest.raises(RecordError, match="no run record has a table 'evaluations'; known: rounds, groups"):
        pack_tables(tmp_path, ["evaluations"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:50]), r"rounds\.parquet is truncated"),
        (lambda file: _without(file, "run_id"), r"rounds\.parquet: column 'run_id' is missing"),
        (lambda file: _without(file, "units"), r"rounds\.parquet: column 'units' is missing"),
    ],
)
def test_a_damaged_packed_table_is_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    write_run(tmp_path)
    (file,) = pack_tables(tmp_path, ["rounds"])
    damage(file)
    with pytest.raises(RecordError, match=message):
        load_setting(tmp_path).table("rounds")


def _without(file: Path, column: str) -> None:
    pq.write_table(pq.read_table(file).drop_columns([column]), file)


def test_runs_packed_without_their_tables_are_named(tmp_path: Path) -> None:
    path = write_run(tmp_path)
    pack_experiment(tmp_path)
    forget_folders(tmp_path)
    with pytest.raises(RecordError, match=rf"has the rounds of {path.name} and of 0 other runs; pack .* pack_tables"):
        every_round(load_setting(tmp_path))


# --- loading ------------------------------------------------------------------------------------------------------


def test_a_run_that_ended_early_spends_nothing_in_the_rounds_it_lacks(tmp_path: Path) -> None:
    write_run(tmp_path, units=(6, 6))
    rounds = every_round(load_setting(tmp_path))
    assert rounds["round"].tolist() == [0, 1, 2, 3]
    assert rounds["units"].tolist() == [6, 6, 0, 0]
    assert rounds["updated"].tolist() == [1, 1, 0, 0]


def test_runs_of_other_settings_are_refused(tmp_path: Path) -> None:
    write_run(tmp_path, "cero")
    write_run(tmp_path, "uniform", learning_rate=1e-3)
    with pytest.raises(RecordError, match=r"differ in learning_rate \(0\.0001 and 0\.001\); put them in experiments"):
        load_setting(tmp_path)


def test_a_method_and_seed_twice_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path)
    write_run(tmp_path, detail=("rounds",))
    with pytest.raises(RecordError, match="have the same method and seed"):
        load_setting(tmp_path)


def test_a_sweep_over_several_settings_is_refused(tmp_path: Path) -> None:
    infos = [make_info(num_rounds=horizon) for horizon in (100, 200)]
    with pytest.raises(RecordError, match=r"differ in budget \(500 and 1000\), num_rounds \(100 and 200\)"):
        load_setting(write_infos(tmp_path, infos))


def test_an_experiment_without_a_finished_run_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, finish=False)
    with pytest.raises(RecordError, match="no finished run in it"):
        load_setting(tmp_path)


# --- accuracy and its comparison ----------------------------------------------------------------------------------


def test_accuracy_is_the_mean_over_questions_without_the_sampled_evaluation(tmp_path: Path) -> None:
    write_run(tmp_path, accuracies=(0.2, 0.3, 0.4))
    points = accuracy_points(load_setting(tmp_path))
    assert points["accuracy"].tolist() == pytest.approx([20, 30, 40])
    assert points["responses"].tolist() == [0, 24, 48]
    assert points["stage"].tolist() == [0, 2, 4]


def test_the_last_evaluation_of_a_run_that_ended_early_is_its_final_one(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    write_run(tmp_path, seed=1, units=(6, 4, 2))
    points = accuracy_points(load_setting(tmp_path))
    assert points["stage"].tolist() == [0, 2, 4] * 2


def test_a_stage_that_a_seed_lacks_is_no_point(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    write_run(tmp_path, seed=1, accuracies=(0.2, 0.3, 0.35, 0.38, 0.4))
    assert sorted(set(accuracy_points(load_setting(tmp_path))["stage"])) == [0, 2, 4]


def test_final_scores_are_those_of_the_most_samples(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0)
    write_run(tmp_path, seed=1, final_samples=0)
    scores = final_scores(load_setting(tmp_path))
    assert scores["samples"].tolist() == [16, 0]
    assert scores["n"].tolist() == [16, 16]
    assert scores["avg_at_n"].tolist() == pytest.approx([41, 40])
    assert scores["pass_at_n"].tolist() == pytest.approx([82, 80])


@pytest.mark.parametrize(
    ("level", "x"),
    [(0.5, 5.0), (1.0, 10.0), (1.5, 12.5), (2.0, 15.0), (0.0, 0.0), (-1.0, 0.0), (2.1, np.inf)],
)
def test_where_a_curve_first_reaches_a_level(level: float, x: float) -> None:
    # Up, down and up again: the first crossing counts.
    means = np.array([0.0, 1.0, 2.0, 0.5, 2.0])
    unknown = np.full(5, np.nan)
    assert Curve(np.array([0.0, 10, 15, 20, 30]), means, unknown, unknown).first_reaches(level) == pytest.approx(x)


def test_comparison_with_uniform_by_hand(study: Runs) -> None:
    compared = compare_to_uniform(study)
    assert list(compared) == ["cero", "uniform", "random_matched"]
    cero = compared["cero"]
    # Welch: standard deviations 5 and 4, error sqrt(41 / 3), degrees of freedom 2 * 41^2 / (25^2 + 16^2).
    half = np.sqrt(41 / 3) * stats.t.ppf(0.975, 2 * 41**2 / 881)
    assert (cero.mean.low, cero.mean.high) == pytest.approx((20 - half, 20 + half))
    assert cero.deviations.tolist() == pytest.approx([15, 20, 25])  # from uniform's mean, 40
    # 40 % is 20 points above the start; CERO's seeds gain 25, 30 and 35 in their first 40 of 48 responses.
    shares = 40 / 48 * 20 / np.array([25, 30, 35])
    assert cero.reach.estimate == pytest.approx(shares.mean())
    # Without one of uniform's seeds the accuracy to reach is 42, 40 or 38 %: a tenth more, the same, a tenth less.
    own, uniforms = shares.var(ddof=1) / 3, 2 / 3 * 2 * (shares.mean() / 10) ** 2
    degrees = 2 * (own + uniforms) ** 2 / (own**2 + uniforms**2)
    assert cero.reach.half == pytest.approx(np.sqrt(own + uniforms) * stats.t.ppf(0.975, degrees))
    # Uniform's own seeds end at 36, 40 and 44 %: the last has 40 % at 24 + 24 * 10 / 14 responses.
    last = 0.5 + 0.5 * 10 / 14
    assert compared["uniform"].reach.estimate == pytest.approx((1 + 1 + last) / 3)
    assert [compared[method].reached for method in compared] == [3, 2, 0]
    assert compared["random_matched"].reach.estimate == 1.0


def test_a_curve_that_goes_up_and_down_is_smoothed_before_it_is_crossed(tmp_path: Path) -> None:
    """A first crossing of the raw curve would let uniform have its own final accuracy after half of the responses."""
    for seed, ends in enumerate([(0.42, 0.32, 0.40), (0.30, 0.34, 0.40)]):
        write_run(tmp_path, "uniform", seed, (0.2, 0.25, *ends))
    training = load_setting(tmp_path)
    first = smoothed(accuracy_points(training)).query("seed == 0")["accuracy"]
    assert first.tolist() == pytest.approx([20, 25, 37, 37, 40])
    assert compare_to_uniform(training)["uniform"].reach.estimate == pytest.approx(1.0)


def test_trainings_are_compared_over_all_their_seeds_and_simulations_over_shared_ones(tmp_path: Path) -> None:
    write_study(tmp_path / "llm", ["cero"], [0, 1, 2])
    write_study(tmp_path / "llm", ["uniform"], [0, 2])
    write_run(tmp_path / "llm", "random_matched", seed=5)
    training = load_setting(tmp_path / "llm")
    compared = compare_to_uniform(training)
    assert list(compared) == ["cero", "uniform", "random_matched"]
    assert compared["cero"].own.index.tolist() == [0, 1, 2]
    assert compared["cero"].uniform.index.tolist() == [0, 2]
    assert "the allocators have different seeds" in notes(training)
    table = readable(training_summary(training)).set_index("allocator")
    assert table.loc["Random-matched", "against Uniform, points"] == "0.00"  # one seed: no interval
    for seed, methods in ((0, ("cero", "uniform")), (1, ("cero",)), (5, ("random_matched",))):
        for method in methods:
            write_run(tmp_path / "sim", method, seed, source="sim")
    simulated = load_setting(tmp_path / "sim")
    compared = compare_to_uniform(simulated)
    assert list(compared) == ["cero", "uniform"]
    assert compared["cero"].paired
    assert compared["cero"].own.index.tolist() == [0]
    assert "the allocators have different seeds; differences take those that Uniform has too" in notes(simulated)


def test_where_uniform_gains_nothing_there_is_nothing_to_reach(tmp_path: Path) -> None:
    write_run(tmp_path, "cero", accuracies=(0.4, 0.3, 0.35))
    write_run(tmp_path, "uniform", accuracies=(0.4, 0.45, 0.4))
    training = load_setting(tmp_path)
    assert all(np.isnan(found.reach.estimate) for found in compare_to_uniform(training).values())
    assert "responses to Uniform's accuracy, %" not in readable(training_summary(training))
    assert "Uniform ends no higher than it began" in notes(training)[-1]
    assert len(draw(against_uniform_figure, [training]).axes) == 1


# --- the table ----------------------------------------------------------------------------------------------------


def test_summary_by_hand(study: Runs) -> None:
    summary = training_summary(study)
    assert summary["method"].tolist() == ["cero", "uniform", "random_matched"]
    cero, uniform, matched = (summary.iloc[row] for row in range(3))
    assert (cero["num_seeds"], cero["samples"], cero["n"]) == (3, 16, 16)
    assert cero[["accuracy_start", "accuracy_end", "difference"]].tolist() == pytest.approx([20, 60, 20])
    # Standard deviation 5, times t(0.975, 2) / sqrt(3); of the difference see the comparison above.
    assert cero[["end_half", "difference_half"]].tolist() == pytest.approx([12.42069, 10.46], abs=0.005)
    # 5 + 3 + 1 of 12 groups are effective; uniform 2 of 3.
    assert summary["effective_group_rate"].tolist() == pytest.approx([0.75, 2 / 3, 2 / 3])
    assert summary["responses"].tolist() == [48, 48, 48]
    assert summary["updates"].tolist() == [3, 4, 4]
    assert (cero["reach_share"], cero["reach_half"]) == pytest.approx((0.566, 0.240), abs=0.001)
    assert np.isnan(uniform["difference"])
    assert summary["reach_seeds"].tolist() == [3, 2, 0]
    assert matched["reach_share"] == 1.0
    assert (cero["avg_at_n"], cero["pass_at_n"]) == pytest.approx((61, 100))
    assert cero["minutes"] == pytest.approx(1.0)


def test_markdown_of_a_summary(study: Runs) -> None:
    assert to_markdown(readable(training_summary(study))).split("\n") == [
        "| allocator | seeds | accuracy at start, % | accuracy at end, % | against Uniform, points "
        "| responses to Uniform's accuracy, % | avg@16, % | pass@16, % | effective groups, % | responses | updates "
        "| minutes |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        "| CERO | 3 | 20.00 | 60.00 ± 12.42 | 20.00 ± 10.46 | 57 ± 24 | 61.00 | 100.00 | 75.0 | 48 | 3 | 1.0 |",
        "| Uniform | 3 | 20.00 | 40.00 ± 9.94 |  | 95 ± 9 (2 of 3 seeds) | 41.00 | 82.00 | 66.7 | 48 | 4 | 1.0 |",
        "| Random-matched | 3 | 20.00 | 30.00 ± 0.00 | −10.00 ± 9.94 | not reached | 31.00 | 62.00 | 66.7 | 48 "  # noqa: RUF001
        "| 4 | 1.0 |",
    ]


def test_without_uniform_nothing_is_compared(tmp_path: Path) -> None:
    training = load_setting(write_study(tmp_path, ["cero", "random_matched"]))
    table = readable(training_summary(training))
    assert not {"against Uniform, points", "responses to Uniform's accuracy, %"} & set(table.columns)
    assert "no figure against_uniform: no finished run of uniform to compare with" in notes(training)


def test_exact_rates_alone_have_pass_but_no_average_over_samples(tmp_path: Path) -> None:
    write_run(tmp_path, final_samples=0)
    table = readable(training_summary(load_setting(tmp_path)))
    assert "pass@16, %" in table
    assert "avg@16, %" not in table


# --- figures ------------------------------------------------------------------------------------------------------


def test_accuracy_figure(study: Runs) -> None:
    figure = draw(accuracy_figure, [study])
    (axes,) = figure.axes
    assert legend(axes) == ["CERO", "Uniform", "Random-matched"]
    assert line(axes, "CERO").tolist() == pytest.approx(np.array([[0, 20], [40, 50], [48, 60]]))
    assert len(axes.collections) == 3  # bands
    for words in ("3 seeds", "M = 10 prompts", "B = 12 units", "arithmetic(broad), tiny", "95 % t-interval"):
        assert words in footer(figure)


def test_pacing_figure(study: Runs) -> None:
    (axes,) = draw(pacing, [study]).axes
    # An even pace is 12 responses a round; CERO spends 24, 16, 8, 0.
    assert line(axes, "CERO").tolist() == [[0, 0], [1, 12], [2, 16], [3, 12], [4, 0]]
    assert line(axes, "Uniform")[:, 1].tolist() == [0, 0, 0, 0, 0]


def test_against_uniform_figure(study: Runs) -> None:
    gain, needed = draw(against_uniform_figure, [study]).axes
    assert [label.get_text() for label in gain.get_yticklabels()] == ["CERO", "Random-matched"]
    assert [text.get_text() for text in gain.texts] == ["20.00 [9.54, 30.46]", "−10.00 [−19.94, −0.06]"]  # noqa: RUF001
    seeds = [one.get_xdata().tolist() for one in gain.get_lines() if one.get_marker() == "."]
    assert seeds == pytest.approx(np.array([[15, 20, 25], [-10, -10, -10]]))
    assert [label.get_text() for label in needed.get_yticklabels()] == ["CERO", "Uniform", "Random-matched"]
    assert [text.get_text() for text in needed.texts] == ["57 ± 24 %", "95 ± 9 %, 2 of 3", "not reached"]


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (accuracy_figure, "no held-out evaluation was recorded"),
        (against_uniform_figure, "no held-out evaluation was recorded"),
    ],
)
def test_a_figure_that_cannot_be_drawn_says_what_is_missing(tmp_path: Path, figure: Any, message: str) -> None:
    write_run(tmp_path, detail=("rounds",))
    training = load_setting(tmp_path)
    assert figure.missing(training) == message
    with pytest.raises(RecordError, match=message):
        draw(figure, [training])


def test_draw_setting_writes_every_figure_the_same_every_time(tmp_path: Path) -> None:
    runs = load_setting(write_study(tmp_path / "study"))
    paths = draw_setting(runs, tmp_path / "a")
    stems = ["accuracy", "against_uniform", "responses_to_target", "effective_rate", "pacing", "cost"]
    assert [path.name for path in paths] == [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")]
    for path, again in zip(paths, draw_setting(runs, tmp_path / "b"), strict=True):
        assert path.read_bytes() == again.read_bytes()
        if path.suffix == ".png":
            pixels = imread(path)[..., :3]
            assert pixels.shape[1] >= 900
            assert 0.005 < (pixels.min(axis=2) < 0.5).mean() < 0.3, f"{path.name} is blank or black"


def test_one_seed_of_two_methods_is_drawn_without_intervals(tmp_path: Path) -> None:
    training = load_setting(write_study(tmp_path / "study", ["cero", "uniform"], [0]))
    assert len(draw_setting(training, tmp_path / "figures")) == 12
    assert notes(training)[-1] == "one seed, so no interval: CERO, Uniform"
    figure = draw(accuracy_figure, [training])
    assert "One seed: no interval." in footer(figure)
    gain, _ = draw(against_uniform_figure, [training]).axes
    assert [text.get_text() for text in gain.texts] == ["19.00 (1 seed)"]
    table = readable(training_summary(training))
    assert table["against Uniform, points"].tolist() == ["19.00", ""]


def test_without_evaluations_the_rest_is_drawn(tmp_path: Path) -> None:
    write_run(tmp_path / "study", "cero", detail=("rounds",))
    write_run(tmp_path / "study", "uniform", detail=("rounds",))
    names = {path.stem for path in draw_setting(load_setting(tmp_path / "study"), tmp_path / "figures")}
    assert names == {"effective_rate", "pacing", "cost"}
    training = load_setting(tmp_path / "study")
    assert "no figure accuracy: no held-out evaluation was recorded" in notes(training)
    assert readable(training_summary(training)).columns.tolist() == [
        *("allocator", "seeds", "effective groups, %", "responses", "updates", "minutes")
    ]


def test_a_method_with_options_has_a_look_of_its_own(tmp_path: Path) -> None:
    write_run(tmp_path, "oracle(recovery=8)")
    (axes,) = draw(accuracy_figure, [load_setting(tmp_path)]).axes
    assert legend(axes) == ["Oracle, recovery"]
    assert look("oracle(recovery=8)").colour != look("oracle").colour


# --- the command --------------------------------------------------------------------------------------------------


def test_report_prints_tables_notes_and_paths_and_writes_the_summary(tmp_path: Path) -> None:
    directory = write_study(tmp_path / "study")
    running = write_run(directory, "uniform", seed=3, finish=False)
    text = printed(report_training(directory, directory / "figures"))
    assert "20.00 ± 10.46" in text
    assert "not reached" in text
    joined = text.replace("\n", "")
    assert f"note: not finished, left out: {running.name}" in joined
    assert "figures/against_uniform.png" in joined
    assert "svg" not in joined
    summary = (directory / "summary.md").read_text()
    assert summary.startswith("| allocator | seeds | accuracy at start, % |")
    assert "3 seeds; M = 10 prompts" in summary
    assert f"\n- not finished, left out: {running.name}\n" in summary


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_study(tmp_path / "study")
    assert main(directory, figures=tmp_path / "elsewhere") == 0
    assert f"figure: {tmp_path / 'elsewhere' / 'accuracy.png'}" in capsys.readouterr().out
    assert (tmp_path / "elsewhere" / "accuracy.svg").exists()
    assert main(directory) == 0
    assert (directory / "figures" / "pacing.png").exists()
    assert len(load_setting(directory).infos) == 9  # the figures' folder is no run
    assert main(tmp_path / "nowhere") == 1
    assert capsys.readouterr().err.startswith("error: ")
