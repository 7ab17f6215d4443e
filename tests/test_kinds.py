"""Prompts that are alike, grouped: against the prompts one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import AllocationProblem, Feedback, make, utility
from cerolab.optimum import largest_gains, largest_gains_by_kind, solve_static
from cerolab.optimum.static import optimum_by_kind
from cerolab.selection.prompt_types import Kinds


@given(st.data())
def test_every_prompt_keeps_its_own_row_wherever_it_moves(data):
    num_prompts = data.draw(st.integers(1, 8))
    numbers = st.integers(0, 3)
    columns = [np.array(data.draw(st.lists(numbers, min_size=num_prompts, max_size=num_prompts))) for _ in range(2)]
    kinds = Kinds(*columns)
    for _ in range(4):
        assert np.array_equal(kinds.rows[kinds.kind_M].T, columns)
        assert np.array_equal(kinds.count, np.bincount(kinds.kind_M, minlength=len(kinds.rows)))
        assert len(np.unique(kinds.rows, axis=0)) == len(kinds.rows)
        prompts = np.array(data.draw(st.lists(st.integers(0, num_prompts - 1), unique=True)), np.int64)
        for column in columns:
            column[prompts] = data.draw(st.lists(numbers, min_size=prompts.size, max_size=prompts.size))
        kinds.move(prompts, *(column[prompts] for column in columns))


@given(st.data())
def test_gains_by_kind_are_those_of_the_prompts_one_by_one(data):
    size = data.draw(st.integers(1, 5))
    curvature = np.array(data.draw(st.lists(st.sampled_from((0.0, 0.03, 0.2, 0.7)), min_size=size, max_size=size)))
    start = np.array(data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)))
    count = np.array(data.draw(st.lists(st.integers(0, 40), min_size=size, max_size=size)))
    most, budget = data.draw(st.integers(1, 60)), data.draw(st.integers(0, 3000))
    mean, log_price = largest_gains_by_kind(curvature, start, most, budget, count)
    units, expected = largest_gains(np.repeat(curvature, count), np.repeat(start, count), most, budget)
    assert log_price == expected or abs(log_price - expected) < 1e-9
    assert round(float(mean @ count), 6) == units.sum()
    # The same gains are taken: the least that is taken is no smaller than the largest that is left.
    for kind in np.flatnonzero((count > 0) & (curvature > 0)):
        gain = -curvature[kind] * (start[kind] + np.arange(most)) + np.log(-np.expm1(-curvature[kind]))
        assert (gain[: int(mean[kind])] >= log_price - 1e-9).all()
        assert (gain[int(np.ceil(mean[kind])) :] <= log_price + 1e-9).all()


@given(st.data())
def test_the_optimum_of_kinds_is_that_of_the_prompts_one_by_one(data):
    size = data.draw(st.integers(1, 5))
    rate = np.array(data.draw(st.lists(st.sampled_from((0.0, 0.02, 0.16, 0.25)), min_size=size, max_size=size)))
    count = np.array(data.draw(st.lists(st.integers(0, 40), min_size=size, max_size=size)))
    count[0] += not count.any()
    num_prompts, rounds = int(count.sum()), data.draw(st.integers(1, 20))
    budget = data.draw(st.integers(1, rounds * num_prompts))
    problem = AllocationProblem(num_prompts=num_prompts, num_rounds=rounds, budget=budget, capacity=num_prompts)
    value = optimum_by_kind(utility.curvature(rate, problem), count, problem.horizon_exposure, budget)
    assert value == pytest.approx(solve_static(np.repeat(rate, count), problem).value, rel=1e-12, abs=1e-15)


def test_resolve_chooses_the_same_by_kind_as_one_by_one_but_for_ties_of_the_plan():
    problem = AllocationProblem(
        num_prompts=300, num_rounds=60, budget=9000, capacity=155, max_units=2, responses_per_unit=4
    )
    success = np.random.default_rng(0).beta(0.5, 0.5, 300)
    by_kind, one_by_one = make("resolve", problem), make("resolve", problem)
    one_by_one._kinds = None
    rng = np.random.default_rng(1)
    for _ in range(problem.num_rounds):
        deficits = [allocator._of_pool(allocator._plan()[0]) for allocator in (by_kind, one_by_one)]
        assert np.abs(deficits[0] - deficits[1]).max() <= 1.0
        assert np.isclose(by_kind._plan()[1], one_by_one._plan()[1])
        price = one_by_one._plan()[1]
        assert np.array_equal(by_kind._of_pool(by_kind._open(price)), one_by_one._open(price))
        allocation = by_kind.allocate()
        n = allocation.units * problem.responses_per_unit
        feedback = Feedback(n, rng.binomial(n, success[allocation.prompts]))
        one_by_one._pending = allocation
        for allocator in (by_kind, one_by_one):
            allocator.observe(allocation, feedback)
    assert len(by_kind._kinds.rows) < 2500  # kinds that nobody is of any more among them
    by_kind.load_state_dict(one_by_one.state_dict())
    assert np.array_equal(np.sort(by_kind._kinds.count), np.sort(by_kind._kinds.count[by_kind._kinds.count > 0]))
