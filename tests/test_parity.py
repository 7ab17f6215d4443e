"""The fast CERO family against naive implementations written from the paper, round by round.

Where two prompts tie up to rounding, both orders are right: the comparison of that run stops there, and the last
test asserts that this is rare.
"""

from __future__ import annotations

from itertools import zip_longest

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from cerolab import AllocationProblem, Feedback, make
from tests.reference.naive_ablations import NaiveCeroFixed, NaiveCeroGreedy, NaiveCeroPreset
from tests.reference.naive_cero import NaiveCero
from tests.reference.naive_mirror import NaiveDualMirrorDescent
from tests.strategies import (
    Luck,
    as_pairs,
    feedbacks,
    naive_of,
    problems,
    some_examples,
    success_rates,
)

NAIVE = {
    "cero": NaiveCero,
    "cero_fixed": NaiveCeroFixed,
    "cero_greedy": NaiveCeroGreedy,
    "cero_preset": NaiveCeroPreset,
    "dual_mirror_descent": NaiveDualMirrorDescent,
}
PRICED = ("cero", "dual_mirror_descent")
CLOSE = 1e-12


def naive_twin(fast, options):
    given = {"saturation": fast.problem.saturation, **options}
    return naive_of(NAIVE[fast.name], fast, **given, tie_rank=fast.ties.rank_M.tolist())


def scores_of(naive) -> list[float]:
    """What the naive method ranks by."""
    if isinstance(naive, NaiveCeroGreedy):
        return [naive.score(prompt) for prompt in range(naive.num_prompts)]
    return naive.slopes


def differ_by_a_tie_only(fast_pairs, naive_pairs, naive) -> bool:
    """Whether wherever the two disagree, prompts tie with each other or with the price, up to rounding."""
    scores = scores_of(naive)
    for fast_pair, naive_pair in zip_longest(fast_pairs, naive_pairs):
        if fast_pair is None or naive_pair is None:
            apart = scores[(fast_pair or naive_pair)[0]] - naive.price
        else:
            apart = scores[fast_pair[0]] - scores[naive_pair[0]]
            if fast_pair[1] != naive_pair[1] and len(fast_pairs) == len(naive_pairs):
                return False
        if abs(apart) > CLOSE:
            return False
    return True


def assert_same_state(fast, naive) -> None:
    assert fast.remaining == naive.remaining
    np.testing.assert_allclose(fast.posterior.alpha, naive.alpha, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(fast.posterior.beta, naive.beta, rtol=CLOSE, atol=CLOSE)
    qhat = [naive.qhat(prompt) for prompt in range(naive.num_prompts)]
    np.testing.assert_allclose(fast.predicted_value(), qhat, rtol=0, atol=CLOSE)
    if fast.name == "cero_greedy":
        assert fast.exposure_M.tolist() == naive.exposure
        np.testing.assert_allclose(fast.gain_M, scores_of(naive), rtol=0, atol=CLOSE)
    else:
        np.testing.assert_allclose(fast.slope_M, naive.slopes, rtol=0, atol=CLOSE)
        assert fast.price == pytest.approx(naive.price, rel=0, abs=CLOSE)


def rounds_in_step(fast, naive, feedback_of) -> int:
    """Play both; how many rounds went in step, K unless a tie parts them. Any other difference fails."""
    assert_same_state(fast, naive)
    for round_index in range(fast.problem.num_rounds):
        allocation, naive_pairs = fast.allocate(), naive.allocate()
        pairs = [(as_pairs(allocation), naive_pairs)]
        if fast.name in PRICED:  # duals step on the virtual allocation, of which the budget may hide a part
            pairs.append((as_pairs(fast._virtual()), naive.last_virtual))
        if any(fast_pairs != naive_pairs for fast_pairs, naive_pairs in pairs):
            for fast_pairs, naive_pairs in pairs:
                assert differ_by_a_tie_only(fast_pairs, naive_pairs, naive), (round_index, fast_pairs, naive_pairs)
            return round_index
        feedback = feedback_of(round_index, allocation)
        fast.observe(allocation, feedback)
        naive.observe([float(s) for s in feedback.reward_sum], [int(n) for n in feedback.num_responses])
        assert_same_state(fast, naive)
    return fast.problem.num_rounds


@st.composite
def parity_options(draw, name):
    """Options that both sides know by the same names."""
    options = {}
    if draw(st.booleans()):
        options["forgetting"] = draw(st.floats(0.05, 1.0))
    if draw(st.booleans()):
        options["prior"] = draw(st.tuples(st.floats(0.2, 5.0), st.floats(0.2, 5.0)))
    if name != "cero_greedy":
        if draw(st.booleans()):
            options["step_slope"] = draw(st.floats(0.01, 2.0))
        if draw(st.booleans()):
            options["saturation"] = draw(st.floats(0.1, 5.0))
    if name == "dual_mirror_descent":
        options["floor"] = draw(st.sampled_from((1e-3, 1e-6, 0.4)))
        options["mirror_slopes"] = draw(st.booleans())
    if name in PRICED:
        if draw(st.booleans()):
            options["price"] = draw(st.floats(0.0, 1.0))
        if draw(st.booleans()):
            options["step_price"] = draw(st.floats(0.01, 2.0))
    return options


@pytest.mark.parametrize("name", NAIVE)
@given(data=st.data())
def test_fast_and_naive_agree_on_random_problems_options_and_luck(name, data):
    problem = data.draw(problems(max_prompts=9, max_rounds=14, max_units=3, max_responses=4))
    options = data.draw(parity_options(name))
    fast = make(name, problem, seed=data.draw(st.integers(0, 5)), **options)
    luck = Luck(problem, data.draw(success_rates(problem.num_prompts)), data.draw(st.integers(0, 1000)))
    if rounds_in_step(fast, naive_twin(fast, options), luck) < problem.num_rounds:
        event("stopped at a tie")


@pytest.mark.parametrize("name", NAIVE)
@some_examples
@given(data=st.data())
def test_fast_and_naive_agree_on_any_feedback(name, data):
    problem = data.draw(problems(max_prompts=5, max_rounds=5))
    options = data.draw(parity_options(name))
    fast = make(name, problem, **options)

    def any_feedback(round_index, allocation):
        return data.draw(feedbacks(allocation, problem, graded=False))

    if rounds_in_step(fast, naive_twin(fast, options), any_feedback) < problem.num_rounds:
        event("stopped at a tie")


@pytest.mark.parametrize("name", NAIVE)
def test_fast_and_naive_agree_on_a_large_pool(name):
    # Large enough for the slope step to take several blocks and for the selection to guess its threshold.
    problem = AllocationProblem(
        num_prompts=40_000, num_rounds=4, budget=60, capacity=20, max_units=2, responses_per_unit=4
    )
    fast = make(name, problem, seed=3)
    luck = Luck(problem, [(prompt % 11) / 10 for prompt in range(problem.num_prompts)])
    assert rounds_in_step(fast, naive_twin(fast, {}), luck) == problem.num_rounds


def test_prompts_with_mirrored_successes_and_failures_have_the_same_value():
    problem = AllocationProblem(num_prompts=2, num_rounds=1, budget=2, capacity=2, max_units=1, responses_per_unit=12)
    for successes in range(13):
        allocator = make("cero", problem)
        allocation = allocator.allocate()
        rates = {allocation.prompts[0]: successes, allocation.prompts[1]: 12 - successes}
        allocator.observe(allocation, Feedback([12, 12], [rates[prompt] for prompt in allocation.prompts]))
        one, other = allocator.predicted_value()
        assert one == other, successes


def _random_run(name: str, seed: int) -> tuple[int, int]:
    """(rounds in step, rounds) of one run drawn by numpy, the same on every machine."""
    draw = np.random.default_rng(seed)
    prompts, rounds, units = int(draw.integers(1, 13)), int(draw.integers(1, 21)), int(draw.integers(1, 4))
    capacity = int(draw.integers(1, prompts * units + 1))
    problem = AllocationProblem(
        num_prompts=prompts,
        num_rounds=rounds,
        budget=int(draw.integers(1, rounds * capacity + 1)),
        capacity=capacity,
        max_units=units,
        responses_per_unit=int(draw.integers(1, 5)),
        saturation=float(draw.choice([0.3, 1.0, 2.5])),
    )
    options = {"forgetting": float(draw.choice([0.9, 0.5]))} if seed % 3 == 0 else {}
    fast = make(name, problem, seed=seed, **options)
    luck = Luck(problem, [0.5] * prompts if seed % 2 else draw.random(prompts).tolist(), seed)
    return rounds_in_step(fast, naive_twin(fast, options), luck), rounds


@pytest.mark.parametrize(
    "name",
    [
        "cero",
        "cero_fixed",
        "cero_greedy",
        "cero_preset",
        "dual_mirror_descent",
    ],
)
def test_ties_that_stop_the_comparison_are_rare(name):
    runs = [_random_run(name, seed) for seed in range(200)]
    stopped = sum(in_step < rounds for in_step, rounds in runs)
    assert stopped <= 0.03 * len(runs)
    assert sum(in_step for in_step, _ in runs) >= 0.98 * sum(rounds for _, rounds in runs)
