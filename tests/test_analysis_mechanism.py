"""Figures of what an allocator does and costs: every estimator against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection

from analysis.data.load import Runs, load_setting
from analysis.data.rounds import SECONDS, every_round
from analysis.figures import calibration, cost, heat_map, proxy_tracking, responses_to_target
from analysis.plotting.draw import draw
from analysis.stats.correlation import coefficient, correlate
from analysis.stats.heldout import accuracy_points
from cerolab.errors import RecordError
from cerolab.records import RunSettings, RunWriter
from tests.test_analysis_data import make_info, write_infos
from tests.test_analysis_figures import footer, legend, line
from tests.test_analysis_training import write_run, write_study

nan = float("nan")


def write_record(
    directory: Path,
    rounds: Sequence[dict[str, Any]] = (),
    groups: Sequence[dict[str, Any]] = (),
    success: Sequence[float] = (),
    method: str = "cero",
    seed: int = 0,
    source: str = "sim",
    num_prompts: int = 4,
    num_rounds: int = 4,
    budget: int = 16,
) -> None:
    """A run with these rows, each only as far as the test needs it, and a pool of these true success rates."""
    rows = {
        "rounds": [
            {"round": k, "price": nan, "virtual_units": 0, "remaining_units": 0, "waves": 1, "trained_groups": 0}
            | {"units": 0, "groups": 0, "effective_groups": 0, "responses": 0, "reward_sum": 0.0, "tokens": 0}
            | {"updated": True, "value": 0.0, "pool_histogram": np.zeros((1, 20), np.int64)}
            | dict.fromkeys(("predicted_value_mean", "observed_value_mean", "true_value_mean"), nan)
            | dict.fromkeys(SECONDS, 0.0)
            | row
            for k, row in enumerate(rounds)
        ],
        "groups": [
            {"round": 0, "wave": 0, "prompt": 0, "units": 1, "responses": 4, "reward_sum": 2.0, "reward_mean": 0.5}
            | {"reward_variance": 0.25, "predicted_success": nan, "predicted_value": nan, "true_success": nan}
            | {"exposure_before": 0, "tokens": 0, "trained": True}
            | row
            for row in groups
        ],
        "pool": [
            {"prompt": i, "exposure": 0, "true_success_start": p, "true_success_end": p, "optimal_exposure": -1}
            for i, p in enumerate(success)
        ],
    }
    settings = RunSettings(
        source=source,
        experiment="study",
        method=method,
        seed=seed,
        problem={
            "num_prompts": num_prompts,
            "num_rounds": num_rounds,
            "budget": budget,
            "capacity": num_prompts,
            "max_units": 2,
            "responses_per_unit": 4,
            "saturation": 1.0,
        },
        scenario={"population": "beta(1, 1)", "dynamics": "static", "rewards": "binary"},
        detail=tuple(table for table, found in rows.items() if found),
    )
    writer = RunWriter(directory, settings, {})
    for table, found in rows.items():
        for row in found:
            writer.append(table, row)
    writer.finish({})


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


# --- correlation --------------------------------------------------------------------------------------------------


def test_correlation_by_hand() -> None:
    # Deviations -1.5, -0.5, 0.5, 1.5 and -2.75, -1.75, 0.25, 4.25: 11.5 / sqrt(5 * 28.75); the ranks are equal.
    found = correlate([1, 2, nan, 3, 4], [1, 2, 9, 4, 8])
    assert found == pytest.approx((11.5 / np.sqrt(143.75), 1.0, 4))
    assert coefficient(found.pearson) == "0.96"
    assert coefficient(-0.5) == "−0.50"  # noqa: RUF001


@pytest.mark.parametrize("second", [[1, 1, 1], [0.2, 0.2, 0.2 + 1e-15], [1, 2, nan]])
def test_correlation_is_undefined_for_a_constant_or_two_points(second: list[float]) -> None:
    found = correlate([1, 2, 3], second)
    assert np.isnan(found.pearson)
    assert np.isnan(found.spearman)
    assert coefficient(found.pearson) == "undefined"


# --- proxy tracking -----------------------------------------------------------------------------------------------

# Ten intervals of 4 units. Round 0 gives 2 units to each of 3 groups, round 2 one to each of 2.
TRACKED = pd.DataFrame({"units": [6, 0, 2, 8], "groups": [3, 0, 2, 8], "value": [0.1, nan, 0.2, 0.04]})


def test_interval_means_by_hand() -> None:
    # [4, 8] has a third of round 0, one group of 0.1, and the two groups of 0.2: 0.5 / 3. The budget ends at 16 of 40.
    found = proxy_tracking.interval_means(TRACKED, "value", 40)
    assert found == pytest.approx([0.1, 0.5 / 3, 0.04, 0.04, *[nan] * 6], nan_ok=True)


def test_interval_means_leave_out_what_is_unknown() -> None:
    rounds = TRACKED.assign(value=[0.1, nan, nan, 0.04])
    found = proxy_tracking.interval_means(rounds, "value", 40)
    assert found[:3] == pytest.approx([0.1, 0.1, 0.04])
    assert np.isnan(proxy_tracking.interval_means(rounds.assign(value=nan), "value", 40)).all()


def tracked_runs(path: Path, source: str = "sim", **more: float) -> Runs:
    """Ten rounds, each a tenth of the budget: predicted 0.01 k, observed half of it, 0.01 higher under seed 1."""
    for seed in range(2):
        rounds = [
            {"units": 1, "groups": 1, "predicted_value_mean": 0.01 * k, "observed_value_mean": 0.005 * k + 0.01 * seed}
            | more
            for k in range(10)
        ]
        write_record(path, rounds, [{"predicted_success": 0.5}], seed=seed, source=source, num_rounds=10, budget=10)
    return load_setting(path)


def test_proxy_tracking(tmp_path: Path) -> None:
    figure = draw(proxy_tracking, [tracked_runs(tmp_path, true_value_mean=0.03)])
    (axes,) = figure.axes
    assert axes.get_title("left") == "CERO: Pearson 1.00 over 10 intervals"
    middles = 5 + 10 * np.arange(10)
    assert line(axes, "predicted") == pytest.approx(np.column_stack([middles, 0.01 * np.arange(10)]))
    assert line(axes, "observed") == pytest.approx(np.column_stack([middles, 0.005 * np.arange(10) + 0.005]))
    assert line(axes, "true")[:, 1] == pytest.approx(0.03)
    assert [one.get_linestyle() for one in axes.get_lines()] == ["-", "--", ":"]
    assert len({one.get_marker() for one in axes.get_lines()}) == 3
    # Two seeds 0.01 apart: half of the interval is t(1) = 12.7062 times 0.005.
    band = axes.collections[1].get_paths()[0].vertices
    assert np.ptp(band[np.isclose(band[:, 0], 5), 1]) == pytest.approx(2 * 12.7062 * 0.005, rel=1e-4)
    assert axes.get_xlabel() == "budget consumed (%)"
    assert "10 intervals of equal budget" in footer(figure)


def test_proxy_tracking_of_training_has_no_truth(tmp_path: Path) -> None:
    (axes,) = draw(proxy_tracking, [tracked_runs(tmp_path, source="llm")]).axes
    assert legend(axes) == ["predicted, q-hat", "observed in groups"]


# --- calibration --------------------------------------------------------------------------------------------------

# Bins are 1/28 = 0.0357 wide. The third group has one response, the fourth no prediction.
CALIBRATED = pd.DataFrame(
    {
        "run_id": ["a"] * 5 + ["b"],
        "predicted_value": [0.01, 0.03, 0.1, nan, 0.25, 0.02],
        "reward_variance": [0.0, 0.1, nan, 0.2, 0.3, 0.15],
    }
)


def test_calibration_by_hand() -> None:
    found = calibration.by_bin(CALIBRATED)
    assert found["run_id"].tolist() == ["a", "a", "b"]
    assert found["bin"].tolist() == [0, 6, 0]
    assert found["predicted"].tolist() == pytest.approx([0.02, 0.25, 0.02])
    assert found["observed"].tolist() == pytest.approx([0.05, 0.3, 0.15])
    assert found["share"].tolist() == pytest.approx([2 / 3, 1 / 3, 1])
    # Run a: 0.29 / 3 and 0.4 / 3; run b: 0.02 and 0.15.
    assert calibration.overall(CALIBRATED) == pytest.approx(((0.29 / 3 + 0.02) / 2, (0.4 / 3 + 0.15) / 2))


def write_groups(path: Path, seed: int, predicted: Sequence[float], variance: Sequence[float]) -> None:
    pairs = zip(predicted, variance, strict=True)
    rows = [{"predicted_success": 0.5, "predicted_value": q, "reward_variance": v} for q, v in pairs]
    write_record(path, groups=rows, seed=seed)


def test_calibration(tmp_path: Path) -> None:
    write_groups(tmp_path, 0, [0.05, 0.05, 0.15, 0.2], [0.0, 0.08, 0.1, 0.2])
    write_groups(tmp_path, 1, [0.05, 0.05, 0.15, 0.2], [0.0, 0.04, 0.1, 0.2])
    (axes,) = draw(calibration, [load_setting(tmp_path)]).axes
    points = [found for found in axes.collections if isinstance(found, PathCollection)]
    places = np.concatenate([np.asarray(one.get_offsets()) for one in points])
    assert places == pytest.approx(np.array([[0.05, 0.03], [0.15, 0.1], [0.2, 0.2]]))
    sizes = [float(one.get_sizes()[0]) for one in points]
    assert sizes[0] / sizes[1] == pytest.approx(2)  # area by share
    assert texts(axes) == ["50 %", "25 %", "25 %"]
    # Means of 0.04 and 0.02: half of the interval is t(1) = 12.7062 times 0.01.
    (bar,) = axes.containers[0].lines[2]
    assert bar.get_segments()[0][:, 1] == pytest.approx([0.03 - 0.127062, 0.03 + 0.127062], rel=1e-4)
    # x 0.05, 0.15, 0.2 with y 0.03, 0.1, 0.2: 0.0125 / sqrt(0.011667 * 0.014600).
    assert axes.get_title("left").split("\n") == [
        "CERO, 2 seeds: mean predicted 0.113, observed 0.090",
        "Pearson 0.96, Spearman 1.00 over 3 bins",
    ]
    (diagonal,) = [one for one in axes.get_lines() if one.get_linestyle() == "--"]
    assert np.array(diagonal.get_xydata()).tolist() == [[0, 0], [0.25, 0.25]]


def test_calibration_of_one_seed_has_no_interval(tmp_path: Path) -> None:
    write_groups(tmp_path, 0, [0.05], [0.1])
    (axes,) = draw(calibration, [load_setting(tmp_path)]).axes
    assert axes.get_title("left").startswith("CERO, 1 seed: mean predicted 0.050, observed 0.100\nPearson undefined")
    (bar,) = axes.containers[0].lines[2]
    assert not bar.get_segments()[0].size


# --- cost ---------------------------------------------------------------------------------------------------------


def seconds(rollout: float, train: float = 0.5, **more: Any) -> dict[str, Any]:
    named = dict(zip(SECONDS, (0.1, rollout, train, 0.15), strict=True))
    return {"units": 1, "groups": 1, "responses": 4} | named | more


def test_a_stalled_round_counts_as_the_median(tmp_path: Path) -> None:
    # 50 s and 0.25 s: over 10 s and over 100 times the median. Seed 1: 50 s are 50 times, 9 s too few.
    write_record(tmp_path, [seconds(0.25), seconds(0.25), seconds(50), seconds(0.25)])
    write_record(tmp_path, [seconds(1), seconds(1, 9, seconds_allocate=500), seconds(50), seconds(1, 0.05)], seed=1)
    rounds, stalled = cost.without_stalls(every_round(load_setting(tmp_path)))
    assert stalled == 1
    first, second = (of_seed for _, of_seed in rounds.groupby("seed"))
    assert first["seconds_rollout"].tolist() == [0.25, 0.25, 0.25, 0.25]
    assert second["seconds_rollout"].tolist() == [1, 1, 50, 1]
    assert second["seconds_train"].tolist() == [0.5, 9, 0.5, 0.05]
    assert second["seconds_allocate"].tolist() == [0.1, 500, 0.1, 0.1]


def test_rounds_that_spend_nothing_do_not_lower_the_median(tmp_path: Path) -> None:
    write_record(tmp_path, [seconds(20)])  # three more rounds, of the horizon, take no time
    _, stalled = cost.without_stalls(every_round(load_setting(tmp_path)))
    assert stalled == 0


def test_cost_of_training_is_per_million_tokens(tmp_path: Path) -> None:
    # Rounds of 1, 1 and 2 s, or of 2, 2 and 3 s; 100 tokens each.
    for seed in range(2):
        rounds = [seconds(0.25 + seed, tokens=100), seconds(0.25 + seed, tokens=100), seconds(1.25 + seed, tokens=100)]
        write_record(tmp_path, rounds, seed=seed, source="llm")
    phases, rate = draw(cost, [load_setting(tmp_path)]).axes
    assert legend(phases) == ["allocate", "rollout", "train", "observe"]
    # Means over seeds: 3 x 0.1, (1.75 + 4.75) / 2, 3 x 0.5, 3 x 0.15, end to end.
    assert [bar.get_width() for bar in phases.patches] == pytest.approx([0.3, 3.25, 1.5, 0.45])
    assert [bar.get_x() for bar in phases.patches] == pytest.approx([0, 0.3, 3.55, 5.05])
    assert texts(phases) == ["5.5 s; allocator 14 %"]
    assert phases.get_title("left") == "Seconds of a run"
    # 4 s and 7 s for 300 tokens.
    seeds = [one.get_xdata().tolist() for one in rate.get_lines() if one.get_marker() == "."]
    assert seeds[0] == pytest.approx([4e6 / 300, 7e6 / 300])
    points = [one.get_xdata() for one in rate.get_lines() if one.get_marker() == "o"]
    assert points[0] == pytest.approx([5.5e6 / 300])
    assert rate.get_xlabel() == "seconds per million generated tokens"


def test_cost_of_the_simulator_is_per_million_responses(tmp_path: Path) -> None:
    write_record(tmp_path, [seconds(0.25), seconds(0.25), seconds(50), seconds(0.25)])
    phases, rate = draw(cost, [load_setting(tmp_path)]).axes
    assert phases.get_title("left") == "Seconds of a run; 1 round stalled"
    assert rate.get_lines()[1].get_xdata() == pytest.approx([4e6 / 16])
    assert rate.get_xlabel() == "seconds per million generated responses"


# --- responses to a target ----------------------------------------------------------------------------------------


def test_responses_to_target_by_hand(tmp_path: Path) -> None:
    # CERO's seeds rise from 20 % to 45, 50, 55 % after 40 responses, and to 55, 60, 65 % after 48.
    points = accuracy_points(load_setting(write_study(tmp_path)))
    targets = responses_to_target.target_accuracies(points)
    assert targets[[0, -1]] == pytest.approx([20, 55])  # CERO's worst seed
    found = responses_to_target.responses_needed(points, "cero", np.array([20.0, 30, 55, 56]))
    assert found.x.tolist() == [20, 30, 55]  # seed 0 never has 56 %
    # 30 %: 40 x 10/25, 10/30, 10/35. 55 %: at 48, halfway at 44, at 40, of standard deviation 4 and t(2) = 4.30265.
    assert found.mean == pytest.approx([0, (16 + 40 / 3 + 80 / 7) / 3, 44])
    assert found.high[2] - found.mean[2] == pytest.approx(4.30265 * 4 / np.sqrt(3), rel=1e-4)


def test_responses_to_target(tmp_path: Path) -> None:
    (axes,) = draw(responses_to_target, [load_setting(write_study(tmp_path))]).axes
    assert legend(axes) == ["CERO", "Uniform", "Random-matched"]
    assert axes.get_xlabel() == "held-out accuracy to reach (%)"
    assert line(axes, "CERO")[-1] == pytest.approx([55, 44])
    # Random-matched stays at 20 % until response 24 and has 30 % at the end, 48; uniform's worst seed ends at 36 %.
    assert line(axes, "Random-matched")[-1, 0] <= 30 < line(axes, "Random-matched")[-1, 0] + 35 / 60
    assert line(axes, "Uniform")[-1, 0] <= 36 < line(axes, "Uniform")[-1, 0] + 35 / 60


def test_seeds_that_start_unlike_are_compared_by_their_gain(tmp_path: Path) -> None:
    write_run(tmp_path, seed=0, accuracies=(0.2, 0.3, 0.4))
    write_run(tmp_path, seed=1, accuracies=(0.5, 0.55, 0.6))
    (axes,) = draw(responses_to_target, [load_setting(tmp_path)]).axes
    assert axes.get_xlabel() == "held-out accuracy to gain (percentage points)"
    # 10 points are gained after 24 and after 48 responses.
    assert line(axes, "CERO")[-1] == pytest.approx([10, 36])


def test_without_a_gain_there_is_no_target(tmp_path: Path) -> None:
    write_run(tmp_path, accuracies=(0.4, 0.3, 0.2))
    assert responses_to_target.missing(load_setting(tmp_path)).startswith("no allocator raised the held-out accuracy")


# --- heat map -----------------------------------------------------------------------------------------------------


def test_rows_by_difficulty() -> None:
    assert heat_map.rows_by_difficulty([0.5, 0.1, 0.9, 0.1]).tolist() == [2, 0, 3, 1]
    rows = heat_map.rows_by_difficulty(np.linspace(1.0, 0.0, 80))
    assert rows.tolist() == [row for row in range(39, -1, -1) for _ in range(2)]


def test_allocation_map_by_hand() -> None:
    # Prompts 0 and 2 are the hard row. B / (M K) = 12 / (3 x 2) = 2 units a prompt and round.
    groups = pd.DataFrame({"prompt": [0, 2, 2, 1, 1], "round": [0, 0, 1, 1, 1], "units": [1, 2, 1, 2, 3]})
    found = heat_map.allocation_map(groups, np.array([0, 1, 0]), num_rounds=2, budget=12)
    # Hard: 3 and 1 units for two prompts; easy: 0, and both waves of round 1 for one prompt.
    assert found.tolist() == [[0.75, 0.25], [0.0, 2.5]]


def test_an_even_allocation_is_1_everywhere() -> None:
    # 75 rounds in 50 columns of two and one rounds; 50 prompts in 40 rows of two and one.
    groups = pd.DataFrame({"prompt": np.tile(np.arange(50), 75), "round": np.repeat(np.arange(75), 50), "units": 1})
    rows = heat_map.rows_by_difficulty(np.linspace(0, 1, 50))
    found = heat_map.allocation_map(groups, rows, num_rounds=75, budget=50 * 75)
    assert found.shape == (40, 50)
    assert found == pytest.approx(1.0)


def test_heat_map_of_the_simulator_sorts_by_the_truth_of_each_seed(tmp_path: Path) -> None:
    # Both seeds give all of round 0 to the hardest of 2 prompts, which is another one in each.
    for seed, success in enumerate([(0.2, 0.8), (0.9, 0.4)]):
        group = {"prompt": seed, "units": 4, "reward_sum": 4.0}
        write_record(tmp_path, groups=[group], success=success, seed=seed, num_prompts=2, num_rounds=2, budget=4)
    figure = draw(heat_map, [load_setting(tmp_path)])
    axes, bar = figure.axes
    assert np.asarray(axes.images[0].get_array()).tolist() == [[4, 0], [0, 0]]  # over the even share of 1
    assert axes.get_title("left") == "CERO, 2 seeds"
    assert axes.get_ylabel() == "true success rate of prompts"
    # Hardest on top: means of 0.2 and 0.4, and of 0.8 and 0.9.
    assert axes.get_ylim() == (1.0, 0.0)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert (labels[0], labels[-1]) == ("0.300", "0.850")
    assert bar.get_ylabel() == "units over the even share"
    assert "0.5 for prompts never sampled" in footer(figure)


def test_heat_map_of_training_sorts_by_the_estimate_of_all_runs(tmp_path: Path) -> None:
    first = [{"prompt": 0, "reward_sum": 4.0}, {"prompt": 1, "reward_sum": 1.0}]
    second = [{"prompt": 0, "reward_sum": 2.0, "units": 2, "responses": 8}]
    for method, groups in {"cero": first, "uniform": second}.items():
        write_record(
            tmp_path, groups=groups, success=[nan] * 3, method=method, source="llm", num_prompts=3, num_rounds=1
        )
    runs = load_setting(tmp_path)
    # 6 of 12, 1 of 4, and nothing known of prompt 2, which has the prior's 1/2 and stands behind prompt 0.
    rates = heat_map.success_rates(runs)
    assert [found.tolist() for found in rates.values()] == [[0.5, 0.25, 0.5]] * 2
    figure = draw(heat_map, [runs])
    images = [np.asarray(axes.images[0].get_array()) for axes in figure.axes[:2]]
    # The even share is 16 / 3 units.
    assert images[0].ravel() == pytest.approx([3 / 16, 3 / 16, 0])
    assert images[1].ravel() == pytest.approx([0, 6 / 16, 0])
    assert figure.axes[0].get_ylabel() == "estimated success rate of prompts"
    assert len({axes.images[0].get_clim() for axes in figure.axes[:2]}) == 1


# --- what is missing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        (proxy_tracking, "no run kept its groups"),
        (calibration, "no run kept its groups"),
        (cost, "no run kept its rounds"),
        (responses_to_target, "no held-out evaluation was recorded"),
        (heat_map, "no run kept its groups"),
    ],
)
def test_a_figure_says_which_table_is_missing(tmp_path: Path, figure: Any, message: str) -> None:
    runs = load_setting(write_infos(tmp_path, [make_info()]))
    assert figure.missing(runs) == message
    with pytest.raises(RecordError, match=message):
        draw(figure, [runs])


def test_figures_say_what_their_tables_lack(tmp_path: Path) -> None:
    write_record(tmp_path / "silent", [{"units": 1}], [{}])
    silent = load_setting(tmp_path / "silent")
    assert proxy_tracking.missing(silent) == calibration.missing(silent) == "no method predicts success rates"
    assert cost.missing(silent) == "no seconds were recorded"
    assert heat_map.missing(silent) == "no run kept its pool"
    write_record(tmp_path / "single", [{"units": 1}], [{"predicted_success": 0.5, "reward_variance": nan}])
    single = load_setting(tmp_path / "single")
    assert calibration.missing(single) == "no group of CERO has a prediction and two responses"
    assert proxy_tracking.missing(single) == "no round of CERO has a predicted_value_mean"
    write_record(tmp_path / "bare", groups=[{"predicted_success": 0.5}])
    assert proxy_tracking.missing(load_setting(tmp_path / "bare")) == "no run kept its rounds"


def test_truth_and_groups_of_different_runs_make_no_heat_map(tmp_path: Path) -> None:
    write_record(tmp_path, groups=[{}])
    write_record(tmp_path, success=[0.5] * 4, seed=1)
    assert heat_map.missing(load_setting(tmp_path)) == "no run kept groups and pool"
