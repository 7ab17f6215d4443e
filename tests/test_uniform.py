import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import AllocationProblem, Feedback, make
from tests.strategies import play, problems


def run(problem, seed=0):
    return play(make("uniform", problem, seed=seed), problem)


def served(result) -> list[int]:
    """Prompts in the order they are served over the whole run."""
    return [prompt for allocation in result.allocations for prompt in allocation.prompts.tolist()]


@st.composite
def roomy_problems(draw):
    """Problems in which a round can always make up for a group that the rounds before were short of."""
    units, groups, rounds = draw(st.integers(1, 3)), draw(st.integers(2, 6)), draw(st.integers(1, 9))
    return AllocationProblem(
        num_prompts=groups + draw(st.integers(0, 2)),
        num_rounds=rounds,
        budget=draw(st.integers(1, rounds * (groups - 1) * units)),
        capacity=groups * units,
        max_units=units,
    )


@given(problem=problems(max_prompts=7, max_rounds=9), seed=st.integers(0, 5))
def test_every_prompt_is_served_once_before_any_is_served_again(problem, seed):
    order, size = served(run(problem, seed)), problem.num_prompts
    for start in range(0, len(order), size):
        epoch = order[start : start + size]
        assert len(set(epoch)) == len(epoch)


@given(problem=problems(max_prompts=7, max_rounds=9), seed=st.integers(0, 5))
def test_no_prompt_twice_in_a_round_where_it_crosses_the_end_of_an_epoch(problem, seed):
    for allocation in run(problem, seed).allocations:
        assert np.unique(allocation.prompts).size == allocation.num_groups


def test_a_round_that_crosses_the_end_of_an_epoch_takes_the_rest_first():
    problem = AllocationProblem(num_prompts=5, num_rounds=50, budget=150, capacity=3)
    crossed = 0
    for seed in range(3):
        allocations = run(problem, seed).allocations
        order: list[int] = []
        for allocation in allocations:
            position = len(order) % 5
            if position > 2:
                rest = set(range(5)) - set(order[len(order) - position :])
                assert set(allocation.prompts[: 5 - position].tolist()) == rest
                crossed += 1
            order += allocation.prompts.tolist()
    assert crossed > 30


def test_orders_of_epochs_differ_and_depend_on_the_seed():
    problem = AllocationProblem(num_prompts=20, num_rounds=10, budget=100, capacity=10)
    order = served(run(problem))
    epochs = [tuple(order[start : start + 20]) for start in range(0, 100, 20)]
    assert len(set(epochs)) == 5
    assert all(sorted(epoch) == list(range(20)) for epoch in epochs)
    assert served(run(problem, seed=1)) != order


def test_every_prompt_is_equally_often_first_in_an_epoch():
    problem = AllocationProblem(num_prompts=4, num_rounds=1200, budget=1200, capacity=1)
    first = served(run(problem))[::4]
    assert np.bincount(first, minlength=4).min() > 50  # 300 epochs, 75 expected each


@given(problem=problems(max_prompts=7, max_rounds=9))
def test_a_group_is_smaller_only_where_its_units_could_not_be_spent_later(problem):
    left = problem.budget
    for round_index, allocation in enumerate(run(problem).allocations):
        assert all(size == problem.max_units for size in allocation.units.tolist()[:-1])
        left -= allocation.num_units
        if allocation.num_groups and allocation.units[-1] < problem.max_units:
            assert left == (problem.num_rounds - round_index - 1) * problem.capacity


@given(problem=roomy_problems())
def test_the_pace_is_even_to_less_than_one_group(problem):
    spent = np.cumsum(run(problem).units)
    for round_index, so_far in enumerate(spent[:-1]):
        target = problem.target_spend(round_index + 1)
        assert target - problem.max_units < so_far <= target


@given(problem=problems(max_prompts=7, max_rounds=9))
def test_it_never_runs_ahead_of_an_even_pace(problem):
    for round_index, so_far in enumerate(np.cumsum(run(problem).units)):
        assert so_far <= problem.target_spend(round_index + 1)


@given(problem=roomy_problems())
def test_the_whole_budget_is_spent_where_the_capacity_leaves_room(problem):
    assert run(problem).ledger.remaining == 0


@given(problem=problems(max_prompts=7, max_rounds=9, max_units=1))
def test_the_whole_budget_is_spent_with_groups_of_one_unit(problem):
    assert run(problem).ledger.remaining == 0


@pytest.mark.parametrize(
    ("prompts", "rounds", "budget", "capacity", "max_units"),
    [(3, 3, 9, 3, 2), (1, 2, 3, 2, 2), (1, 5, 15, 3, 4), (4, 10, 70, 7, 2)],
)
def test_the_whole_budget_is_spent_where_the_capacity_is_tight(prompts, rounds, budget, capacity, max_units):
    problem = AllocationProblem(
        num_prompts=prompts, num_rounds=rounds, budget=budget, capacity=capacity, max_units=max_units
    )
    assert run(problem).ledger.remaining == 0


def test_the_papers_setting_serves_64_groups_a_round():
    problem = AllocationProblem(
        num_prompts=8960, num_rounds=500, budget=64_000, capacity=132, max_units=2, responses_per_unit=4
    )
    allocator = make("uniform", problem)
    exposure = np.zeros(8960, np.int64)
    for _ in range(500):
        allocation = allocator.allocate()
        assert allocation.num_groups == 64
        assert allocation.num_units == 128
        exposure[allocation.prompts] += allocation.units

        allocator.observe(allocation, Feedback(allocation.units * 4, np.zeros(64)))
    assert allocator.remaining == 0
    assert set(np.unique(exposure)) == {6, 8}  # 32,000 groups over 8,960 prompts: 3 or 4 each


def test_rewards_do_not_move_it():
    problem = AllocationProblem(num_prompts=6, num_rounds=8, budget=30, capacity=5, max_units=2)
    lucky, unlucky = (play(make("uniform", problem), problem, [rate] * 6).pairs for rate in (1.0, 0.0))
    assert lucky == unlucky


def test_it_has_no_estimates():
    problem = AllocationProblem(num_prompts=6, num_rounds=8, budget=30, capacity=5, max_units=2)
    allocator = make("uniform", problem)
    assert np.isnan(allocator.predicted_success()).all()
    assert np.isnan(allocator.predicted_value()).all()
