"""The summary of a sweep, worked out by hand, and how it is printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from analysis.tables.sweep_tables import readable, sweep_summary, to_markdown, to_rich
from cerolab.errors import RecordError
from tests.test_analysis_data import horizon_infos, load_sweep, make_info, power_law, write_infos


def summary_of(path: Path, *infos: dict[str, object]) -> pd.DataFrame:
    return sweep_summary(load_sweep(write_infos(path, list(infos))))


def printed(table: pd.DataFrame) -> str:
    console = Console(width=100, no_color=True)
    with console.capture() as captured:
        console.print(to_rich(table, "A title"))
    return captured.get()


def test_summary_by_hand(tmp_path: Path) -> None:
    infos = horizon_infos({"uniform": power_law(0.1, 0.0), "cero": power_law(0.5, -0.5)}, unspent_units=4)
    summary = summary_of(tmp_path, *infos)
    assert summary["method"].tolist() == ["cero", "uniform"]
    cero = summary.iloc[0]
    # At K = 1,600: 0.0125 (1 + seed), so mean 0.025 and standard deviation 0.0125; budget 8,000.
    assert (cero["num_rounds"], cero["num_prompts"], cero["num_seeds"]) == (1600, 10, 3)
    assert cero["regret_mean"] == pytest.approx(0.025)
    assert cero["regret_half"] == pytest.approx(0.0125 * 2.48414, abs=1e-6)  # t(0.975, 2) / sqrt(3)
    assert (cero["slope"], cero["slope_low"], cero["slope_high"]) == pytest.approx((-0.5, -0.5, -0.5))
    assert cero["effective_group_rate"] == 0.5
    assert cero["unspent_percent"] == pytest.approx(0.05)
    assert np.isnan(cero["heldout_gain"])


def test_allocators_are_compared_at_the_largest_horizon_that_they_share(tmp_path: Path) -> None:
    infos = horizon_infos({"cero": power_law(0.5, -0.5)})
    infos += horizon_infos({"cero_fixed": power_law(0.5, -0.5)}, horizons=(100, 400))
    summary = summary_of(tmp_path, *infos)
    assert summary["num_rounds"].tolist() == [400, 400]
    assert summary["slope"].tolist() == pytest.approx([-0.5, -0.5])


def test_without_a_shared_horizon_each_allocator_is_taken_at_its_own_largest(tmp_path: Path) -> None:
    infos = horizon_infos({"cero": power_law(0.5, -0.5)}, horizons=(1600,))
    infos += horizon_infos({"cero_fixed": power_law(0.5, -0.5)}, horizons=(100, 400))
    summary = summary_of(tmp_path, *infos)
    assert summary["num_rounds"].tolist() == [1600, 400]
    assert readable(summary)["K"].tolist() == ["1,600", "400"]


def test_only_the_horizon_study_has_a_slope(tmp_path: Path) -> None:
    infos = [make_info(num_prompts=size, study="pool", num_rounds=rounds) for size in (10, 20) for rounds in (50, 100)]
    summary = summary_of(tmp_path, *infos)
    assert summary["num_prompts"].tolist() == [10, 20]
    assert summary["slope"].isna().all()
    assert "slope in K" not in readable(summary)


def test_drifts_are_sorted_by_their_amount(tmp_path: Path) -> None:
    dynamics = ["drift(10)", "static", "drift(0.3)", "drift(3)"]
    summary = summary_of(tmp_path, *(make_info(study="drift", dynamics=text) for text in dynamics))
    assert summary["dynamics"].tolist() == ["drift(0.3)", "drift(3)", "drift(10)", "static"]


def test_a_scenario_without_benchmark_has_no_regret(tmp_path: Path) -> None:
    none = dict.fromkeys(("optimum", "optimum_kind", "regret", "regret_per_prompt"))
    learn = make_info(study="dynamics", dynamics="learning(0.1)", heldout_start=0.4, heldout_end=0.45, **none)
    summary = summary_of(tmp_path, learn)
    assert summary["regret_mean"].isna().all()
    assert readable(summary)["held-out gain"].tolist() == ["5.00 pp"]
    assert "regret per prompt" not in readable(summary)


def test_runs_that_a_mean_would_mix_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="differ in saturation"):
        summary_of(tmp_path, make_info(), make_info(saturation=2.0))


def test_markdown_of_a_summary(tmp_path: Path) -> None:
    summary = summary_of(tmp_path, *horizon_infos({"cero": power_law(0.5, -0.5), "uniform": power_law(0.1, 0.0)}))
    assert to_markdown(summary).split("\n") == [
        "| population | allocator | regret per prompt | slope in K | effective groups | unspent | seeds |",
        "|---|---|---:|---:|---:|---:|---:|",
        "| Beta(1, 1) | CERO | 0.02500 ± 0.03105 | −0.50 [−0.50, −0.50] | 50.0 % | 0.00 % | 3 |",  # noqa: RUF001
        "| Beta(1, 1) | Uniform | 0.20000 ± 0.24841 | 0.00 [0.00, 0.00] | 50.0 % | 0.00 % | 3 |",
    ]


def test_one_seed_has_no_deviation(tmp_path: Path) -> None:
    table = readable(summary_of(tmp_path, make_info("cero"), make_info("oracle", regret=0.0, regret_per_prompt=0.0)))
    assert table["regret per prompt"].tolist() == ["0.10000", "0"]


def test_markdown_of_any_table() -> None:
    table = pd.DataFrame({"what": ["a|b", "c"], "number": [1234567, 0.123456]}, dtype=object)
    assert to_markdown(table).split("\n") == [
        "| what | number |",
        "|---|---:|",
        r"| a\|b | 1,234,567 |",
        "| c | 0.1235 |",
    ]


def test_terminal_table_shows_all_and_what_is_common(tmp_path: Path) -> None:
    infos = horizon_infos({"cero": power_law(0.5, -0.5)}) + horizon_infos(
        {"cero": power_law(0.5, -0.4)}, population="beta(5, 5)"
    )
    text = printed(summary_of(tmp_path, *infos))
    assert "A title" in text
    assert "Study horizon, Beta(1, 1): rewards binary, rates static, M 10, K 1,600, seeds 3" in text
    assert "Study horizon, Beta(5, 5)" in text
    assert "−0.50 [−0.50, −0.50]" in text  # brackets are no markup # noqa: RUF001


def test_terminal_table_of_any_frame() -> None:
    assert "[red]" in printed(pd.DataFrame({"a": ["[red]"]}))
