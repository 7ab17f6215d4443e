"""Random problems, allocators and feedback for the tests; the loop that plays them is ``cerolab.testing.play``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, BaseAllocator, Feedback, seeding
from cerolab.testing.play import (
    FeedbackFn,
    Luck,
    Play,
    Scenario,
    as_pairs,
    moment,
    one_round,
    one_wave,
    options_for,
    pairs_of,
    play,
    recorded_schedule,
    same_state,
    through_a_file,
)

__all__ = [
    "FeedbackFn",
    "Luck",
    "Play",
    "Scenario",
    "as_pairs",
    "moment",
    "one_round",
    "one_wave",
    "options_for",
    "pairs_of",
    "play",
    "recorded_schedule",
    "same_state",
    "through_a_file",
]

# Shares of the profile's examples, so that `thorough` stays thorough.
some_examples = settings(max_examples=max(5, settings.default.max_examples // 3))
few_examples = settings(max_examples=max(5, settings.default.max_examples // 6))


def rewards_of(num_responses: Sequence[int], successes: Sequence[int]) -> Feedback:
    """Binary feedback from plain lists."""
    return Feedback(np.array(num_responses, np.int64), np.array(successes, np.int64))


def naive_of(naive: Callable[..., Any], fast: BaseAllocator[Any], **given: Any) -> Any:
    """A naive implementation on the problem of a fast one."""
    problem = fast.problem
    return naive(
        problem.num_prompts,
        problem.num_rounds,
        problem.budget,
        problem.capacity,
        problem.max_units,
        problem.responses_per_unit,
        **given,
    )


def epochs_of(fast: BaseAllocator[Any]) -> Callable[[int], list[int]]:
    """The orders of an allocator's epochs: which prompts come first is luck, not the rule."""

    def order_of(epoch: int) -> list[int]:
        rng = seeding.generator(f"{fast.name} epoch", fast.seed, epoch)
        return rng.permutation(fast.problem.num_prompts).tolist()

    return order_of


# --- strategies ------------------------------------------------------------------------------------------------


def edgy(low: int, high: int) -> st.SearchStrategy[int]:
    """Integers in low..high with both ends drawn often."""
    return st.one_of(st.integers(low, high), st.sampled_from((high, low)))


@st.composite
def problems(
    draw: st.DrawFn,
    max_prompts: int = 6,
    max_rounds: int = 6,
    max_units: int = 3,
    max_responses: int = 3,
    max_budget: int | None = None,
) -> AllocationProblem:
    """Any valid problem; M=1, K=1, B=1, C=M*N_max and B=K*C often, and N_max need not divide C."""
    prompts, rounds = draw(edgy(1, max_prompts)), draw(edgy(1, max_rounds))
    units = draw(st.integers(1, max_units))
    capacity = draw(edgy(1, prompts * units))
    most = rounds * capacity if max_budget is None else min(max_budget, rounds * capacity)
    return AllocationProblem(
        num_prompts=prompts,
        num_rounds=rounds,
        budget=draw(edgy(1, most)),
        capacity=capacity,
        max_units=units,
        responses_per_unit=draw(st.integers(1, max_responses)),
        saturation=draw(st.sampled_from((1.0, 0.25, 3.0))),
    )


def success_rates(num_prompts: int) -> st.SearchStrategy[tuple[float, ...]]:
    """[M] success rates, hopeless (0) and solved (1) prompts among them."""
    rate = st.one_of(st.sampled_from((0.5, 0.0, 1.0)), st.integers(1, 19).map(lambda i: i / 20))
    return st.lists(rate, min_size=num_prompts, max_size=num_prompts).map(tuple)


def _priors() -> st.SearchStrategy[Any]:
    return st.one_of(st.just((1.0, 1.0)), st.tuples(st.floats(0.2, 4.0), st.floats(0.2, 4.0)))


@st.composite
def method_options(draw: st.DrawFn, name: str, problem: AllocationProblem) -> dict[str, Any]:
    """Random hyper-parameters of the CERO family and of the peers; nothing for the others."""
    if name in ("knapsack", "coba", "vip", "reinforce_ada_est"):
        return draw(batch_options(name, problem))
    if name in ("dapo", "speed", "greso", "hora", "reinforce_ada"):
        return draw(wave_options(name, problem))
    if not name.startswith("cero") and name not in ("dual_mirror_descent", "mopps"):
        return {}
    options: dict[str, Any] = {}
    if draw(st.booleans()):
        options["forgetting"] = draw(st.floats(0.05, 1.0))
    if draw(st.booleans()):
        options["prior"] = draw(st.one_of(_priors(), st.just("pool")))
    options["precision"] = draw(st.sampled_from(("double", "single")))
    if name == "mopps":
        options["target"] = draw(st.sampled_from((0.5, 0.0, 0.3, (0.3, 0.7), (0.5, 0.5))))
        options["candidate_ratio"] = draw(st.sampled_from((None, 1, 2)))
        return options
    if name != "cero_greedy" and draw(st.booleans()):
        options["step_slope"] = draw(st.floats(0.05, 1.0))
        options["saturation"] = draw(st.floats(0.2, 4.0))
    if name in ("cero", "dual_mirror_descent") and draw(st.booleans()):
        options["price"] = draw(st.sampled_from((0.0, 0.2, 0.9, 1.0)))
        options["step_price"] = draw(st.floats(0.05, 1.0))
        options["catch_up"] = draw(st.booleans())
    if name == "dual_mirror_descent":
        options["floor"] = draw(st.sampled_from((1e-3, 1e-9, 0.3, 1.0)))
        options["mirror_slopes"] = draw(st.booleans())
    return options


@st.composite
def batch_options(draw: st.DrawFn, name: str, problem: AllocationProblem) -> dict[str, Any]:
    """Random hyper-parameters of the methods that lay out a batch; every group size fits the problem."""
    if name == "reinforce_ada_est":
        middle = (1 + 3 * problem.max_units) / 4
        return {
            "power": draw(st.sampled_from((0.5, 1.0, 0.0, 3.0))),
            "forgetting": draw(st.sampled_from((0.9, 1.0, 0.2))),
            "group_units": draw(st.sampled_from((None, 1, middle, problem.max_units))),
        }
    most = problem.max_units * problem.responses_per_unit
    options: dict[str, Any] = {"least_responses": draw(st.integers(3, 5))}
    options["most_responses"] = max(options["least_responses"], draw(st.sampled_from((most, 2 * most))))
    if draw(st.booleans()):
        least = min(-(-options["least_responses"] // problem.responses_per_unit), problem.max_units)
        options["group_units"] = draw(st.sampled_from((least, problem.max_units, (least + 3 * problem.max_units) / 4)))
    if name == "knapsack" and draw(st.booleans()):
        options["window"] = draw(st.integers(1, 9))
        options["min_observations"] = draw(st.integers(1, options["window"]))
    if name == "coba":
        options["window"] = draw(st.integers(1, 4))
    if name == "vip":
        options["form"] = draw(st.sampled_from(("rloo", "dr_grpo")))
    return options


@st.composite
def wave_options(draw: st.DrawFn, name: str, problem: AllocationProblem) -> dict[str, Any]:
    """Random hyper-parameters of the methods with several waves a round; every group size fits the problem."""
    options: dict[str, Any]
    units = problem.max_units
    if name == "hora":
        probe = draw(st.integers(1, units))
        options = {"probe_units": probe, "most_responses": draw(st.sampled_from((32, 4)))}
        most = max(probe, min(options["most_responses"] // problem.responses_per_unit, units))
        options["group_units"] = draw(st.sampled_from((None, probe, most, (probe + 3 * most) / 4)))
        return options
    if name in ("dapo", "greso"):
        options = {"batch_share": draw(st.sampled_from((1.0 / 3.0, 0.1, 0.7, 1.0)))}
        options["max_batches"] = draw(st.sampled_from((10, 1, 2)))
        if name == "greso":
            options["exploration"] = draw(st.sampled_from((0.5, 0.06, 0.95)))
            options["target_zero_variance"] = draw(st.sampled_from((0.25, 0.0, 0.5, 1.0)))
        return options
    options = {"max_waves": draw(st.integers(2, 5))}
    if name == "speed":
        options["total_responses"] = draw(st.sampled_from((24, 6)))
        total = min(options["total_responses"] // problem.responses_per_unit, problem.max_units, problem.capacity)
        options["screen_units"] = draw(st.sampled_from((None, 1, max(1, total))))
    else:
        options["variant"] = draw(st.sampled_from(("balanced", "pos")))
        options["train_responses"] = draw(st.integers(2, 5))
        options["wave_units"] = draw(st.sampled_from((None, 1, units)))
    return options


@st.composite
def scenarios(draw: st.DrawFn, name: str, *, graded: bool | None = False, **sizes: Any) -> Scenario:
    """An allocator on a random problem with random options; ``graded=None`` draws the kind of rewards as well."""
    problem = draw(problems(**sizes))
    return Scenario(
        name=name,
        problem=problem,
        rates=draw(success_rates(problem.num_prompts)),
        seed=draw(st.integers(0, 3)),
        options=draw(method_options(name, problem)),
        schedule_of=draw(st.sampled_from(("uniform", "cero"))) if name == "random_matched" else "uniform",
        luck_seed=draw(st.integers(0, 1000)),
        graded=draw(st.booleans()) if graded is None else graded,
    )


@st.composite
def feedbacks(
    draw: st.DrawFn, allocation: Allocation, problem: AllocationProblem, graded: bool | None = None
) -> Feedback:
    """Any valid feedback for an allocation: binary, or graded with the sums of rewards in [0, 1]."""
    if graded is None:
        graded = draw(st.booleans())
    counts = (allocation.units * problem.responses_per_unit).tolist()
    if not graded:
        return rewards_of(counts, [draw(edgy(0, count)) for count in counts])
    groups = [draw(st.lists(st.floats(0.0, 1.0), min_size=count, max_size=count)) for count in counts]
    return Feedback(
        np.array(counts, np.int64),
        np.array([sum(rewards) for rewards in groups], np.float64).clip(max=counts),
        np.array([sum(reward * reward for reward in rewards) for rewards in groups], np.float64),
    )
