"""How success rates move: the chosen variation, the shift, and learning from contrast."""

import numpy as np
import pytest

from cerolab import Allocation, AllocationProblem, Feedback, Wave
from cerolab.errors import CerolabError
from cerolab.groups import whole_groups
from cerolab.optimum.value import path_variation
from sim.worlds.dynamics import make_path

PROBLEM = AllocationProblem(
    num_prompts=200, num_rounds=40, budget=4000, capacity=103, max_units=2, responses_per_unit=4
)
START = np.random.default_rng(0).beta(1, 1, 200)
HELDOUT = np.random.default_rng(1).beta(1, 1, 50)


def path(text, seed=0, problem=PROBLEM):
    return make_path(text, START[: problem.num_prompts], HELDOUT, problem, seed)


def wave(prompts, successes, units=2):
    allocation = Allocation(np.asarray(prompts), np.full(len(prompts), units))
    return Wave(allocation, Feedback(allocation.units * 4, np.asarray(successes)))


def test_static_rates_never_move():
    static = path("static")
    static.advance(whole_groups([]))
    assert static.fixed
    assert np.array_equal(static.success_M, START)
    assert static.known_success_KM is None
    assert np.isnan(static.heldout_accuracy())


@pytest.mark.parametrize("variation", [0.01, 0.3, 3.0])
def test_drift_has_the_chosen_variation(variation):
    success_KM = path(f"drift({variation})").known_success_KM
    assert path_variation(success_KM * (1 - success_KM)) == pytest.approx(variation, rel=1e-4)


def test_advance_follows_the_known_path():
    drift = path("drift(1)")
    for k in range(PROBLEM.num_rounds):
        assert np.array_equal(drift.success_M, drift.known_success_KM[k])
        drift.advance(whole_groups([]))
    assert np.array_equal(drift.success_M, drift.known_success_KM[-1])


def test_the_path_is_the_seeds_alone():
    assert np.array_equal(path("drift(1)").known_success_KM, path("drift(1)").known_success_KM)
    assert not np.array_equal(path("drift(1)").known_success_KM, path("drift(1)", seed=1).known_success_KM)


def test_no_drift_is_a_constant_path():
    success_KM = path("drift(0)").known_success_KM
    assert (success_KM == success_KM[0]).all()


def test_a_shift_swaps_rates_of_the_chosen_share_half_way():
    success_KM = path("shift(0.3)").known_success_KM
    assert (success_KM[:20] == START).all()
    assert (success_KM[20] != START).sum() == 60
    assert np.array_equal(np.sort(success_KM[-1]), np.sort(START))


def test_contrast_raises_the_prompt_its_neighbours_and_the_heldout_part():
    learning = path("learning(2)")
    before, accuracy = learning.success_M.copy(), learning.heldout_accuracy()
    learning.advance(wave([7], [4]))
    risen = learning.success_M > before
    assert risen[7]
    assert 1 < risen.sum() < 100  # neighbours on the ring, not everybody
    for _ in range(20):
        learning.advance(wave(np.arange(200), np.full(200, 4)))
    assert learning.heldout_accuracy() > accuracy + 0.05


def test_groups_without_contrast_teach_nothing():
    learning = path("learning(2)")
    before = learning.success_M.copy()
    learning.advance(wave([1, 2], [0, 8]))
    assert np.array_equal(learning.success_M, before)


def test_learning_never_lowers_a_rate():
    learning = path("learning(5)")
    rng = np.random.default_rng(0)
    for _ in range(50):
        before = learning.success_M.copy()
        chosen = rng.permutation(200)[:30]
        learning.advance(wave(chosen, rng.integers(0, 9, 30)))
        assert (learning.success_M >= before).all()
        assert (learning.success_M <= 1).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wander(1)", "unknown dynamics 'wander'; known: drift, growing, learning, shift, static"),
        ("drift", "has 0 arguments; give 1"),
        ("static(1)", "has 1 arguments; give 0"),
        ("drift(-1)", "negative or infinite"),
        ("shift(1.5)", "is no share"),
        ("drift(1000)", "is more than 40 rounds can vary; at most"),
    ],
)
def test_bad_text_is_named_with_its_remedy(text, message):
    with pytest.raises(CerolabError, match=message):
        path(text)


def test_drift_needs_two_rounds():
    one = AllocationProblem(num_prompts=200, num_rounds=1, budget=10, capacity=10)
    with pytest.raises(CerolabError, match="cannot be had in one round"):
        path("drift(1)", problem=one)


def test_a_path_too_large_to_hold_is_refused():
    large = AllocationProblem(num_prompts=200, num_rounds=1_000_000, budget=10, capacity=10)
    with pytest.raises(CerolabError, match="use fewer rounds or prompts"):
        path("drift(1)", problem=large)
