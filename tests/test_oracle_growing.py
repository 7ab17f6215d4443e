"""The optimum in a growing pool: against executed plans, against the static one, and by its own certificate."""

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from cerolab import AllocationProblem, optimum
from cerolab.errors import InvalidValueError
from cerolab.optimum import solve_growing, solve_static
from tests.reference import naive_utility as naive
from tests.strategies import problems, some_examples

PROBLEM = AllocationProblem(num_prompts=3, num_rounds=4, budget=8, capacity=2, max_units=2)


@st.composite
def growing(draw, **sizes):
    problem = draw(problems(**sizes))
    size = problem.num_prompts
    rate = draw(st.lists(st.sampled_from((0.25, 0.1, 0.02, 0.0)), min_size=size, max_size=size))
    arrival = draw(st.lists(st.integers(0, problem.num_rounds - 1), min_size=size, max_size=size))
    return problem, np.array(rate), np.array(arrival)


@given(drawn=growing(max_prompts=4, max_rounds=4, max_units=2))
def test_it_is_the_best_of_all_plans_that_can_be_executed(drawn):
    problem, rate, arrival = drawn
    found = solve_growing(rate, arrival, problem)
    best = naive.best_growing_brute(
        rate.tolist(),
        arrival.tolist(),
        problem.num_rounds,
        problem.capacity,
        problem.budget,
        problem.max_units,
        problem.saturation,
        problem.exposure_scale,
    )
    free = solve_static(rate, problem).value
    event("arrivals cost value" if best < free - 1e-9 else "arrivals cost nothing")
    assert found.value == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert found.upper_bound == pytest.approx(best, rel=1e-9, abs=1e-12)


@some_examples
@given(drawn=growing(max_prompts=40, max_rounds=30, max_units=3))
def test_it_proves_itself_on_larger_pools(drawn):
    problem, rate, arrival = drawn
    found = solve_growing(rate, arrival, problem)
    assert abs(found.gap) <= 1e-9 * max(1.0, found.value)
    assert found.exposure.sum() <= problem.budget
    assert (found.exposure <= problem.max_units * (problem.num_rounds - arrival)).all()
    assert found.value <= solve_static(rate, problem).value + 1e-9


def test_prompts_that_were_there_before_count_with_what_they_could_not_have_had():
    assert solve_growing([0.01, 0.25, 0.0], [0, 2, 2], PROBLEM).exposure.tolist() == [4, 4, 0]
    # Two rounds with one prompt and a cap of 2, two full ones: 4 + 6 units, though 6 for each side would fit alone.
    crowded = AllocationProblem(num_prompts=3, num_rounds=4, budget=12, capacity=3, max_units=2, saturation=0.01)
    found = solve_growing([0.25, 0.25, 0.25], [0, 2, 2], crowded)
    assert found.exposure.sum() == 10
    assert found.multiplier == 0.0
    assert found.gap == pytest.approx(0.0, abs=1e-12)


@given(problem=problems(), seed=st.integers(0, 99))
def test_with_everybody_there_it_is_the_static_optimum(problem, seed):
    rate = np.random.default_rng(seed).random(problem.num_prompts) / 4
    none = np.zeros(problem.num_prompts, np.int64)
    found, static = solve_growing(rate, none, problem), solve_static(rate, problem)
    assert found.value == pytest.approx(static.value, rel=1e-12)
    assert found.upper_bound == pytest.approx(static.upper_bound, rel=1e-9)


@pytest.mark.parametrize("equal", [False, True])
def test_a_pool_of_thousands_is_certified(equal):
    rng = np.random.default_rng(0)
    problem = AllocationProblem(num_prompts=3000, num_rounds=60, budget=90_000, capacity=1550, max_units=2)
    rate = np.full(3000, 0.2) if equal else rng.beta(1, 1, 3000) / 4
    arrival = np.sort(rng.choice([0, 12, 24, 36, 59], 3000, p=[0.2, 0.1, 0.1, 0.1, 0.5]))
    found = optimum.solve_growing(rate, arrival, problem)
    assert abs(found.gap) <= 1e-9 * found.value
    assert found.exposure[arrival == 59].sum() == 1550  # the last round is full
    assert found.value < solve_static(rate, problem).value


@pytest.mark.parametrize("arrival", [[0, 1], [0.0, 1.0, 2.0], [0, 1, 4], [0, -1, 2], "now"], ids=str)
def test_arrivals_that_cannot_be_are_refused(arrival):
    with pytest.raises(InvalidValueError, match="arrival="):
        solve_growing([0.1, 0.1, 0.1], arrival, PROBLEM)
