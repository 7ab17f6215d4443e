import heapq
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import AllocationProblem, utility
from cerolab.errors import InvalidValueError
from cerolab.optimum import (
    checked_rates,
    feasible_plan,
    first_round_of_plan,
    largest_gains,
    solve_static,
    solve_static_continuous,
    solve_static_cvxpy,
)
from cerolab.optimum.value import static_value
from tests.reference.naive_utility import best_integer_exposure_brute


@st.composite
def problems(draw, max_prompts=12, max_rounds=12, max_units=3):
    num_prompts, num_rounds = draw(st.integers(1, max_prompts)), draw(st.integers(1, max_rounds))
    most = draw(st.integers(1, max_units))
    capacity = draw(st.integers(1, num_prompts * most))
    return AllocationProblem(
        num_prompts=num_prompts,
        num_rounds=num_rounds,
        budget=draw(st.integers(1, num_rounds * capacity)),
        capacity=capacity,
        max_units=most,
        saturation=draw(st.sampled_from([0.2, 1.0, 4.0])),
    )


KINDS = ("uniform", "equal", "zero", "clustered", "tiny", "some zero", "mixed scales")


def rates(kind, size, rng):
    if kind == "uniform":
        return rng.uniform(0.0, 0.25, size)
    if kind == "equal":
        return np.full(size, 0.2)
    if kind == "zero":
        return np.zeros(size)
    if kind == "clustered":
        return rng.choice([0.05, 0.16, 0.25], size)
    if kind == "tiny":
        return 1e-12 * rng.uniform(0.5, 1.5, size)
    if kind == "some zero":
        return rng.uniform(0.0, 0.25, size) * (rng.random(size) < 0.5)
    return 0.25 * 10.0 ** rng.uniform(-12, 0, size)


RATE_KIND = st.sampled_from(KINDS)
SEED = st.integers(0, 10**6)


def value_by_heap(rate, problem):
    # One unit at a time to the prompt with the largest next gain (22).
    c = 4.0 * problem.saturation * np.asarray(rate) / (problem.budget / problem.num_prompts)
    heap = [(math.expm1(-x), i, 0) for i, x in enumerate(c.tolist())]
    heapq.heapify(heap)
    total = 0.0
    for _ in range(problem.budget):
        if not heap:
            break
        loss, i, had = heapq.heappop(heap)
        total -= loss
        if had + 1 < problem.num_rounds * problem.max_units:
            heapq.heappush(heap, (loss * math.exp(-c[i]), i, had + 1))
    return total


def check_exposure(best, rate, problem):
    exposure = best.exposure
    assert (exposure >= 0).all()
    assert (exposure <= problem.horizon_exposure).all()
    assert best.value == pytest.approx(static_value(rate, exposure, problem), rel=1e-12, abs=0.0)
    # Everything that can be worth anything is spent: no unit of budget is left while a live prompt has room.
    could = min(problem.budget, problem.horizon_exposure * np.count_nonzero(rate))
    if exposure.dtype.kind == "i":
        assert exposure.sum() == could
    else:
        assert exposure.sum() == pytest.approx(could, rel=1e-9)
        assert exposure.sum() <= problem.budget * (1 + 1e-15)
    assert best.multiplier >= 0.0
    assert -1e-12 * best.value <= best.gap <= 1e-9 * best.value  # the certificate closes


# --- integers --------------------------------------------------------------------------------------------------


@given(problems(max_prompts=3, max_rounds=3, max_units=2), RATE_KIND, SEED)
def test_static_optimum_equals_brute_force(problem, kind, seed):
    rate = rates(kind, problem.num_prompts, np.random.default_rng(seed))
    best = solve_static(rate, problem)
    check_exposure(best, rate, problem)
    brute, _ = best_integer_exposure_brute(
        rate.tolist(), problem.saturation, problem.exposure_scale, problem.budget, problem.horizon_exposure
    )
    assert best.value == pytest.approx(brute, rel=1e-11, abs=0.0)


@given(problems(), RATE_KIND, SEED)
def test_static_optimum_equals_a_heap_of_gains(problem, kind, seed):
    rate = rates(kind, problem.num_prompts, np.random.default_rng(seed))
    best = solve_static(rate, problem)
    assert best.exposure.dtype == np.int64
    check_exposure(best, rate, problem)
    assert best.value == pytest.approx(value_by_heap(rate, problem), rel=1e-9, abs=0.0)


@given(problems(), RATE_KIND, SEED, SEED)
def test_no_feasible_exposure_is_worth_more_than_the_static_optimum(problem, kind, seed, other):
    rng = np.random.default_rng(other)
    rate = rates(kind, problem.num_prompts, np.random.default_rng(seed))
    best = solve_static(rate, problem)
    for _ in range(5):
        exposure = rng.integers(0, problem.horizon_exposure + 1, problem.num_prompts)
        while exposure.sum() > problem.budget:
            exposure = exposure // 2
        assert static_value(rate, exposure, problem) <= best.value * (1 + 1e-12)


@given(problems(), RATE_KIND, SEED)
def test_swapping_one_unit_never_helps(problem, kind, seed):
    rate = rates(kind, problem.num_prompts, np.random.default_rng(seed))
    best = solve_static(rate, problem)
    c, z = utility.curvature(rate, problem), best.exposure
    gain = utility.value(c, 1.0) * np.exp(-c * z)
    loss = utility.value(c, 1.0) * np.exp(-c * (z - 1.0))
    takers, givers = gain[z < problem.horizon_exposure], loss[z > 0]
    if takers.size and givers.size:
        assert takers.max() <= givers.min() * (1 + 1e-9)
        assert takers.max() <= best.multiplier * (1 + 1e-9) or best.multiplier == 0.0


@given(problems(max_rounds=6), RATE_KIND, SEED)
def test_value_grows_with_the_budget_and_ever_more_slowly(problem, kind, seed):
    rate = rates(kind, problem.num_prompts, np.random.default_rng(seed))

    def value(budget):  # lambda moves with the budget, so that the utilities stay the same
        saturation = problem.saturation * budget / problem.budget
        changed = AllocationProblem(
            num_prompts=problem.num_prompts,
            num_rounds=problem.num_rounds,
            budget=budget,
            capacity=problem.num_prompts * problem.max_units,
            max_units=problem.max_units,
            saturation=saturation,
        )
        return solve_static(rate, changed).value

    most = problem.num_rounds * problem.num_prompts * problem.max_units
    values = np.array([value(budget) for budget in range(1, min(most, 25) + 1)])
    gains = np.diff(values)
    tolerance = 1e-11 * values[-1]
    assert (gains >= -tolerance).all()
    assert (np.diff(gains) <= 2 * tolerance).all()


def test_a_budget_of_the_whole_capacity_gives_everybody_everything():
    problem = AllocationProblem(num_prompts=7, num_rounds=5, budget=70, capacity=14, max_units=2)
    rate = np.linspace(0.01, 0.25, 7)
    for best in (solve_static(rate, problem), solve_static_continuous(rate, problem)):
        np.testing.assert_array_equal(best.exposure, 10)
        assert best.gap == pytest.approx(0.0, abs=1e-12)
        assert best.multiplier == 0.0  # the budget does not bind


def test_a_worthless_pool_is_left_alone():
    problem = AllocationProblem(num_prompts=4, num_rounds=5, budget=9, capacity=3)
    for best in (solve_static(np.zeros(4), problem), solve_static_continuous(np.zeros(4), problem)):
        assert not best.exposure.any()
        assert best.value == best.upper_bound == best.multiplier == 0.0


def test_only_prompts_of_worth_are_served_and_the_rest_of_the_budget_stays():
    problem = AllocationProblem(num_prompts=4, num_rounds=3, budget=9, capacity=3)
    best = solve_static([0.0, 0.25, 0.0, 1e-12], problem)
    assert best.exposure.tolist() == [0, 3, 0, 3]


def test_equal_prompts_share_alike():
    problem = AllocationProblem(num_prompts=4, num_rounds=10, budget=22, capacity=4)
    best = solve_static(np.full(4, 0.2), problem)
    assert sorted(best.exposure.tolist()) == [5, 5, 6, 6]
    np.testing.assert_allclose(solve_static_continuous(np.full(4, 0.2), problem).exposure, 5.5)


def test_one_prompt_takes_the_budget():
    problem = AllocationProblem(num_prompts=1, num_rounds=10, budget=12, capacity=2, max_units=2)
    assert solve_static([0.1], problem).exposure.tolist() == [12]
    assert solve_static_continuous([0.1], problem).exposure.tolist() == pytest.approx([12.0])
    assert solve_static([0.1], problem).value == pytest.approx(1 - math.exp(-0.4))


@pytest.mark.parametrize("smallest", [1e-300, 1e-310, 5e-324])
def test_rates_next_to_nothing_do_no_harm(smallest):
    problem = AllocationProblem(num_prompts=2, num_rounds=10, budget=15, capacity=4, max_units=2)
    for best in (solve_static([0.25, smallest], problem), solve_static_continuous([0.25, smallest], problem)):
        assert best.value == pytest.approx(1 - math.exp(-15 / 7.5), rel=1e-9)
        assert best.gap <= 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_a_pool_of_fifty_thousand_equals_sorting_all_gains(kind):
    size, rounds = 50_000, 12
    problem = AllocationProblem(num_prompts=size, num_rounds=rounds, budget=200_001, capacity=20_000)
    rate = rates(kind, size, np.random.default_rng(1))
    best = solve_static(rate, problem)
    check_exposure(best, rate, problem)
    c = utility.curvature(rate, problem)
    gains = np.sort((-np.expm1(-c)[:, None] * np.exp(-c[:, None] * np.arange(rounds))).ravel())
    assert best.value == pytest.approx(gains[-problem.budget :].sum(), rel=1e-11, abs=0.0)


def test_more_equal_gains_than_the_repair_step_sorts_are_shared_out():
    problem = AllocationProblem(num_prompts=300_000, num_rounds=2, budget=150_001, capacity=150_000)
    best = solve_static(np.full(300_000, 0.2), problem)
    check_exposure(best, np.full(300_000, 0.2), problem)
    assert best.exposure.max() == 1
    problem = AllocationProblem(num_prompts=300_000, num_rounds=3, budget=500_001, capacity=300_000)
    check_exposure(solve_static(np.full(300_000, 1e-25), problem), np.full(300_000, 1e-25), problem)


# --- real exposures --------------------------------------------------------------------------------------------


@given(problems(), RATE_KIND, SEED)
def test_continuous_optimum_closes_its_certificate_and_is_above_the_integer_one(problem, kind, seed):
    rate = rates(kind, problem.num_prompts, np.random.default_rng(seed))
    best = solve_static_continuous(rate, problem)
    check_exposure(best, rate, problem)
    assert best.value >= solve_static(rate, problem).value * (1 - 1e-12)


@pytest.mark.parametrize("budget", [1, 2000, 2345, 4999])
@pytest.mark.parametrize("scale", [1e-6, 1e-9, 1e-12, 1e-15, 1e-18, 1e-100])
@pytest.mark.parametrize("equal", [True, False])
def test_optima_of_tiny_rates_spend_the_budget(scale, equal, budget):
    # Gains that differ by less than a rounding step, between prompts or from one unit to the next.
    problem = AllocationProblem(num_prompts=5, num_rounds=1000, budget=budget, capacity=5)
    rate = scale * (np.full(5, 0.2) if equal else np.array([0.25, 0.11, 0.2, 0.24, 0.05]))
    for best in (solve_static(rate, problem), solve_static_continuous(rate, problem)):
        check_exposure(best, rate, problem)
        if scale < 1e-9 and not equal:  # linear to all purposes: the best prompts get all they can
            full = [0, 3, 2, 1, 4]
            expected = np.zeros(5)
            for rank, i in enumerate(full):
                expected[i] = np.clip(budget - 1000 * rank, 0, 1000)
            np.testing.assert_allclose(best.exposure, expected, atol=1e-3)


@pytest.mark.parametrize("seed", range(12))
def test_continuous_optimum_equals_a_convex_solver(seed):
    rng = np.random.default_rng(seed)
    num_prompts, num_rounds, most = int(rng.integers(2, 15)), int(rng.integers(2, 20)), int(rng.integers(1, 4))
    capacity = int(rng.integers(1, num_prompts * most + 1))
    problem = AllocationProblem(
        num_prompts=num_prompts,
        num_rounds=num_rounds,
        budget=int(rng.integers(1, num_rounds * capacity + 1)),
        capacity=capacity,
        max_units=most,
        saturation=float(rng.choice([0.5, 1.0, 3.0])),
    )
    rate = rates(("uniform", "clustered", "some zero", "equal")[seed % 4], num_prompts, rng)
    best, solver = solve_static_continuous(rate, problem), solve_static_cvxpy(rate, problem)
    assert best.value == pytest.approx(solver.value, rel=1e-6, abs=1e-6)
    assert best.value >= solver.value - 1e-9  # a feasible exposure cannot beat the optimum
    assert solver.gap <= 1e-4
    assert solver.exposure.sum() <= problem.budget * (1 + 1e-12)


def test_water_filling_by_hand():
    # R = 1, c = (1, 1/2), Z = 4, B = 2: log(1/xi) + 2 log(1/(2 xi)) = 2.
    problem = AllocationProblem(num_prompts=2, num_rounds=4, budget=2, capacity=1)
    log_xi = (-2 - 2 * math.log(2)) / 3
    best = solve_static_continuous([0.25, 0.125], problem)
    assert best.multiplier == pytest.approx(math.exp(log_xi))
    np.testing.assert_allclose(best.exposure, [-log_xi, 2 * (-math.log(2) - log_xi)])


# --- the largest gains from where the prompts stand ------------------------------------------------------------


@st.composite
def standings(draw):
    size = draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(SEED))
    c = rng.choice([0.0, 0.05, 0.3, 1.0], size) if draw(st.booleans()) else rng.exponential(0.3, size)
    start = rng.integers(0, 8, size)
    most = rng.integers(0, 7, size) if draw(st.booleans()) else draw(st.integers(0, 7))
    return c, start, most, draw(st.integers(0, 40))


@given(standings())
def test_largest_gains_from_a_start_equal_greedy_steps(drawn):
    c, start, most, budget = drawn
    units, log_threshold = largest_gains(c, start, most, budget)
    room = np.broadcast_to(most, c.shape)
    assert units.dtype == np.int64
    assert ((units >= 0) & (units <= room)).all()
    assert not units[c == 0].any()
    assert units.sum() == min(budget, room[c > 0].sum())
    if budget == 0:
        return
    taken = np.zeros(c.size, int)
    gained, last = 0.0, math.inf
    for _ in range(units.sum()):
        gain = np.where(taken < room, -np.expm1(-c) * np.exp(-c * (start + taken)), -1.0)
        best = int(gain.argmax())
        gained, last = gained + gain[best], float(gain[best])
        taken[best] += 1
    value = utility.value(c, start + units) - utility.value(c, start)
    assert value.sum() == pytest.approx(gained, rel=1e-9, abs=1e-15)
    if budget >= room[c > 0].sum():
        assert log_threshold == -math.inf
    else:
        assert math.exp(log_threshold) == pytest.approx(last, rel=1e-9)


def test_largest_gains_of_an_empty_budget_are_none():
    units, _ = largest_gains(np.array([0.1, 0.2]), np.zeros(2, np.int64), 5, 0)
    assert units.tolist() == [0, 0]


def test_largest_gains_count_what_a_prompt_already_has():
    # Three units ahead, the first prompt's next gain equals the second prompt's first.
    c = np.array([0.5, 0.5])
    assert largest_gains(c, np.array([3, 0]), 10, 3)[0].tolist() == [0, 3]
    assert largest_gains(c, np.array([3, 0]), 10, 7)[0].tolist() == [2, 5]
    assert largest_gains(c, np.array([3, 0]), np.array([10, 1]), 4)[0].tolist() == [3, 1]


# --- laying exposures out over the rounds (23) -----------------------------------------------------------------


@st.composite
def exposures(draw):
    problem = draw(problems(max_prompts=10, max_rounds=10, max_units=4))
    rng = np.random.default_rng(draw(SEED))
    exposure = rng.integers(0, problem.horizon_exposure + 1, problem.num_prompts)
    order = rng.permutation(problem.num_prompts)
    over = exposure.sum() - problem.budget
    for i in order:  # cut down to the budget, often to exactly the budget
        cut = int(np.clip(over, 0, exposure[i]))
        exposure[i] -= cut
        over -= cut
    return problem, exposure


@given(exposures())
def test_plan_is_feasible_in_every_round_and_reproduces_the_exposure(drawn):
    problem, exposure = drawn
    plan = feasible_plan(exposure, problem.num_rounds)
    assert len(plan) == problem.num_rounds
    total = np.zeros(problem.num_prompts, int)
    for prompts, units in plan:
        assert (np.diff(prompts) > 0).all()
        assert ((units >= 1) & (units <= problem.max_units)).all()
        assert units.sum() <= problem.capacity
        total[prompts] += units
    np.testing.assert_array_equal(total, exposure)


@given(exposures())
def test_plan_puts_the_rth_unit_in_the_round_of_the_paper(drawn):
    problem, exposure = drawn
    expected = np.zeros((problem.num_rounds, problem.num_prompts), int)
    for r, i in enumerate(np.repeat(np.arange(problem.num_prompts), exposure)):
        expected[r % problem.num_rounds, i] += 1  # (23), r from 0
    got = np.zeros_like(expected)
    for k, (prompts, units) in enumerate(feasible_plan(exposure, problem.num_rounds)):
        got[k, prompts] = units
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(first_round_of_plan(exposure, problem.num_rounds), expected[0])


def test_first_round_of_a_plan_by_hand():
    assert first_round_of_plan(np.array([2, 3, 0, 4]), 3).tolist() == [1, 1, 0, 1]
    assert first_round_of_plan(np.array([7]), 2).tolist() == [4]


def test_plan_of_nothing_has_empty_rounds():
    plan = feasible_plan(np.zeros(3, np.int64), 2)
    assert [prompts.size for prompts, _ in plan] == [0, 0]


@given(problems(), RATE_KIND, SEED)
def test_the_static_optimum_can_be_executed(problem, kind, seed):
    best = solve_static(rates(kind, problem.num_prompts, np.random.default_rng(seed)), problem)
    plan = feasible_plan(best.exposure, problem.num_rounds)
    assert max(int(units.sum()) for _, units in plan) <= problem.capacity
    assert max((int(units.max()) for _, units in plan if units.size), default=0) <= problem.max_units


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "field"),
    [
        ([0.1, 0.2], "rate"),
        ([[0.1, 0.2, 0.1]], "rate"),
        (0.1, "rate"),
        ([0.1, 0.26, 0.1], "rate[1]"),
        ([0.1, 0.2, -1e-9], "rate[2]"),
        ([math.nan, 0.2, 0.1], "rate[0]"),
        ([0.1, math.inf, 0.1], "rate[1]"),
    ],
)
@pytest.mark.parametrize("solver", [checked_rates, solve_static, solve_static_continuous, solve_static_cvxpy])
def test_rates_that_are_no_variances_are_refused(rate, field, solver):
    problem = AllocationProblem(num_prompts=3, num_rounds=2, budget=2, capacity=2)
    with pytest.raises(InvalidValueError) as caught:
        solver(rate, problem)
    assert caught.value.field == field


def test_rates_at_the_ends_of_their_range_are_accepted():
    problem = AllocationProblem(num_prompts=2, num_rounds=2, budget=2, capacity=2)
    np.testing.assert_array_equal(checked_rates([0, 0.25], problem), [0.0, 0.25])


@pytest.mark.parametrize("seed", range(5))
def test_integer_optimum_equals_a_general_solver_of_the_integer_problem(seed):
    rng = np.random.default_rng(seed)
    problem = AllocationProblem(num_prompts=30, num_rounds=20, budget=150, capacity=9, max_units=2)
    rate = rng.beta(0.5, 0.5, 30) * 0.25
    best, checked = solve_static(rate, problem), solve_static_cvxpy(rate, problem, integer=True)
    assert best.value == pytest.approx(checked.value, rel=1e-9)
    assert checked.exposure.sum() == best.exposure.sum() == 150
