"""Figures: the right lines, labels and legends, and something drawn."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from analysis.data.load import RUN, Runs, load_runs, load_setting
from analysis.data.methods import in_order
from analysis.figures import (
    OF_SETTING,
    effective_rate,
    exposure,
    learning,
    pacing,
    regret_cumulative,
    regret_drift,
    regret_horizon,
    regret_pool,
    selection_lift,
)
from analysis.plotting import style
from analysis.plotting.draw import draw
from analysis.report.gallery import draw_sweep
from analysis.sweep import main
from cerolab.errors import RecordError
from tests.test_analysis_data import horizon_infos, load_sweep, make_info, power_law, write_detailed_run, write_infos

LAWS = {"cero": power_law(0.5, -0.5), "uniform": power_law(0.1, 0.0), "oracle": lambda seed, horizon: 1e-14}


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def line(axes: Axes, label: str) -> np.ndarray[Any, Any]:
    (found,) = [one for one in axes.get_lines() if str(one.get_label()).startswith(label)]
    return np.array(found.get_xydata())


def footer(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def horizon_runs(path: Path, **results: Any) -> Runs:
    infos = horizon_infos(LAWS, **results) + horizon_infos(LAWS, population="beta(5, 5)", **results)
    return load_runs(write_infos(path, infos))


def test_regret_horizon(tmp_path: Path) -> None:
    figure = draw(regret_horizon, [horizon_runs(tmp_path)])
    first, second = figure.axes
    assert (first.get_title("left"), second.get_title("left")) == ("Beta(1, 1)", "Beta(5, 5)")
    assert (first.get_xscale(), first.get_yscale()) == ("log", "log")
    assert legend(first) == [
        "CERO: −0.50 [−0.50, −0.50]",  # noqa: RUF001
        "slope \N{MINUS SIGN}1/2 from CERO's first point",
        "Uniform: 0.00 [0.00, 0.00]",
        "Oracle: 0 up to rounding",
    ]
    # Mean over seeds 0, 1, 2 of 0.5 (1 + seed) K^-1/2.
    assert line(first, "CERO") == pytest.approx(np.array([[100, 0.1], [400, 0.05], [1600, 0.025]]))
    assert line(first, "slope") == pytest.approx(line(first, "CERO"))
    assert "bound (11) is above 1 here" in [text.get_text() for text in first.texts]
    for words in ("3 seeds", "M = 10 prompts", "K = 100, 400, 1,600 rounds", "N_max = 2", "g = 4", "B = 0.5·K·M units"):
        assert words in footer(figure)


def test_regret_horizon_draws_the_bound_only_where_it_is_below_1(tmp_path: Path) -> None:
    infos = [
        make_info("cero", seed, num_rounds=horizon, bound_total=bound)
        for seed in range(2)
        for horizon, bound in ((100, 1.0), (400, 0.9), (1600, 0.45))
    ]
    figure = draw(regret_horizon, [load_runs(write_infos(tmp_path, infos))])
    assert line(figure.axes[0], "bound (11)").tolist() == [[400, 0.9], [1600, 0.45]]
    assert "bound (11) of CERO, where below 1" in legend(figure.axes[0])
    assert not figure.axes[0].texts


def test_regret_horizon_of_one_seed_says_so(tmp_path: Path) -> None:
    runs = load_runs(write_infos(tmp_path, horizon_infos({"cero": power_law(1.0, -0.5)}, seeds=1)))
    figure = draw(regret_horizon, [runs])
    assert legend(figure.axes[0])[0] == "CERO: −0.50 (1 seed)"  # noqa: RUF001
    assert footer(figure).startswith("Simulator: Beta(1, 1), static; 1 seed;")


def test_regret_cumulative(tmp_path: Path) -> None:
    figure = draw(regret_cumulative, [horizon_runs(tmp_path)])
    assert line(figure.axes[0], "CERO") == pytest.approx(np.array([[100, 10], [400, 20], [1600, 40]]))
    assert line(figure.axes[0], "√K") == pytest.approx(line(figure.axes[0], "CERO"))
    assert legend(figure.axes[0])[0] == "CERO: 0.50 [0.50, 0.50]"
    assert all(not entry.startswith("Oracle") for entry in legend(figure.axes[0]))


def drift_infos() -> list[dict[str, Any]]:
    return [
        make_info(
            method,
            seed,
            study="drift",
            dynamics=dynamics,
            variation=variation,
            regret_per_prompt=0.01 * (1 + seed) + 0.1 * variation,
            **({"bound_variation": 4 * variation} if method == "cero" else {}),
        )
        for method in ("cero", "uniform")
        for seed in range(2)
        for dynamics, variation in (("static", 0.0), ("drift(0.3)", 0.3), ("drift(1)", 1.0), ("shift(0.5)", 0.2))
    ]


def test_regret_drift(tmp_path: Path) -> None:
    figure = draw(regret_drift, [load_runs(write_infos(tmp_path, drift_infos()))])
    (axes,) = figure.axes
    assert axes.get_xscale() == "symlog"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.3", "1"]
    # Shifts are another kind of path: not on the line.
    assert line(axes, "CERO") == pytest.approx(np.array([[0, 0.015], [0.3, 0.045], [1, 0.115]]))
    assert legend(axes) == [
        "CERO",
        "Uniform",
        "(12) optimisation term",
        "(12) estimation term",
        "(12) variation term, up to 4",
        "(12) total, capped at λ: vacuous here",
    ]
    assert line(axes, "(12) variation") == pytest.approx(np.array([[0.3, 1.2], [1, 4]]))
    assert regret_drift.BENCHMARK in footer(figure)
    assert "abrupt shifts" in footer(figure)


def test_regret_pool(tmp_path: Path) -> None:
    infos = [
        make_info("cero", seed, num_prompts=size, study="pool", regret_per_prompt=0.1 / size)
        for seed in range(2)
        for size in (10, 100, 1000)
    ]
    (axes,) = draw(regret_pool, [load_runs(write_infos(tmp_path, infos))]).axes
    assert line(axes, "CERO") == pytest.approx(np.array([[10, 0.01], [100, 0.001], [1000, 0.0001]]))
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10", "100", "1,000"]


def learning_infos() -> list[dict[str, Any]]:
    none = dict.fromkeys(("optimum", "optimum_kind", "regret", "regret_per_prompt"))
    gains = {"cero": 0.12, "uniform": 0.10}
    return [
        make_info(
            method,
            seed,
            study="dynamics",
            dynamics="learning(0.1)",
            heldout_start=0.4,
            heldout_end=0.4 + gain + 0.01 * seed,
            **none,
        )
        for method, gain in gains.items()
        for seed in range(3)
    ]


def test_learning(tmp_path: Path) -> None:
    figure = draw(learning, [load_runs(write_infos(tmp_path, learning_infos()))])
    gain, rate = figure.axes
    assert [label.get_text() for label in gain.get_yticklabels()] == ["CERO", "Uniform"]
    assert "percentage points" in gain.get_xlabel()
    points = [one.get_xydata() for one in gain.get_lines() if one.get_marker() != "None"]
    assert np.concatenate(points)[:, 0] == pytest.approx([13, 11])
    assert [text.get_text() for text in gain.texts] == ["2.00 [2.00, 2.00]"]
    assert "mixed rewards" in rate.get_xlabel()


@pytest.mark.parametrize("figure", [regret_horizon, regret_cumulative, regret_drift, regret_pool, learning])
def test_a_figure_without_runs_says_which_study_is_missing(tmp_path: Path, figure: Any) -> None:
    runs = load_runs(write_infos(tmp_path, [make_info(study="single")]))
    assert figure.usable(runs).empty
    with pytest.raises(RecordError, match=r"no run of the study '(horizon|drift|pool|dynamics)'"):
        draw(figure, [runs])


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    """Budget 12 over 4 rounds and 4 prompts, so an even pace of 3 units, 12 responses, a round."""
    for name, units in {"cero": (4, 4, 2, 2), "uniform": (3, 3, 3, 3)}.items():
        write_detailed_run(tmp_path / "sweep", name, units)
    return load_setting(tmp_path / "sweep")


def rows(runs: Runs, table: str, method: str) -> pd.DataFrame:
    found = runs.table(table)
    return found[found["method"] == method].drop(columns=RUN).reset_index(drop=True)


def test_pacing(runs: Runs) -> None:
    (axes,) = draw(pacing, [runs]).axes
    # Units ahead of the pace after each round: 1, 2, 1, 0; four responses each.
    assert line(axes, "CERO").tolist() == [[0, 0], [1, 4], [2, 8], [3, 4], [4, 0]]
    assert line(axes, "Uniform")[:, 1].tolist() == [0, 0, 0, 0, 0]
    assert legend(axes) == ["CERO", "Uniform"]
    # Groups add up to 4, 8, 10, 12 and to 3, 6, 9, 12: multiples of M = 4.
    assert pacing.epoch_ends(rows(runs, "rounds", "cero"), 4) == [1, 2, 4]
    assert pacing.epoch_ends(rows(runs, "rounds", "uniform"), 4) == [2, 3, 4]
    upright = sorted(one.get_xdata()[0] for one in axes.get_lines() if list(one.get_ydata()) == [0, 1])
    assert upright == [1, 2, 2, 3, 4, 4]


def test_many_epochs_are_thinned(runs: Runs) -> None:
    rounds = pd.DataFrame({"groups": np.full(100, 4)})
    assert len(pacing.epoch_ends(rounds, 4)) == 100
    assert pacing.epoch_ends(rounds, 1000) == []


def test_exposure(runs: Runs) -> None:
    (axes,) = draw(exposure, [runs]).axes
    # CERO: prompts have 4, 4, 2, 2 units and R = 3.
    steps = line(axes, "CERO")
    assert steps == pytest.approx(np.array([[0, 0], [2 / 3, 0.5], [4 / 3, 1.0]]))
    assert legend(axes) == ["CERO", "Uniform", "Static optimum"]


def test_effective_rate(runs: Runs) -> None:
    rate = effective_rate.effective_rate(rows(runs, "rounds", "uniform"), 12)
    assert rate == pytest.approx(np.full(rate.size, 1 / 3))  # 1 of 3 groups in every round
    # Over the whole budget CERO's rounds have 2, 2, 1, 1 effective groups of 12.
    whole = effective_rate.effective_rate(rows(runs, "rounds", "cero"), 12, window=1.0)
    assert whole[-1] == pytest.approx(6 / 12)
    (axes,) = draw(effective_rate, [runs]).axes
    assert axes.get_xlabel() == "budget consumed (%)"
    assert line(axes, "Uniform")[:, 1] == pytest.approx(100 / 3)
    assert line(axes, "Uniform")[[0, -1], 0] == pytest.approx([5, 100])


def test_effective_rate_ends_where_the_spending_does() -> None:
    rounds = pd.DataFrame({"units": [3, 3, 0, 0], "groups": [3, 3, 0, 0], "effective_groups": [1, 2, 0, 0]})
    rate = effective_rate.effective_rate(rounds, 12)
    ends = effective_rate.consumed_shares()
    assert np.isnan(rate[ends > 0.5 + 1e-9]).all()
    assert rate[ends < 0.25] == pytest.approx(1 / 3)
    assert rate[(ends > 0.3) & (ends < 0.5)] == pytest.approx(2 / 3)
    assert np.isnan(effective_rate.effective_rate(rounds.iloc[:0], 12)).all()


def test_selection_lift_by_hand(runs: Runs) -> None:
    rounds, groups = rows(runs, "rounds", "uniform"), rows(runs, "groups", "uniform")
    lift = selection_lift.selection_lift(rounds, groups, 4)
    # Rounds 0 and 1 are the first third, 2 the second, 3 the last; always 2 of 3 prompts are of 0.5, half of the pool.
    expected = [2 / 3, np.nan, 4 / 3, np.nan, np.nan]
    np.testing.assert_allclose(lift, [expected, expected, expected])
    assert selection_lift.overall_lift(rounds, groups, 0.4, 0.6) == pytest.approx(4 / 3)
    assert selection_lift.overall_lift(rounds, groups, 0.0, 1.0) == pytest.approx(1.0)


def test_selection_lift_counts_a_prompt_once_a_round(runs: Runs) -> None:
    rounds, groups = rows(runs, "rounds", "uniform"), rows(runs, "groups", "uniform")
    second_wave = groups[groups["prompt"] == 0].assign(wave=1)
    twice = pd.concat([groups, second_wave])
    np.testing.assert_array_equal(
        selection_lift.selection_lift(rounds, twice, 4), selection_lift.selection_lift(rounds, groups, 4)
    )


def test_selection_lift_of_any_pacing_is_1_by_chance() -> None:
    # The pool's mean prediction moves while the spend falls; the choice is by chance in every round.
    histograms = [np.bincount([2] * 8 + [10] * 2, minlength=20), np.bincount([2] * 2 + [10] * 8, minlength=20)]
    rounds = pd.DataFrame({"round": [0, 1], "pool_histogram": histograms})
    predicted = [0.1] * 8 + [0.5] * 2 + [0.1] * 1 + [0.5] * 4
    groups = pd.DataFrame({"round": [0] * 10 + [1] * 5, "prompt": range(15), "predicted_success": predicted})
    assert selection_lift.overall_lift(rounds, groups, 0.4, 0.6) == pytest.approx(1.0)


def test_selection_lift_figure(runs: Runs) -> None:
    (axes,) = draw(selection_lift, [runs]).axes
    assert axes.get_title("left") == "CERO"
    assert [bar.get_height() for bar in axes.patches][2] == pytest.approx(selection_lift.lifts(runs, "cero")[0, 0, 2])
    assert [label.get_text() for label in axes.get_xticklabels()][2] == "[0.4, 0.6)"
    assert legend(axes) == ["first third of the rounds", "second third of the rounds", "last third of the rounds"]


def test_selection_lift_refuses_methods_that_predict_nothing(tmp_path: Path) -> None:
    write_detailed_run(tmp_path, "uniform", (3, 3, 3, 3), predicts=False)
    with pytest.raises(RecordError, match="no method predicts success rates"):
        draw(selection_lift, [load_setting(tmp_path)])


@pytest.mark.parametrize(
    ("figure", "table"),
    [(pacing, "rounds"), (exposure, "pool"), (effective_rate, "rounds"), (selection_lift, "groups")],
)
def test_a_figure_says_which_table_is_missing(tmp_path: Path, figure: Any, table: str) -> None:
    runs = load_setting(write_infos(tmp_path, [make_info()]))
    with pytest.raises(RecordError, match=f"no run kept (its )?{table}"):
        draw(figure, [runs])


def test_settings_stand_side_by_side(runs: Runs, tmp_path: Path) -> None:
    write_detailed_run(tmp_path / "other", "cero", (3, 3, 3, 3))
    figure = draw(pacing, [runs, load_setting(tmp_path / "other")])
    assert [axes.get_title("left") for axes in figure.axes] == ["Simulator: Beta(1, 1), static"] * 2
    assert [legend(axes) for axes in figure.axes] == [["CERO", "Uniform"], ["CERO"]]
    assert footer(figure).count("Simulator: Beta(1, 1), static; 1 seed; M = 4 prompts") == 2


def test_draw_sweep_draws_what_there_is(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    write_infos(sweep, [*horizon_infos(LAWS), *drift_infos(), *learning_infos()])
    for name in ("cero", "uniform"):
        write_detailed_run(sweep, name, (4, 4, 2, 2), predicts=name == "cero")
    paths = draw_sweep(load_runs(sweep), tmp_path / "out")
    stems = ["regret_horizon", "regret_cumulative", "regret_drift", "learning"]
    stems += ["effective_rate", "pacing", "selection_lift", "proxy_tracking", "calibration", "exposure", "heat_map"]
    assert [path.name for path in paths] == [f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")]
    for path in paths:
        if path.suffix == ".png":
            pixels = imread(path)[..., :3]
            assert pixels.shape[1] >= 900
            most = 0.6 if path.stem == "heat_map" else 0.3  # it fills its panels
            assert 0.005 < (pixels.min(axis=2) < 0.5).mean() < most, f"{path.name} is blank or black"


def test_saved_files_are_the_same_every_time(tmp_path: Path) -> None:
    runs = load_runs(write_infos(tmp_path / "sweep", horizon_infos(LAWS)))
    for name in ("a", "b"):
        style.save(draw(regret_horizon, [runs]), tmp_path / name)
    for kind in ("png", "svg"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()
    assert b"Software" not in (tmp_path / "a.png").read_bytes()


def test_a_users_settings_neither_change_figures_nor_are_changed(tmp_path: Path) -> None:
    runs = load_runs(write_infos(tmp_path / "sweep", horizon_infos(LAWS)))
    style.save(draw(regret_horizon, [runs]), tmp_path / "plain")
    with mpl.rc_context({"font.size": 20.0, "axes.facecolor": "black"}):
        style.save(draw(regret_horizon, [runs]), tmp_path / "odd")
        assert mpl.rcParams["font.size"] == 20.0
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "odd.svg").read_bytes()


def test_allocators_look_different() -> None:
    known = ["cero", "uniform", "cero_fixed", "cero_preset", "cero_greedy", "random_matched", "oracle"]
    looks = [style.look(name) for name in known]
    for part in ("name", "colour", "marker", "line"):
        assert len({getattr(one, part) for one in looks}) == len(known)
    spare = style.look("my_planner")
    assert spare == style.look("my_planner")
    assert spare.name == "My planner"
    assert spare.marker not in {one.marker for one in looks}
    assert in_order(["zeta", "oracle", "alpha", "cero"]) == ["cero", "oracle", "alpha", "zeta"]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = write_infos(tmp_path / "sweep", horizon_infos(LAWS))
    assert main(sweep) == 0
    printed = capsys.readouterr().out
    assert "CERO" in printed
    assert str(sweep / "figures" / "regret_horizon.png").split("/")[-1] in printed
    assert (sweep / "figures" / "regret_horizon.svg").exists()
    # The figures' folder is no run.
    assert len(load_sweep(sweep)) == 27
    assert main(tmp_path / "nowhere") == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_command_line_says_when_nothing_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(write_infos(tmp_path, [make_info(study="single")])) == 1
    assert "no figure fits its runs" in capsys.readouterr().err


def test_pyplot_is_never_imported() -> None:
    code = "import sys, analysis.sweep, analysis.readme; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_no_warning_where_an_interval_reaches_below_zero(tmp_path: Path) -> None:
    infos = horizon_infos({"cero": lambda seed, horizon: [1e-6, 0.5][seed] / horizon}, seeds=2)
    runs = load_runs(write_infos(tmp_path / "sweep", infos))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        style.save(draw(regret_horizon, [runs]), tmp_path / "figure")


@pytest.mark.parametrize("figure", OF_SETTING.values())
def test_figures_are_two_panels_wide_at_most(runs: Runs, figure: Any) -> None:
    if not figure.missing(runs):
        assert draw(figure, [runs, runs]).get_figwidth() < 12
