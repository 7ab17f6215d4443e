"""A prompt's waves of one round are one group."""

import numpy as np

from cerolab import Allocation, AllocationProblem, BudgetLedger, Feedback, Wave, make
from cerolab.groups import mixed_groups, mixed_prompts, whole_groups
from sim.experiment.loop import simulate
from sim.worlds.dynamics import make_path
from sim.worlds.rewards import Rewards


def wave(prompts, units, responses, rewards, squares=None):
    return Wave(Allocation(np.array(prompts), np.array(units), False), Feedback(responses, rewards, squares))


def test_what_a_prompt_got_in_several_waves_is_summed_where_it_came_first():
    whole = whole_groups([wave([7, 2], [1, 1], [4, 4], [0, 4]), wave([5, 7], [2, 3], [8, 12], [3, 1])])
    assert whole.allocation.prompts.tolist() == [7, 2, 5]
    assert whole.allocation.units.tolist() == [4, 1, 2]
    assert whole.allocation.last_wave
    assert np.asarray(whole.feedback.num_responses).tolist() == [16, 4, 8]
    assert np.asarray(whole.feedback.reward_sum).tolist() == [1, 4, 3]
    assert whole.feedback.reward_sq_sum is None
    assert mixed_groups(whole).tolist() == [True, False, True]


def test_a_binary_wave_beside_a_graded_one_has_its_sums_for_squares():
    whole = whole_groups([wave([0], [1], [2], [2]), wave([0, 1], [1, 1], [2, 2], [1.0, 1.0], [0.5, 0.5])])
    assert np.asarray(whole.feedback.reward_sq_sum).tolist() == [2.5, 0.5]
    assert mixed_groups(whole).tolist() == [True, False]


def test_all_wrong_and_then_all_right_is_one_mixed_group():
    waves = [wave([3, 4], [1, 1], [4, 4], [0, 0]), wave([3], [1], [4], [4])]
    assert [mixed_groups(one).tolist() for one in waves] == [[False, False], [False]]
    assert mixed_prompts(waves).tolist() == [True, False, True]


def test_a_round_without_waves_has_no_groups():
    assert whole_groups([]).allocation.num_groups == 0
    assert mixed_prompts([]).tolist() == []


def test_a_run_counts_prompts_of_a_round_and_not_waves():
    problem = AllocationProblem(num_prompts=40, num_rounds=6, budget=120, capacity=24, max_units=4)
    path, rewards = make_path("static", np.full(40, 0.5), np.empty(0), problem, 0), Rewards("binary", problem, 0)
    groups = mixed = 0

    def count(view):
        nonlocal groups, mixed
        prompts = np.concatenate([one.allocation.prompts for one in view.waves])
        groups += np.unique(prompts).size
        mixed += np.unique(prompts[mixed_prompts(view.waves)]).size

    outcome = simulate(make("hora", problem), path, rewards, BudgetLedger(problem), count)
    assert (outcome.groups, outcome.effective_groups) == (groups, mixed)
    assert 0 < mixed < groups
