"""One round of the scheduler, allocate + observe, on pools of a thousand to ten million prompts."""

import numpy as np
import pytest

from benchmarks.state import held_arrays, state_bytes_per_prompt
from benchmarks.yardstick import Yardstick, note_ratio
from cerolab import AllocationProblem, Feedback, make
from cerolab.tools.method import Method

METHODS = ("cero", "cero(precision=single)", "resolve", "uniform", "mopps")  # as text: options stand in brackets
POOLS = (1000, 10_000, 100_000, 1_000_000, pytest.param(10_000_000, marks=pytest.mark.slow))
GOAL_SECONDS = {1_000_000: 0.03, 10_000_000: 0.4}  # of CERO, on 2 cores
GOAL_BYTES = 64


def problem(num_prompts):
    """The paper's ratios at any pool size."""
    return AllocationProblem(
        num_prompts=num_prompts,
        num_rounds=500,
        budget=64 * num_prompts // 10,
        capacity=max(2, 132 * num_prompts // 10_000),
        max_units=2,
        responses_per_unit=4,
    )


def play_round(allocator, success_M, rng):
    """A round with real feedback; returns the allocation and its feedback."""
    allocation = allocator.allocate()
    num_responses = allocation.units * allocator.problem.responses_per_unit
    return allocation, Feedback(num_responses, rng.binomial(num_responses, success_M[allocation.prompts]))


def copy_of_state(allocator):
    """One plain copy of all that the allocator keeps, into memory that is there."""
    arrays = held_arrays(allocator)
    targets = [np.empty_like(array) for array in arrays]

    def copy():
        for target, array in zip(targets, arrays, strict=True):
            np.copyto(target, array)

    return Yardstick("one copy of its state", copy)


def fresh(method, num_prompts):
    """An allocator by its text."""
    parsed = Method.parse(method)
    return make(parsed.name, problem(num_prompts), seed=0, **parsed.options)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("num_prompts", POOLS)
def test_round(benchmark, method, num_prompts):
    rng = np.random.default_rng(0)
    success_M = rng.random(num_prompts)
    allocator = fresh(method, num_prompts)
    for _ in range(5):
        allocator.observe(*play_round(allocator, success_M, rng))
    copy = copy_of_state(allocator)
    answers = []

    def setup():
        copy.time()
        answers[:] = [play_round(allocator, success_M, rng)[1]]
        allocator._pending = None  # time allocate() as well, not its remembered answer

    def one_round():
        allocator.observe(allocator.allocate(), answers[0])

    rounds = 100 if num_prompts <= 100_000 else 20 if num_prompts <= 1_000_000 else 8
    benchmark.pedantic(one_round, setup=setup, rounds=rounds, warmup_rounds=2)
    copy.note(benchmark, f"round of {method}, M = {num_prompts:,}")
    held = state_bytes_per_prompt(allocator)
    benchmark.extra_info |= {"method": method, "num_prompts": num_prompts, "state_bytes_per_prompt": held}
    if num_prompts == 1_000_000:
        note_ratio(benchmark, f"state of {method} / {GOAL_BYTES} bytes a prompt", held / GOAL_BYTES)
    if method == "cero" and num_prompts in GOAL_SECONDS:
        benchmark.extra_info["goal_seconds"] = GOAL_SECONDS[num_prompts]
