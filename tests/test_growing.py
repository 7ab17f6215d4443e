"""The world in which prompts arrive during training: the path, values in the final pool, regret and records."""

import re
from pathlib import Path

import numpy as np
import pytest

from analysis.data.load import load_runs
from analysis.leaderboard import Summary
from cerolab import AllocationProblem, BudgetLedger, available, registry, regret
from cerolab.errors import CerolabError, InvalidValueError
from cerolab.records import read_run, read_schedule
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.engine import run_experiment
from sim.experiment.loop import simulate
from sim.experiment.runs import run_method, summary
from sim.leaderboard_settings import LeaderboardSettings
from sim.worlds.dynamics import make_path
from sim.worlds.oracle_rates import TrueRates
from tests.own_registry import own_registry

PROBLEM = AllocationProblem(num_prompts=60, num_rounds=40, budget=1200, capacity=31, max_units=2, responses_per_unit=4)
NAMES = [name for name in available() if name != "random_matched"]
FULL = ("rounds", "groups", "pool", "evals")
START = np.random.default_rng(0).beta(1, 1, 60)
TEXT = "growing(0.5, 4)"
PAGE = (Path(__file__).resolve().parents[1] / "docs" / "growing-pools.md").read_text()


def cell(**changes):
    return Cell(Scenario(dynamics=TEXT, **changes), PROBLEM, 0)


def run(the_cell, name, on_round=None, **options):
    path, rewards, ledger = the_cell.path(), the_cell.rewards(), BudgetLedger(the_cell.start_problem)
    allocator = the_cell.allocator(Method(name=name, options=options), path, rewards)
    return simulate(allocator, path, rewards, ledger, on_round), ledger, allocator


def test_prompts_arrive_in_equal_batches_evenly_over_the_horizon():
    path = make_path("growing(0.5, 4)", START, START[:0], PROBLEM, 0)
    assert path.arrival_M.tolist() == [0] * 30 + [8] * 7 + [16] * 8 + [24] * 7 + [32] * 8
    assert path.num_prompts == 60
    assert not path.fixed
    for k in range(PROBLEM.num_rounds):
        assert np.array_equal(path.success_M, START[path.arrival_M <= k])
        path.advance([])
    assert np.array_equal(path.success_M, START)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("growing", "has 0 arguments; give 2"),
        ("growing(0, 4)", "start=0.0 is outside"),
        ("growing(1, 4)", "leaves nobody to arrive; use static"),
        ("growing(0.5, 1.5)", "batches=1.5 is no whole number"),
        ("growing(0.5, 0)", "batches=0 is not positive"),
        ("growing(0.001, 4)", "cannot be had with 60 prompts and 40 rounds"),
        ("growing(0.5, 31)", "cannot be had"),
        ("growing(0.3, 40)", "cannot be had"),
        ("growing(0.2, 4)", "starts with 12 prompts, which cannot take capacity=31"),
    ],
)
def test_bad_text_is_named_with_its_remedy(text, message):
    with pytest.raises(CerolabError, match=message):
        make_path(text, START, START[:0], PROBLEM, 0)


@pytest.mark.parametrize("rewards", ["binary", "graded(3)"])
@pytest.mark.parametrize("name", NAMES)
def test_the_value_is_that_of_the_terminal_exposures_in_the_final_pool(name, rewards):
    the_cell = cell(rewards=rewards)
    outcome, ledger, allocator = run(the_cell, name)
    assert ledger.problem == allocator.problem == PROBLEM
    rate = the_cell.rewards().variance(the_cell.success_M)
    assert outcome.value == pytest.approx(regret.static_value(rate, ledger.exposure_M, PROBLEM), abs=1e-9)
    results = summary(the_cell, outcome, ledger)
    assert results["optimum_kind"] == "growing exact"
    assert results["regret"] >= -1e-9
    assert results["variation"] == 0.0
    assert results["bound_total"] is None
    if name == "oracle":
        assert 0 < results["regret_per_prompt"] < 0.005  # what it does not foresee


def test_nobody_is_served_before_arrival_and_estimates_are_of_the_prompts_that_are_there():
    the_cell, sizes = cell(), []
    arrival_M = the_cell.path().arrival_M

    def look(view):
        sizes.append(view.predicted_value_M.size)
        assert view.predicted_value_M.size == view.exposure_before_M.size == view.success_M.size
        for allocation, _ in view.waves:
            assert (arrival_M[allocation.prompts] <= view.index).all()

    run(the_cell, "cero", look)
    assert sizes == [int((arrival_M <= k).sum()) for k in range(PROBLEM.num_rounds)]


def test_an_oracle_that_looks_seldom_looks_when_prompts_have_joined():
    the_cell = cell()
    path, rewards = the_cell.path(), the_cell.rewards()
    rates = TrueRates(path, rewards, every=10)
    for _ in range(PROBLEM.num_rounds):
        assert np.array_equal(rates(), rewards.variance(path.success_M))
        path.advance([])
    run(cell(oracle_every=10), "oracle")


def test_records_of_a_growing_pool_are_whole(tmp_path):
    the_cell = cell()
    results = run_method(the_cell, Method(name="greso"), tmp_path / "tests", FULL, {})
    (path,) = (tmp_path / "tests").iterdir()
    record = read_run(path)
    rounds, groups, pool, _ = (record.table(name) for name in FULL)
    assert record.info["problem"] == PROBLEM.to_dict()
    assert record.info["results"] == results
    assert len(pool) == 60
    assert rounds["units"].sum() == groups["units"].sum() == pool["exposure"].sum() == results["units_spent"]
    assert np.array_equal(pool["true_success_start"], the_cell.success_M)
    assert np.array_equal(pool["true_success_end"], the_cell.success_M)
    assert pool["optimal_exposure"].tolist() == the_cell.growing_optimum.exposure.tolist()
    assert rounds["value"].iloc[-1] == pytest.approx(results["value"])
    first_seen = groups.groupby("prompt")["round"].min()
    assert (first_seen >= the_cell.path().arrival_M[first_seen.index]).all()
    assert sum(allocation.num_units for allocation in read_schedule(path)) == results["units_spent"]
    run_method(the_cell, Method(name="vip"), tmp_path / "vip", FULL, {})
    (path,) = (tmp_path / "vip").iterdir()
    sizes = np.stack(read_run(path).table("rounds")["pool_histogram"]).sum(axis=1)
    assert sizes.tolist() == [int((the_cell.path().arrival_M <= k).sum()) for k in range(PROBLEM.num_rounds)]


def test_random_matched_is_refused_before_anything_runs():
    settings = LeaderboardSettings(
        scenarios=(f"beta(1, 1) under {TEXT}",), allocators=("uniform", "random_matched"), num_prompts=60, num_rounds=40
    )
    with pytest.raises(InvalidValueError, match="needs a fixed pool; leave it out where prompts arrive"):
        settings.check()


def test_a_cell_without_arrivals_starts_with_the_whole_pool():
    assert Cell(Scenario(), PROBLEM, 0).start_problem == PROBLEM
    assert cell().start_problem.num_prompts == 30
    assert Cell(Scenario(), PROBLEM, 0).growing_optimum is None


def test_the_leaderboard_says_what_regret_is_in_a_growing_pool(tmp_path):
    for scenario, told in (("beta(1, 1)", False), (f"beta(1, 1) under {TEXT}", True)):
        settings = LeaderboardSettings(
            name=f"told_{told}",
            out=tmp_path,
            allocators=("cero", "uniform"),
            scenarios=(scenario,),
            num_prompts=30,
            num_rounds=10,
            seeds=2,
        )
        run_experiment(settings, workers=1, quiet=True)
        assert ("knows all arrivals from the start" in Summary(load_runs(settings.directory)).markdown()) == told


def test_the_code_of_the_page_runs_as_it_stands():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    scope = {}
    exec(code, scope)
    assert scope["ledger"].problem.num_prompts == 75
    assert (scope["ledger"].exposure_M[50:] > 0).any()
    assert scope["ledger"].remaining == 0


def test_the_template_allocator_is_extended_without_code_of_its_own(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1] / "examples")
    own_registry(monkeypatch)
    registry.import_plugins(["least_visited"])
    outcome, ledger, _ = run(cell(), "least_visited")
    assert (ledger.exposure_M[:52] > 10).all()
    assert ledger.exposure_M[52:].tolist() == [8] * 8  # the last rounds, one unit each
    assert outcome.value > 0
