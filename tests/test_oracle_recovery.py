"""The oracle that lets a prompt rest after a visit."""

import numpy as np
import pytest

from cerolab import AllocationProblem, Feedback, make
from cerolab.errors import InvalidValueError

PROBLEM = AllocationProblem(num_prompts=6, num_rounds=4, budget=16, capacity=6, max_units=2, responses_per_unit=4)
RATES = np.array([0.25, 0.0, 0.16, 0.21, 0.09, 0.24])


def play(allocator, rounds):
    chosen = []
    for _ in range(rounds):
        wave = allocator.allocate()
        allocator.observe(wave, Feedback(wave.units * 4, np.zeros(wave.num_groups)))
        chosen.append(wave.prompts.tolist())
    return chosen


def test_the_most_valuable_rested_prompts_come_first_and_the_hopeless_never():
    """Two groups of two units a round; after a visit a prompt is worth 1 - exp(-1 / 8) = 0.1175 of its rate."""
    chosen = play(make("oracle", PROBLEM, rate=RATES, recovery=8.0), 4)
    assert chosen[:2] == [[0, 5], [3, 2]]  # .25 .24, then .21 .16
    # Then prompt 4 (.09) leads; 0 has rested two rounds, .25 (1 - exp(-2/8)) = .055, and 5 .053.
    assert chosen[2] == [4, 0]
    assert chosen[3] == [5, 3]  # .24 (1 - exp(-3/8)) = .075, .21 (1 - exp(-2/8)) = .046, 2: .035, 0: .029
    assert all(1 not in prompts for prompts in chosen)


def test_without_recovery_nothing_rests_and_with_a_short_one_the_best_stay():
    assert play(make("oracle", PROBLEM, rate=RATES, recovery=0.01), 3) == [[0, 5]] * 3


def test_it_follows_rates_that_move():
    rates = RATES.copy()
    allocator = make("oracle", PROBLEM, rate=lambda: rates, recovery=8.0)
    play(allocator, 1)
    rates[:] = 0.0
    rates[1] = 0.25
    assert play(allocator, 1) == [[1]]


def test_a_saved_state_goes_on_the_same_way():
    first = make("oracle", PROBLEM, rate=RATES, recovery=8.0)
    play(first, 2)
    second = make("oracle", PROBLEM, rate=RATES, recovery=8.0)
    second.load_state_dict(first.state_dict())
    assert play(second, 2) == play(first, 2)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "long"])
def test_a_recovery_that_is_no_time_is_refused(value):
    with pytest.raises(InvalidValueError, match="recovery"):
        make("oracle", PROBLEM, rate=RATES, recovery=value)
