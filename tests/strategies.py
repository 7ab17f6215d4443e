"""Random problems, allocators and feedback for the tests, and a loop that plays a whole horizon."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from cerolab import Allocation, AllocationProblem, BaseAllocator, BudgetLedger, Feedback, Wave, make, seeding

FeedbackFn = Callable[[int, Allocation], Feedback]  # (round index, allocation) -> feedback

# Shares of the profile's examples, so that `thorough` stays thorough.
some_examples = settings(max_examples=max(5, settings.default.max_examples // 3))
few_examples = settings(max_examples=max(5, settings.default.max_examples // 6))


# --- luck ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Luck:
    """Rewards that are a pure function of (seed, round, prompt, response), whoever asks.

    ``labels`` renames the prompts before they are looked up, so a relabelled pool can meet the same luck.
    """

    problem: AllocationProblem
    rates: Sequence[float]
    seed: int = 0
    graded: bool = False
    labels: Sequence[int] | None = None

    def __call__(self, round_index: int, allocation: Allocation) -> Feedback:
        num_responses, reward_sum, reward_sq_sum = [], [], []
        for prompt, units in zip(allocation.prompts.tolist(), allocation.units.tolist(), strict=True):
            label = prompt if self.labels is None else self.labels[prompt]
            count = units * self.problem.responses_per_unit
            rewards = [self.reward(round_index, label, response) for response in range(count)]
            num_responses.append(count)
            reward_sum.append(sum(rewards))
            reward_sq_sum.append(sum(reward * reward for reward in rewards))
        return Feedback(
            np.array(num_responses, np.int64),
            np.array(reward_sum, np.float64),
            np.array(reward_sq_sum, np.float64) if self.graded else None,
            None if self.problem.max_tokens is None else self.tokens(round_index, allocation),
        )

    def tokens(self, round_index: int, allocation: Allocation) -> np.ndarray:
        """Lengths of 0 to ``max_tokens``, each prompt with a longest of its own; at both ends often."""
        totals = []
        for prompt, units in zip(allocation.prompts.tolist(), allocation.units.tolist(), strict=True):
            most = max(1, self.problem.max_tokens * (1 + (prompt + self.seed) % 4) // 4)
            responses = range(units * self.problem.responses_per_unit)
            coins = [self.coin(f"tokens/{round_index}", prompt, response) for response in responses]
            totals.append(sum(min(most, int(coin * 1.3 * (most + 1))) for coin in coins))
        return np.array(totals, np.int64)

    def reward(self, round_index: int, prompt: int, response: int) -> float:
        coin = self.coin(round_index, prompt, response)
        rate = self.rates[prompt]
        if not self.graded or rate in (0.0, 1.0):
            return float(coin < rate)
        return coin ** ((1.0 - rate) / rate)  # a Beta variable with mean `rate`

    def coin(self, moment: object, prompt: int, response: int) -> float:
        key = f"{self.seed}/{moment}/{prompt}/{response}".encode()
        return (int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 11) * 2.0**-53


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


# --- playing a horizon --------------------------------------------------------------------------------------------


@dataclass
class Play:
    """What happened: the allocation of every round (waves merged by the list), and the books."""

    problem: AllocationProblem
    allocator: BaseAllocator[Any]
    ledger: BudgetLedger
    allocations: list[Allocation] = field(default_factory=list)

    @property
    def units(self) -> list[int]:
        return [allocation.num_units for allocation in self.allocations]

    @property
    def pairs(self) -> list[list[tuple[int, int]]]:
        return [as_pairs(allocation) for allocation in self.allocations]


def play(
    allocator: BaseAllocator[Any],
    problem: AllocationProblem,
    luck: FeedbackFn | Sequence[float] | None = None,
    seed: int = 0,
    *,
    rounds: int | None = None,
    ledger: BudgetLedger | None = None,
    after_round: Callable[[Play], None] | None = None,
) -> Play:
    """Run the horizon (or ``rounds`` of it) through a ledger that refuses what the problem does not allow.

    ``luck`` is a feedback function or success rates [M] (0.5 each by default). It goes on after the budget is spent,
    because empty rounds count as well.
    """
    if not callable(luck):
        luck = Luck(problem, [0.5] * problem.num_prompts if luck is None else [float(p) for p in luck], seed)
    result = Play(problem, allocator, ledger or BudgetLedger(problem))
    last = problem.num_rounds if rounds is None else min(problem.num_rounds, result.ledger.round_index + rounds)
    while result.ledger.round_index < last:
        round_index = result.ledger.round_index
        for wave in itertools.count():
            allocation = allocator.allocate()
            result.ledger.spend(allocation)
            feedback = luck(moment(problem, round_index, wave), allocation)
            if problem.token_budget is not None:
                result.ledger.count_tokens(int(np.sum(feedback.num_tokens)))
            allocator.observe(allocation, feedback)
            result.allocations.append(allocation)
            if allocation.last_wave:
                break
        result.ledger.end_round(updated=bool(allocation.num_groups))
        if after_round is not None:
            after_round(result)
    return result


def as_pairs(allocation: Allocation) -> list[tuple[int, int]]:
    """[(prompt, units), ...] in priority order."""
    return list(zip(allocation.prompts.tolist(), allocation.units.tolist(), strict=True))


def moment(problem: AllocationProblem, round_index: int, wave: int) -> int:
    """The round that luck is asked for: a later wave of a round meets luck of its own."""
    return round_index + wave * (problem.num_rounds + 1)


def one_wave(allocator: BaseAllocator[Any], luck: FeedbackFn, wave: int = 0) -> Wave:
    """One allocate() and observe()."""
    allocation = allocator.allocate()
    feedback = luck(moment(allocator.problem, allocator.round_index, wave), allocation)
    allocator.observe(allocation, feedback)
    return Wave(allocation, feedback)


def one_round(allocator: BaseAllocator[Any], luck: FeedbackFn, wave: int = 0) -> list[Wave]:
    """Waves up to the last of the round, ``wave`` of which it has had."""
    waves = [one_wave(allocator, luck, wave)]
    while not waves[-1].allocation.last_wave:
        waves.append(one_wave(allocator, luck, wave + len(waves)))
    return waves


def pairs_of(waves: Sequence[Wave]) -> list[list[tuple[int, int]]]:
    """What the waves of a round admit."""
    return [as_pairs(wave.allocation) for wave in waves]


# --- states ----------------------------------------------------------------------------------------------------


def through_a_file(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state after a real round trip through an .npz without pickles."""
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def same_state(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two states are equal to the last bit."""
    return one.keys() == other.keys() and all(
        np.array_equal(np.asarray(one[key]), np.asarray(other[key])) for key in one
    )


# --- allocators ------------------------------------------------------------------------------------------------


def recorded_schedule(problem: AllocationProblem, source: str = "cero") -> list[Allocation]:
    """The allocations of a run of ``source`` on this problem, one a round."""
    return play(make(source, problem, seed=1234), problem, seed=77).allocations


def options_for(
    name: str, problem: AllocationProblem, rates: Sequence[float], schedule_of: str = "uniform"
) -> dict[str, Any]:
    """The options without which an allocator cannot be made."""
    if name == "random_matched":
        return {"schedule": recorded_schedule(problem, schedule_of)}
    if name == "oracle":
        rate = np.asarray(rates, np.float64)
        return {"rate": rate * (1.0 - rate)}
    return {}


@dataclass(frozen=True)
class Scenario:
    """One way to make an allocator, with the luck that it will meet."""

    name: str
    problem: AllocationProblem
    rates: tuple[float, ...]
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    schedule_of: str = "uniform"
    luck_seed: int = 0
    graded: bool = False

    def make(self, **changed: Any) -> BaseAllocator[Any]:
        needed = options_for(self.name, self.problem, self.rates, self.schedule_of)
        return make(self.name, self.problem, seed=self.seed, **{**needed, **self.options, **changed})

    @property
    def luck(self) -> Luck:
        return Luck(self.problem, self.rates, self.luck_seed, self.graded)


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
