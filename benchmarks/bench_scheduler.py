"""One round of the scheduler, allocate + observe, on pools of a million and ten million prompts."""

import numpy as np
import pytest

from cerolab import AllocationProblem, Feedback, make

POOLS = (10_000, 100_000, 1_000_000, 10_000_000)


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


def state_arrays(allocator):
    """Every array that the allocator keeps for each prompt of the pool."""
    held = [*vars(allocator).values()]
    for part in (getattr(allocator, name, None) for name in ("posterior", "ties", "epochs")):
        if part is not None:
            names = getattr(part, "__slots__", None) or vars(part)
            held += [getattr(part, name) for name in names]
    return [x for x in held if isinstance(x, np.ndarray) and x.size == allocator.problem.num_prompts]


@pytest.mark.parametrize("method", ["cero", "uniform", "cero_greedy"])
@pytest.mark.parametrize("num_prompts", POOLS)
def test_round(benchmark, method, num_prompts):
    rng = np.random.default_rng(0)
    success_M = rng.random(num_prompts)
    allocator = make(method, problem(num_prompts), seed=0)
    for _ in range(5):
        allocator.observe(*play_round(allocator, success_M, rng))
    answers = []

    def setup():
        answers[:] = [play_round(allocator, success_M, rng)[1]]
        allocator._pending = None  # time allocate() as well, not its remembered answer

    def one_round():
        allocator.observe(allocator.allocate(), answers[0])

    benchmark.pedantic(one_round, setup=setup, rounds=20 if num_prompts <= 1_000_000 else 8, warmup_rounds=2)
    arrays = state_arrays(allocator)
    benchmark.extra_info["state_bytes_per_prompt"] = sum(array.nbytes for array in arrays) / num_prompts


@pytest.mark.parametrize("num_prompts", POOLS)
def test_copy_of_the_state(benchmark, num_prompts):
    allocator = make("cero", problem(num_prompts), seed=0)
    arrays = state_arrays(allocator)
    targets = [np.empty_like(array) for array in arrays]

    def copy():
        for target, array in zip(targets, arrays, strict=True):
            np.copyto(target, array)

    benchmark.pedantic(copy, rounds=10, warmup_rounds=2)
