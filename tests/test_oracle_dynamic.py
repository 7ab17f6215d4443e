import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cerolab import AllocationProblem, utility
from cerolab.errors import InvalidValueError
from cerolab.optimum import dynamic_upper_bound, feasible_plan, solve_dynamic, solve_static
from cerolab.optimum.value import path_value, path_variation
from tests.reference.naive_utility import best_dynamic_brute

SOLVER = 1e-6  # HiGHS stops at a dual infeasibility of 1e-7 a row
FEWER = settings(max_examples=max(5, settings.default.max_examples // 3))  # two or three solver calls an example


@st.composite
def instances(draw, max_prompts=3, max_rounds=4, max_units=2):
    num_prompts, num_rounds = draw(st.integers(1, max_prompts)), draw(st.integers(1, max_rounds))
    most = draw(st.integers(1, max_units))
    capacity = draw(st.integers(1, num_prompts * most))
    problem = AllocationProblem(
        num_prompts=num_prompts,
        num_rounds=num_rounds,
        budget=draw(st.integers(1, num_rounds * capacity)),
        capacity=capacity,
        max_units=most,
        saturation=draw(st.sampled_from([0.3, 1.0, 3.0])),
    )
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = (num_rounds, num_prompts)
    kind = draw(st.sampled_from(["free", "coarse", "on and off", "rising"]))
    if kind == "free":
        path = rng.uniform(0.0, 0.25, shape)
    elif kind == "coarse":
        path = rng.integers(0, 6, shape) / 20
    elif kind == "on and off":
        path = 0.25 * rng.integers(0, 2, shape)
    else:
        path = np.sort(rng.uniform(0.0, 0.25, shape), axis=0)
    return problem, path


def check_plan(units, problem):
    assert units.shape == (problem.num_rounds, problem.num_prompts)
    assert units.dtype == np.int64
    assert ((units >= 0) & (units <= problem.max_units)).all()
    assert (units.sum(axis=1) <= problem.capacity).all()
    assert units.sum() <= problem.budget


def value_by_loop(path, units, problem):
    total = 0.0
    for i in range(problem.num_prompts):
        z = 0
        for k in range(problem.num_rounds):
            c = 4 * problem.saturation * path[k][i] * problem.num_prompts / problem.budget
            total += math.exp(-c * z) - math.exp(-c * (z + units[k][i]))
            z += units[k][i]
    return total


# --- the value of a plan along a path --------------------------------------------------------------------------


@given(instances(), st.integers(0, 10**6))
def test_path_value_equals_a_loop_over_the_rounds(instance, seed):
    problem, path = instance
    units = np.random.default_rng(seed).integers(0, problem.max_units + 1, path.shape)
    assert path_value(path, units, problem) == pytest.approx(value_by_loop(path, units, problem), abs=1e-12)


@given(instances())
def test_path_variation_is_the_summed_largest_change(instance):
    _, path = instance
    total = 0.0
    for k in range(len(path) - 1):
        total += max(abs(a - b) for a, b in zip(path[k], path[k + 1], strict=True))
    assert path_variation(path) == pytest.approx(total)


def test_a_path_that_stays_has_no_variation():
    assert path_variation(np.full((5, 3), 0.1)) == 0.0
    assert path_variation(np.full((1, 3), 0.1)) == 0.0


# --- the exact optimum -----------------------------------------------------------------------------------------


@FEWER
@given(instances())
def test_dynamic_optimum_equals_brute_force(instance):
    problem, path = instance
    best = solve_dynamic(path, problem)
    brute = best_dynamic_brute(
        path.tolist(),
        problem.capacity,
        problem.budget,
        problem.max_units,
        problem.saturation,
        problem.budget / problem.num_prompts,
    )
    assert best.value == pytest.approx(brute, abs=SOLVER)
    assert best.upper_bound >= brute - SOLVER
    assert best.gap >= -SOLVER


@FEWER
@given(instances(max_prompts=6, max_rounds=6, max_units=3))
def test_dynamic_plan_is_feasible_and_worth_its_value(instance):
    problem, path = instance
    best = solve_dynamic(path, problem)
    check_plan(best.units, problem)
    assert best.value == pytest.approx(path_value(path, best.units, problem), abs=1e-12)
    assert best.value == pytest.approx(value_by_loop(path, best.units, problem), abs=1e-12)


@FEWER
@given(instances(max_prompts=6, max_rounds=5, max_units=3))
def test_on_a_constant_path_the_optimum_is_the_static_one(instance):
    problem, path = instance
    rate = path[0]
    static = solve_static(rate, problem)
    best = solve_dynamic(np.tile(rate, (problem.num_rounds, 1)), problem)
    assert best.value == pytest.approx(static.value, abs=SOLVER)
    plan = np.zeros(best.units.shape, int)  # the plan (23) of the static exposure is worth as much
    for k, (prompts, units) in enumerate(feasible_plan(static.exposure, problem.num_rounds)):
        plan[k, prompts] = units
    assert path_value(np.tile(rate, (problem.num_rounds, 1)), plan, problem) == pytest.approx(static.value, abs=1e-12)


@FEWER
@given(instances(max_prompts=5, max_rounds=6), st.integers(1, 60))
def test_dual_bound_is_above_the_relaxation_which_is_above_the_optimum(instance, num_steps):
    problem, path = instance
    best = solve_dynamic(path, problem)
    bound = dynamic_upper_bound(path, problem, num_steps)
    assert bound >= best.upper_bound - SOLVER  # the dual of the same relaxation cannot be below it
    assert best.upper_bound >= best.value - SOLVER


@given(instances(max_prompts=8, max_rounds=8, max_units=3), st.integers(0, 10**6))
def test_no_feasible_plan_is_above_the_dual_bound(instance, seed):
    problem, path = instance
    bound = dynamic_upper_bound(path, problem, 10)
    rng = np.random.default_rng(seed)
    for _ in range(5):
        units = np.zeros(path.shape, int)
        left = problem.budget
        for k in rng.permutation(problem.num_rounds):  # fill rounds greedily or at random
            room = min(problem.capacity, left)
            order = np.argsort(-path[k]) if rng.random() < 0.7 else rng.permutation(problem.num_prompts)
            for i in order:
                units[k, i] = min(problem.max_units, room)
                room -= units[k, i]
            left -= units[k].sum()
        check_plan(units, problem)
        assert path_value(path, units, problem) <= bound + 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_dual_bound_is_close_where_there_are_many_prompts(seed):
    rng = np.random.default_rng(seed)
    problem = AllocationProblem(num_prompts=40, num_rounds=8, budget=160, capacity=25)
    path = np.clip(rng.uniform(0.0, 0.25, 40) + np.cumsum(rng.normal(0.0, 0.03, (8, 40)), axis=0), 0.0, 0.25)
    best = solve_dynamic(path, problem)
    check_plan(best.units, problem)
    one, many = (dynamic_upper_bound(path, problem, n) for n in (1, 60))
    assert best.upper_bound - SOLVER <= many <= one
    assert many <= best.upper_bound * 1.003
    assert best.gap <= 0.01 * best.value


def test_more_steps_never_loosen_the_dual_bound():
    rng = np.random.default_rng(9)
    problem = AllocationProblem(num_prompts=12, num_rounds=6, budget=30, capacity=8, max_units=2)
    path = rng.uniform(0.0, 0.25, (6, 12))
    bounds = [dynamic_upper_bound(path, problem, n) for n in (1, 2, 5, 10, 20, 40)]
    assert (np.diff(bounds) <= 0.0).all()
    assert bounds[-1] < bounds[0]


@pytest.mark.parametrize("max_units", [127, 128, 200])
def test_dual_bound_takes_caps_of_any_size(max_units):
    problem = AllocationProblem(
        num_prompts=2, num_rounds=2, budget=2 * max_units, capacity=max_units, max_units=max_units
    )
    static = solve_static([0.25, 0.2], problem)
    bound = dynamic_upper_bound(np.tile([0.25, 0.2], (2, 1)), problem)
    assert static.value - 1e-9 <= bound <= static.value * 1.01


def test_a_worthless_path_is_worth_nothing():
    problem = AllocationProblem(num_prompts=3, num_rounds=3, budget=5, capacity=2)
    assert solve_dynamic(np.zeros((3, 3)), problem).value == pytest.approx(0.0, abs=1e-12)
    assert dynamic_upper_bound(np.zeros((3, 3)), problem) == pytest.approx(0.0, abs=1e-12)


# --- why it is a network programme -----------------------------------------------------------------------------


def test_the_value_is_not_concave_in_the_exposures_where_a_rate_rises():
    # One prompt, worthless in round 1 and best in round 2; exposures (z1, z2) after each round. Along the segment
    # from (0, 2) to (2, 2) the value is U(2) - U(z1), which is convex: the midpoint is worth less than the mean of the
    # ends. A concave programme in the exposures would not describe this, so the optimum is solved on the network.
    problem = AllocationProblem(num_prompts=1, num_rounds=2, budget=2, capacity=2, max_units=2)
    path = np.array([[0.0], [0.25]])
    ends = [path_value(path, units, problem) for units in ([[0], [2]], [[2], [0]])]
    middle = path_value(path, [[1], [1]], problem)
    assert ends == pytest.approx([1 - math.exp(-1.0), 0.0])
    assert middle == pytest.approx(math.exp(-0.5) - math.exp(-1.0))
    assert middle < sum(ends) / 2 - 0.05
    assert solve_dynamic(path, problem).units.tolist() == [[0], [2]]


def test_the_same_units_are_worth_more_once_the_rate_has_risen():
    # Greedy spending in round 1 would be wrong: the optimum waits.
    problem = AllocationProblem(num_prompts=2, num_rounds=2, budget=2, capacity=2)
    path = np.array([[0.05, 0.04], [0.25, 0.25]])
    assert solve_dynamic(path, problem).units.tolist() == [[0, 0], [1, 1]]


def test_where_the_relaxation_is_fractional_the_integral_optimum_is_found():
    # The relaxation mixes "2 units now" with "2 units later", half of each, to meet a capacity of 1. Among whole plans
    # it is best to wait: a unit in round 1 would take more from round 2 than it brings.
    problem = AllocationProblem(num_prompts=1, num_rounds=2, budget=2, capacity=1, max_units=2, saturation=3.0)
    best = solve_dynamic([[0.1], [0.2]], problem)
    assert best.units.tolist() == [[0], [1]]
    c_1, c_2 = utility.curvature([0.1, 0.2], problem)
    assert best.value == pytest.approx(1 - math.exp(-c_2))
    assert best.upper_bound == pytest.approx((2 - math.exp(-2 * c_1) - math.exp(-2 * c_2)) / 2)
    assert best.gap > 0.1


# --- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [solve_dynamic, dynamic_upper_bound])
@pytest.mark.parametrize(
    "path",
    [
        np.full((2, 2), 0.1),
        np.full((2, 3), 0.1),
        np.full(3, 0.1),
        0.1,
        np.array([[0.1, 0.1], [0.1, 0.3], [0.1, 0.1]]),
        np.array([[0.1, 0.1], [0.1, -0.1], [0.1, 0.1]]),
        np.array([[0.1, 0.1], [0.1, math.nan], [0.1, 0.1]]),
    ],
)
def test_a_path_that_is_none_of_this_problem_is_refused(solver, path):
    problem = AllocationProblem(num_prompts=2, num_rounds=3, budget=3, capacity=2)
    with pytest.raises(InvalidValueError) as caught:
        solver(path, problem)
    assert caught.value.field == "q_path"


def test_an_instance_that_is_too_large_is_refused_with_the_way_out():
    problem = AllocationProblem(num_prompts=1000, num_rounds=100, budget=5000, capacity=100)
    with pytest.raises(InvalidValueError, match="dynamic_upper_bound"):
        solve_dynamic(np.full((100, 1000), 0.1), problem)
