"""The pure loop and one cell of an experiment: values, regret, pairing, and what the recorder keeps."""

import numpy as np
import pytest

from cerolab import AllocationProblem, BudgetLedger, available, optimum, regret
from cerolab.allocator import NoOptions
from cerolab.records import read_run, read_schedule
from cerolab.registry import allocator_class
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.loop import simulate
from sim.experiment.runs import run_method, summary

PROBLEM = AllocationProblem(num_prompts=60, num_rounds=40, budget=1200, capacity=31, max_units=2, responses_per_unit=4)
NAMES = available()
FULL = ("rounds", "groups", "pool")


def cell(population="beta(0.5, 0.5)", dynamics="static", rewards="binary", seed=0, problem=PROBLEM):
    return Cell(Scenario(population=population, dynamics=dynamics, rewards=rewards), problem, seed)


def run(the_cell, name, **options):
    path, rewards, ledger = the_cell.path(), the_cell.rewards(), BudgetLedger(the_cell.problem)
    allocator = the_cell.allocator(Method(name=name, options=options), path, rewards)
    views = []

    def keep(view):
        views.append((view.waves, view.price, view.exposure_before_M.copy(), view.value))

    return simulate(allocator, path, rewards, ledger, keep), ledger, views


@pytest.mark.parametrize("name", NAMES)
def test_the_value_is_that_of_the_terminal_exposures(name):
    the_cell = cell()
    outcome, ledger, _ = run(the_cell, name)
    q = the_cell.success_M * (1 - the_cell.success_M)
    assert outcome.value == pytest.approx(regret.static_value(q, ledger.exposure_M, PROBLEM), abs=1e-9)
    assert ledger.units <= PROBLEM.budget


@pytest.mark.parametrize("name", ["cero", "uniform", "cero_greedy"])
def test_under_drift_the_value_is_that_of_the_plan_along_the_path(name):
    the_cell = cell(dynamics="drift(2)")
    outcome, ledger, views = run(the_cell, name)
    units_KM = np.zeros((PROBLEM.num_rounds, PROBLEM.num_prompts))
    for k, (waves, *_) in enumerate(views):
        for allocation, _ in waves:
            units_KM[k, allocation.prompts] += allocation.units
    assert np.array_equal(units_KM.sum(axis=0), ledger.exposure_M)
    assert outcome.value == pytest.approx(regret.path_value(the_cell.rate_path_KM, units_KM, PROBLEM), abs=1e-9)
    assert outcome.value <= the_cell.optimum[0] + 1e-9


def test_the_oracle_has_no_regret_and_nobody_has_less():
    the_cell = cell()
    for name in NAMES:
        outcome, ledger, _ = run(the_cell, name)
        lost = summary(the_cell, outcome, ledger)["regret_per_prompt"]
        assert lost >= -1e-12
        if name == "oracle":
            assert lost == pytest.approx(0.0, abs=1e-12)


def test_the_oracle_beats_all_under_drift_it_cannot_foresee_but_stays_below_the_bound():
    the_cell = cell(dynamics="drift(1)")
    values = {name: run(the_cell, name)[0].value for name in ("oracle", "uniform", "cero")}
    assert values["oracle"] == max(values.values())
    assert values["oracle"] <= the_cell.optimum[0]


def test_estimation_error_is_the_mean_over_all_rounds_and_prompts():
    the_cell = cell()
    path, rewards, ledger = the_cell.path(), the_cell.rewards(), BudgetLedger(PROBLEM)
    allocator = the_cell.allocator(Method(name="cero"), path, rewards)
    q = rewards.variance(the_cell.success_M)
    errors = []
    simulate(allocator, path, rewards, ledger, lambda _: errors.append(np.abs(allocator.predicted_value() - q).mean()))
    again = run(the_cell, "cero")[0]
    assert again.estimation_error == pytest.approx(np.mean(errors), rel=1e-12)
    assert len(errors) == PROBLEM.num_rounds
    assert np.isnan(run(the_cell, "uniform")[0].estimation_error)


def test_every_method_meets_the_same_luck():
    the_cell = cell()
    seen = {}
    for name in ("cero", "uniform"):
        _, _, views = run(the_cell, name)
        counts = np.zeros((PROBLEM.num_prompts, 2), int)
        outcomes = [[] for _ in range(PROBLEM.num_prompts)]
        for waves, *_ in views:
            for allocation, feedback in waves:
                for prompt, n, s in zip(allocation.prompts, feedback.num_responses, feedback.reward_sum, strict=True):
                    counts[prompt] += (n, s)
                    outcomes[prompt].append((counts[prompt, 0], counts[prompt, 1]))
        seen[name] = [dict(pairs) for pairs in outcomes]
    shared = 0
    for ours, theirs in zip(seen["cero"], seen["uniform"], strict=True):
        for n in ours.keys() & theirs.keys():
            assert ours[n] == theirs[n]  # the same successes among the first n responses
            shared += 1
    assert shared > 100


def test_random_matched_spends_as_its_model_does():
    the_cell = cell()
    _, cero, _ = run(the_cell, "cero")
    _, matched, _ = run(the_cell, "random_matched", matches="cero")
    assert np.array_equal(np.sort(cero.exposure_M), np.sort(matched.exposure_M))
    assert not np.array_equal(cero.exposure_M, matched.exposure_M)


def test_learning_has_accuracy_and_no_regret():
    the_cell = cell(dynamics="learning(1)")
    results = summary(the_cell, *run(the_cell, "cero")[:2])
    assert results["regret"] is None
    assert results["optimum_kind"] is None
    assert results["heldout_end"] > results["heldout_start"]


def test_graded_rewards_reach_the_posterior():
    the_cell = cell(rewards="graded(4)")
    results = summary(the_cell, *run(the_cell, "cero")[:2])
    assert results["estimation_error"] < 0.12
    assert results["regret_per_prompt"] >= 0


def test_records_hold_what_happened(tmp_path):
    the_cell = cell()
    results = run_method(the_cell, Method(name="cero"), tmp_path / "tests", FULL, {})
    (path,) = (tmp_path / "tests").iterdir()
    record = read_run(path)
    rounds, groups, pool = (record.table(name) for name in FULL)
    assert record.info["results"] == results
    assert len(rounds) == PROBLEM.num_rounds
    assert rounds["units"].sum() == groups["units"].sum() == pool["exposure"].sum() == results["units_spent"]
    assert rounds["remaining_units"].iloc[-1] == PROBLEM.budget - results["units_spent"]
    assert rounds["groups"].sum() == len(groups) == results["groups"]
    assert rounds["effective_groups"].sum() == results["effective_groups"]
    assert rounds["value"].iloc[-1] == pytest.approx(results["value"])
    assert rounds["price"].iloc[0] == 0.5
    assert (rounds["virtual_units"] >= rounds["units"]).all()
    assert (np.stack(rounds["pool_histogram"]).sum(axis=1) == PROBLEM.num_prompts).all()
    first = groups.groupby("prompt").first()
    assert (first["exposure_before"] == 0).all()
    assert (first["predicted_success"] == 0.5).all()
    assert groups["reward_mean"].to_numpy() == pytest.approx((groups["reward_sum"] / groups["responses"]).to_numpy())
    q = the_cell.success_M * (1 - the_cell.success_M)
    assert pool["optimal_exposure"].tolist() == optimum.solve_static(q, PROBLEM).exposure.tolist()
    replay = read_schedule(path)
    assert sum(allocation.num_units for allocation in replay) == results["units_spent"]


@pytest.mark.parametrize("horizon", [400])
def test_bound_11_holds_and_says_something_at_long_horizons(horizon):
    problem = AllocationProblem(
        num_prompts=50, num_rounds=horizon, budget=25 * horizon, capacity=26, max_units=2, responses_per_unit=4
    )
    results = summary(cell(problem=problem), *run(cell(problem=problem), "cero")[:2])
    assert results["bound_total"] < 1
    assert results["regret_per_prompt"] <= results["bound_total"]


class HalfTrained(allocator_class("uniform")):
    """Uniform, but only every second group of a round is trained on."""

    def training_mask(self, round_feedback):
        return np.arange(super().training_mask(round_feedback).size) % 2 == 0


class Untrained(allocator_class("uniform")):
    """Uniform, but no group is trained on."""

    def training_mask(self, round_feedback):
        return np.zeros(super().training_mask(round_feedback).size, bool)


def test_only_groups_that_are_trained_on_teach_and_the_record_says_which(tmp_path, monkeypatch):
    gains, updates = {}, {}
    for kind in (allocator_class("uniform"), HalfTrained, Untrained):
        the_cell = cell(dynamics="learning(1)")
        monkeypatch.setattr(Cell, "allocator", lambda self, *_, kind=kind: kind(self.problem, 0, NoOptions()))
        results = run_method(the_cell, Method(name="uniform"), tmp_path / kind.__name__, (*FULL, "evals"), {})
        gains[kind.__name__] = results["heldout_end"] - results["heldout_start"]
        (path,) = (tmp_path / kind.__name__).iterdir()
        run_record = read_run(path)
        rounds, groups, evals = (run_record.table(name) for name in ("rounds", "groups", "evals"))
        assert rounds["trained_groups"].sum() == groups["trained"].sum()
        updates[kind.__name__] = int(rounds["updated"].sum())
        assert evals["avg_at_n"].iloc[0] == pytest.approx(results["heldout_start"], rel=1e-11)
        assert evals["responses_spent"].is_monotonic_increasing
    assert gains["Uniform"] > gains["HalfTrained"] > gains["Untrained"] == 0
    assert (updates["Uniform"], updates["Untrained"]) == (PROBLEM.num_rounds, 0)


def test_the_record_keeps_all_options_and_the_rates_of_the_first_round(tmp_path):
    moving = cell(population="point(0)", dynamics="drift(0)")
    run_method(moving, Method(name="cero"), tmp_path / "tests", FULL, {})
    (path,) = (tmp_path / "tests").iterdir()
    record = read_run(path)
    assert record.info["options"] == {}
    assert record.info["resolved_options"]["price"] == 0.5
    assert (record.table("pool")["true_success_start"] == record.table("groups")["true_success"].iloc[0]).all()
