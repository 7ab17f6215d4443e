"""Every allocator at the corners of the problem."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cerolab import AllocationProblem, BudgetLedger, Feedback, available, make
from cerolab.optimum import solve_static
from cerolab.regret import static_regret
from tests.strategies import Scenario, play

NAMES = available()
HALF = 0.5
PRICED = ("cero", "dual_mirror_descent")
REFUSES = ("greso", "speed")  # prompts, by their rule, however many units are left over
SPENDS_ALL = [name for name in NAMES if name not in (*PRICED, *REFUSES, "uniform", "oracle", "random_matched")]
VARIES_GROUPS = ("oracle", "knapsack", "coba", "vip", "hora", "reinforce_ada", "reinforce_ada_est", "speed")


def size(**changed: int) -> AllocationProblem:
    sizes = {"num_prompts": 5, "num_rounds": 6, "budget": 14, "capacity": 4, "max_units": 2, "responses_per_unit": 2}
    return AllocationProblem(**{**sizes, **changed})


CORNERS = {
    "M=1": size(num_prompts=1, capacity=2, budget=7),
    "K=1": size(num_rounds=1, budget=3),
    "B=1": size(budget=1),
    "C=1": size(capacity=1, budget=6),
    "B=K*C": size(budget=24),
    "C=M*N_max": size(capacity=10, budget=30),
    "C=M*N_max and B=K*C": size(capacity=10, budget=60),
    "M=K=B=C=1": size(num_prompts=1, num_rounds=1, budget=1, capacity=1, max_units=1, responses_per_unit=1),
    "N_max does not divide C": size(capacity=7, max_units=3, budget=40),
    "N_max above C": size(capacity=2, max_units=5, budget=9),
    "N_max above B": size(capacity=9, max_units=9, budget=4),
    "budget of one round": size(capacity=10, budget=10, num_rounds=20),
    "fewer units than rounds": size(num_rounds=30, budget=4),
    "one response a unit": size(responses_per_unit=1),
}
POOLS = {
    "all hopeless": lambda m: (0.0,) * m,
    "all solved": lambda m: (1.0,) * m,
    "hopeless and solved": lambda m: tuple(float(i % 2) for i in range(m)),
    "one learnable": lambda m: (*(0.0,) * (m - 1), HALF),
    "all alike": lambda m: (HALF,) * m,
    "mixed": lambda m: tuple((i + 1) / (m + 1) for i in range(m)),
}


def scenario(name: str, corner: str, pool: str, **changed: object) -> Scenario:
    problem = CORNERS[corner]
    return replace(Scenario(name, problem, POOLS[pool](problem.num_prompts)), **changed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("pool", POOLS)
def test_a_whole_horizon_is_feasible(name, corner, pool):
    case = scenario(name, corner, pool)
    result = play(case.make(), case.problem, case.luck)
    assert sum(wave.last_wave for wave in result.allocations) == case.problem.num_rounds
    assert result.allocator.done
    assert result.allocator.remaining == result.ledger.remaining >= 0
    rate = np.array(case.rates) * (1.0 - np.array(case.rates))
    regret = static_regret(rate, result.ledger.exposure_M, case.problem)
    assert -1e-9 <= regret <= case.problem.num_prompts


@pytest.mark.parametrize("name", SPENDS_ALL)
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("pool", POOLS)
def test_methods_with_a_quota_spend_the_whole_budget(name, corner, pool):
    case = scenario(name, corner, pool)
    assert play(case.make(), case.problem, case.luck).ledger.remaining == 0


@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("pool", POOLS)
def test_the_oracle_reaches_the_exact_optimum(corner, pool):
    case = scenario("oracle", corner, pool)
    result = play(case.make(), case.problem, case.luck)
    rate = np.array(case.rates) * (1.0 - np.array(case.rates))
    assert static_regret(rate, result.ledger.exposure_M, case.problem) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSES])
@pytest.mark.parametrize("pool", POOLS)
def test_where_everything_fits_nobody_has_regret(name, pool):
    options = {"catch_up": True} if name in PRICED else {}  # plain CERO waits for the price to fall
    case = scenario(name, "C=M*N_max and B=K*C", pool, options=options)
    result = play(case.make(), case.problem, case.luck)
    rate = np.array(case.rates) * (1.0 - np.array(case.rates))
    value = solve_static(rate, case.problem).value
    assert static_regret(rate, result.ledger.exposure_M, case.problem) == pytest.approx(0.0, abs=1e-12)
    assert value >= 0.0
    if name != "oracle":  # it leaves out prompts that are worth nothing
        assert result.ledger.exposure_M.tolist() == [case.problem.horizon_exposure] * case.problem.num_prompts


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pool", ["all hopeless", "all solved", "hopeless and solved"])
def test_without_reward_variance_there_is_nothing_to_regret(name, pool):
    case = scenario(name, "N_max does not divide C", pool)
    result = play(case.make(), case.problem, case.luck)
    rate = np.array(case.rates) * (1.0 - np.array(case.rates))
    assert static_regret(rate, result.ledger.exposure_M, case.problem) == 0.0
    if name == "oracle":
        assert result.ledger.units == 0
    if name.startswith("cero"):
        visited = result.ledger.exposure_M > 0
        assert visited.any()
        assert (result.allocator.predicted_value()[visited] < 1.0 / 6.0).all()  # below that of the prior


@pytest.mark.parametrize("name", [name for name in NAMES if name not in VARIES_GROUPS])
def test_where_n_max_does_not_divide_c_at_most_one_group_a_round_is_smaller(name):
    case = scenario(name, "N_max does not divide C", "mixed")
    for allocation in play(case.make(), case.problem, case.luck).allocations:
        assert (allocation.units[:-1] == case.problem.max_units).all()


def test_cero_at_price_zero_fills_rounds_until_the_budget_is_spent_early():
    case = scenario("cero", "budget of one round", "mixed", options={"price": 0.0})
    result = play(case.make(), case.problem, case.luck)
    assert result.units == [10] + [0] * 19
    assert result.ledger.round_index == 20


def test_the_last_units_go_to_the_prompt_with_the_largest_margin():
    problem = size(num_rounds=3, capacity=4, budget=5)
    case = Scenario("cero", problem, (HALF,) * 5, options={"price": 0.0})
    allocator = case.make()
    result = play(allocator, problem, case.luck, rounds=1)
    assert result.units == [4]
    best = np.lexsort((allocator.ties.rank_M, -allocator.slope_M))[0]
    allocation = allocator.allocate()
    assert allocation.prompts.tolist() == [best]
    assert allocation.units.tolist() == [1]


@pytest.mark.parametrize("name", NAMES)
def test_a_budget_spent_early_ends_the_run_for_good(name):
    # The schedule of random_matched is CERO's.
    case = scenario(name, "budget of one round", "mixed", schedule_of="cero")
    ended = []

    def note(result):
        if result.allocator.remaining == 0:
            assert result.allocator.done
            ended.append(len(result.allocations))

    result = play(case.make(), case.problem, case.luck, after_round=note)
    assert sum(result.units[ended[0] :]) == 0 if ended else result.ledger.remaining > 0


@pytest.mark.parametrize("moment", ["after allocate()", "after observe()"])
def test_the_oracle_stays_feasible_and_resumable_where_rates_move(moment):
    problem = size(num_prompts=4, num_rounds=8, budget=18, capacity=4, max_units=1)
    paths = np.random.default_rng(5).choice([0.0, 0.09, 0.2, 0.25], size=(40, 8, 4))
    for path in paths:
        now = path[0]
        oracle = make("oracle", problem, rate=lambda: now)  # noqa: B023
        ledger = BudgetLedger(problem)
        for round_index in range(problem.num_rounds):
            if moment == "after observe()":
                now = path[round_index]
            allocation = oracle.allocate()
            ledger.spend(allocation)
            if moment == "after allocate()":  # as when rollouts themselves change the policy
                now = path[round_index]
            oracle.observe(allocation, Feedback(allocation.units * 2, allocation.units * 0))
            ledger.end_round(updated=True)
            assert oracle.remaining == ledger.remaining
            oracle.load_state_dict(oracle.state_dict())
