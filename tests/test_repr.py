"""What is printed of an object that holds a number a prompt: a line that says what it is, never the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.data.load import Runs, load_runs
from cerolab import Allocation, AllocationProblem, BudgetLedger, Feedback, available, make, optimum
from cerolab.estimators.posterior import Posterior
from cerolab.text import brief
from tests.test_analysis_data import horizon_infos, power_law, write_infos

PROBLEM = AllocationProblem(
    num_prompts=100_000, num_rounds=100, budget=1_000_000, capacity=12_000, max_units=2, responses_per_unit=4
)
NEEDED: dict[str, dict[str, Any]] = {
    "oracle": {"rate": np.full(PROBLEM.num_prompts, 0.25)},
    "random_matched": {"schedule": [Allocation(np.arange(10_000), np.ones(10_000, np.int64))] * 100},
}


@pytest.mark.parametrize("name", available())
def test_an_allocator_says_its_options_round_and_budget(name: str) -> None:
    text = repr(make(name, PROBLEM, seed=3, **NEEDED.get(name, {})))
    assert text.startswith(f"<{name}")
    for words in ("round 0 of 100", "1,000,000 of 1,000,000 units left", "100,000 prompts", "seed 3"):
        assert words in text
    assert len(text) < 300


def test_a_round_is_seen() -> None:
    allocator, ledger = make("cero", PROBLEM, seed=0, price=0.3, catch_up=True), BudgetLedger(PROBLEM)
    allocation = allocator.allocate()
    ledger.spend(allocation)
    allocator.observe(allocation, Feedback(4 * allocation.units, 2 * allocation.units))
    ledger.end_round(updated=True)
    left = f"{PROBLEM.budget - allocation.num_units:,}"
    assert repr(allocator).startswith(f"<cero(price=0.3, catch_up=True): round 1 of 100, {left} of 1,000,000 units")
    assert repr(ledger) == (
        f"BudgetLedger(round 1 of 100, {allocation.num_units:,} of 1,000,000 units spent, "
        f"{4 * allocation.num_units:,} responses, 1 updates)"
    )


def test_tokens_are_told_where_there_is_a_budget_of_them() -> None:
    problem = AllocationProblem(num_prompts=10, num_rounds=5, budget=20, capacity=10, token_budget=2_000, max_tokens=50)
    assert "token_budget=2000, max_tokens=50)" in repr(problem)
    assert "0 of 2,000 tokens" in repr(BudgetLedger(problem))
    assert "2,000 of 2,000 tokens" in repr(make("uniform", problem, seed=0))
    assert "token" not in repr(PROBLEM) + repr(BudgetLedger(PROBLEM))


def test_a_problem_can_be_read_back() -> None:
    assert eval(repr(PROBLEM)) == PROBLEM


def test_waves_are_short() -> None:
    allocation = Allocation(np.arange(5, 5000), np.ones(4995, np.int64), last_wave=False)
    assert repr(allocation) == (
        "Allocation(prompts=[5, 6, 7, ... 4,995], units=[1, 1, 1, ... 4,995], num_units=4995, last_wave=False)"
    )
    assert repr(Allocation.empty()) == "Allocation(prompts=[], units=[], num_units=0)"
    assert repr(Feedback([4, 4], np.array([1.0, 2.5]), [1, 1.75])) == (
        "Feedback(num_responses=[4, 4], reward_sum=[1, 2.5], reward_sq_sum=[1, 1.75])"
    )


def test_a_posterior_is_short() -> None:
    posterior = Posterior.create(1000, prior=(0.5, 2.0), forgetting=0.9)
    sums = "num_responses=[0, 0, 0, ... 1,000], reward_sum=[0, 0, 0, ... 1,000]"
    assert repr(posterior) == f"Posterior(prior=(0.5, 2.0), forgetting=0.9, {sums})"


def test_an_optimum_is_short() -> None:
    best = optimum.solve_static(np.full(PROBLEM.num_prompts, 0.25), PROBLEM)
    assert repr(best).startswith("Optimum(exposure=[10, 10, 10, ... 100,000], value=")
    assert len(repr(best)) < 150


def test_runs_say_what_they_are(tmp_path: Path) -> None:
    laws = {"cero": power_law(0.5, -0.5), "uniform": power_law(0.1, 0.0)}
    runs = load_runs(write_infos(tmp_path / "sweep", horizon_infos(laws)))
    assert repr(runs) == str(runs) == f"Runs(18 runs of 2 allocators, 3 seeds, 3 settings; {tmp_path / 'sweep'})"
    assert repr(Runs({}, {})) == "Runs(none)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.arange(3), "[0, 1, 2]"),
        (np.array(2.5), "2.5"),
        ([[1], [1, 2]], "[[1], [1, 2]]"),
        (np.zeros((1000, 2)), "[[0, 0], [0, 0], [0, 0], ... 1,000]"),
        ([], "[]"),
        (True, "True"),
        (np.float32(0.1), "0.1"),
        ("x" * 1000, f"'{'x' * 56}..."),
        ({"a": list(range(10_000))}, "{'a': [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, ..."),
    ],
)
def test_values_in_short(value: object, text: str) -> None:
    assert brief(value) == text
