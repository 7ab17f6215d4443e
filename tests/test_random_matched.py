import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, make
from cerolab.errors import CerolabError, InvalidValueError
from tests.strategies import play, problems, recorded_schedule

PROBLEM = AllocationProblem(num_prompts=8, num_rounds=6, budget=30, capacity=6, max_units=2, responses_per_unit=2)


def matched(problem, schedule, seed=0):
    return play(make("random_matched", problem, seed=seed, schedule=schedule), problem)


@given(problem=problems(), seed=st.integers(0, 5), source=st.sampled_from(["cero", "uniform"]))
def test_sizes_and_timing_are_those_of_the_recorded_run(problem, seed, source):
    schedule = recorded_schedule(problem, source)
    result = matched(problem, schedule, seed)
    assert [a.units.tolist() for a in result.allocations] == [a.units.tolist() for a in schedule]


@given(problem=problems(), seed=st.integers(0, 5))
def test_prompts_are_renamed_by_one_permutation_so_terminal_exposures_are_permuted(problem, seed):
    schedule = recorded_schedule(problem)
    result = matched(problem, schedule, seed)
    exposure = np.zeros(problem.num_prompts, np.int64)
    image: dict[int, int] = {}
    for recorded, allocation in zip(schedule, result.allocations, strict=True):
        exposure[recorded.prompts] += recorded.units
        for old, new in zip(recorded.prompts.tolist(), allocation.prompts.tolist(), strict=True):
            assert image.setdefault(old, new) == new
    assert len(set(image.values())) == len(image)
    assert sorted(result.ledger.exposure_M.tolist()) == sorted(exposure.tolist())
    assert all(result.ledger.exposure_M[new] == exposure[old] for old, new in image.items())


def test_the_permutation_depends_on_the_seed_and_is_uniform():
    schedule = [Allocation([0], [1])]
    first = [
        int(make("random_matched", PROBLEM, seed=seed, schedule=schedule).allocate().prompts[0]) for seed in range(400)
    ]
    assert np.bincount(first, minlength=8).min() > 25  # 50 expected each


def test_rewards_do_not_move_it():
    schedule = recorded_schedule(PROBLEM)
    runs = [play(make("random_matched", PROBLEM, schedule=schedule), PROBLEM, [rate] * 8).pairs for rate in (0.0, 1.0)]
    assert runs[0] == runs[1]


def test_after_a_shorter_schedule_it_admits_nobody():
    result = matched(PROBLEM, recorded_schedule(PROBLEM)[:2])
    assert len(result.allocations) == 6
    assert result.units[:2] != [0, 0]
    assert result.units[2:] == [0, 0, 0, 0]


def test_an_empty_schedule_is_a_run_without_rollouts():
    assert matched(PROBLEM, []).ledger.units == 0


def test_a_run_of_a_tighter_problem_can_be_replayed_in_a_roomier_one():
    roomier = AllocationProblem(num_prompts=10, num_rounds=9, budget=50, capacity=9, max_units=3)
    schedule = recorded_schedule(PROBLEM)
    assert matched(roomier, schedule).ledger.units == sum(allocation.num_units for allocation in schedule)


def _refused(schedule, *parts):
    with pytest.raises(InvalidValueError) as refusal:
        make("random_matched", PROBLEM, schedule=schedule)
    for part in parts:
        assert part in str(refusal.value)


def test_no_schedule_is_refused():
    with pytest.raises(InvalidValueError, match="schedule=None is missing; give the run to match"):
        make("random_matched", PROBLEM)


def test_a_schedule_of_too_many_rounds_is_refused():
    _refused([Allocation.empty()] * 7, "schedule=7", "more rounds", "give at most 6")


def test_a_schedule_above_the_budget_is_refused():
    allocation = Allocation([0, 1, 2], [2, 2, 2])
    tight = AllocationProblem(num_prompts=8, num_rounds=6, budget=17, capacity=6, max_units=2)
    with pytest.raises(InvalidValueError, match=r"schedule=18 spends more units than the budget; at most 17"):
        make("random_matched", tight, schedule=[allocation] * 3)


def test_a_round_above_the_capacity_is_refused():
    _refused([Allocation([0, 1, 2, 3], [2, 2, 2, 2])], "schedule[0]=8", "breaks capacity")


def test_a_group_above_the_cap_is_refused():
    _refused([Allocation.empty(), Allocation([0], [3])], "schedule[1]=3", "max_units", "replay a run of the same")


def test_a_prompt_outside_the_pool_is_refused():
    _refused([Allocation([8], [1])], "schedule[0]=8", "outside the pool", "below 8")


def test_a_folder_without_a_run_is_refused_by_name(tmp_path):
    with pytest.raises(CerolabError, match=str(tmp_path / "no_run")):
        make("random_matched", PROBLEM, schedule=tmp_path / "no_run")


@pytest.mark.parametrize(
    ("schedule", "message"),
    [([([0], [1])], "is no Allocation"), ([Allocation([1, 1], [1, 1])], "name a prompt twice")],
)
def test_a_schedule_that_could_not_be_executed_is_refused(schedule, message):
    problem = AllocationProblem(num_prompts=3, num_rounds=2, budget=4, capacity=3, max_units=2)
    with pytest.raises(InvalidValueError, match=message):
        make("random_matched", problem, schedule=schedule)
