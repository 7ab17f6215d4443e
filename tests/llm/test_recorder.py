"""The training's progress bar: wide enough to be one at 80 columns, full when the training is over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cerolab import AllocationProblem, BudgetLedger, Feedback, Wave, make
from cerolab.records.rounds import RoundView
from llm.evaluation.accuracy import ALL
from llm.training.recorder import TrainRecorder


def train(rounds: int, label: str) -> TrainRecorder:
    """A training of 500 rounds that ends after some of them."""
    problem = AllocationProblem(
        num_prompts=8000, num_rounds=500, budget=64_000, capacity=132, max_units=2, responses_per_unit=4
    )
    ledger, allocator = BudgetLedger(problem), make("cero", problem, seed=0)
    recorder = TrainRecorder(None, ledger, label, quiet=False)
    score: Any = SimpleNamespace(suite=ALL, problem="all", avg_at_n=0.4853)
    recorder.evaluated([score])
    for _ in range(rounds):
        view, allocation = RoundView.before(allocator, ledger), allocator.allocate()
        ledger.spend(allocation)
        feedback = Feedback(4 * allocation.units, 2 * allocation.units)
        allocator.observe(allocation, feedback)
        ledger.end_round(updated=True)
        view.waves, view.trained = [Wave(allocation, feedback)], np.ones(allocation.num_groups, np.bool_)
        recorder(view)
    recorder.trained()
    recorder.close()
    return recorder


@pytest.mark.parametrize("label", ["cero", "reinforce_ada_est(beta=0.25)"])
def test_the_bar_is_a_bar_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], label: str
) -> None:
    monkeypatch.setattr("tqdm.std._screen_shape_wrapper", lambda: lambda _: (80, 24))
    train(20, label)
    lines = [line for line in capsys.readouterr().err.replace("\n", "\r").split("\r") if "|" in line]
    assert len(lines) >= 2
    for line in lines[-2:]:
        assert len(line) <= 80
        assert line.index("|", line.index("|") + 1) - line.index("|") > 8
        assert all(word in line for word in ("reward 0.50", "mixed 1.00", "acc 0.485"))


@pytest.mark.parametrize("rounds", [3, 500])
def test_the_bar_ends_at_100_percent(capsys: pytest.CaptureFixture[str], rounds: int) -> None:
    """Also where the budget is spent before the horizon, and where some of it is left at the end."""
    train(rounds, "cero")
    assert "100%|" in capsys.readouterr().err.rsplit("\r", 1)[-1]
