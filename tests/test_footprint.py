"""What is said of the size of a sweep's tables, against tables that were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cerolab import AllocationProblem
from cerolab.errors import RecordError
from sim.experiment.engine import run_experiment
from sim.experiment.footprint import announcement, table_bytes
from sim.regret_sweep import regret_sweep
from sim.sweep_settings import DETAIL, SweepSettings

PROBLEM = AllocationProblem(
    num_prompts=1000, num_rounds=1000, budget=500_000, capacity=516, max_units=2, responses_per_unit=4
)


def test_what_is_said_is_near_what_is_written(tmp_path: Path) -> None:
    settings = SweepSettings(
        name="small",
        out=tmp_path,
        ablations=(),
        seeds=1,
        populations=("beta(0.5, 0.5)",),
        num_prompts=400,
        horizons=(150,),
        pool_sizes=(),
        drifts=(),
        dynamics=("learning(0.2)",),
        dynamics_prompts=400,
        dynamics_horizon=150,
        detail=DETAIL,
    )
    run_experiment(settings, DETAIL, workers=1, quiet=True)
    runs = [cell.problem for cell, methods in settings.cells() for _ in methods]
    assert len(runs) == 4
    for table in DETAIL:
        written = sum(path.stat().st_size for path in tmp_path.rglob(f"*-*/{table}.parquet"))
        assert 1 / 2.5 < written / sum(table_bytes(problem, table) for problem in runs) < 2.5, table


def test_the_largest_table_is_named_and_what_is_left_without_it() -> None:
    assert announcement([(PROBLEM, 40), (PROBLEM, 60)], DETAIL) == (
        "tables of 100 runs: about 360 MB, groups 350 MB of it; a detail without groups would take about 14 MB"
    )
    assert announcement([(PROBLEM, 1000)], ["groups"]) == "tables of 1,000 runs: about 3.5 GB, groups 3.5 GB of it"
    assert announcement([(PROBLEM, 1000)], []) == ""
    assert announcement([(PROBLEM, 4)], DETAIL) == ""


def test_a_dry_run_says_what_would_be_written_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SweepSettings(
        name="tiny", out=tmp_path, allocators=("uniform", "cero"), seeds=2, populations=("beta(1, 1)",),
        num_prompts=50_000, horizons=(500,), pool_sizes=(), drifts=(), dynamics=(), detail=("rounds", "groups"),
    )  # fmt: skip
    regret_sweep(settings, dry_run=True)
    assert capsys.readouterr().out.splitlines() == [
        "tables of 4 runs: about 350 MB, groups 350 MB of it; a detail without groups would take about 1 MB",
        f"4 runs to do, in {tmp_path / 'sim' / 'tiny'}",
    ]
    assert not list(tmp_path.iterdir())
    small = replace(settings, num_prompts=10, horizons=(5,))
    run_experiment(small, small.detail, workers=1, quiet=True)
    regret_sweep(replace(small, seeds=3), dry_run=True)
    assert capsys.readouterr().out.splitlines() == [
        "4 of 6 runs are done already",
        f"2 runs to do, in {tmp_path / 'sim' / 'tiny'}",
    ]
    with pytest.raises(RecordError, match="holds an experiment with other settings"):
        regret_sweep(replace(small, num_prompts=11), dry_run=True)


def test_it_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sim.experiment.footprint._WORTH_SAYING", 0.0)
    settings = SweepSettings(
        name="tiny", out=tmp_path, allocators=("uniform",), ablations=(), seeds=1, populations=("beta(1, 1)",),
        num_prompts=10, horizons=(5,), pool_sizes=(), drifts=(), dynamics=(), detail=("rounds", "pool"),
    )  # fmt: skip

    def nothing_yet(*given: object) -> Iterator[int]:
        assert "tables of 1 run: about 1 MB" in capsys.readouterr().out
        yield from ()

    run_experiment(settings, settings.detail, quiet=True, engine=nothing_yet)
