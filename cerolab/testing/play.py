"""A loop that plays horizons against luck which is a pure function of seed, round, prompt and response."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cerolab.allocation import Allocation, Feedback, Wave
from cerolab.allocator import BaseAllocator
from cerolab.ledger import BudgetLedger
from cerolab.problem import AllocationProblem
from cerolab.registry import make
from cerolab.types import IntArray

_MOST_WAVES = 1000  # of a round, or of a horizon of the few rounds that are played
FeedbackFn = Callable[[int, Allocation], Feedback]  # (round index, allocation) -> feedback


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
        """The feedback of an allocation."""
        num_responses: list[int] = []
        reward_sum: list[float] = []
        reward_sq_sum: list[float] = []
        for prompt, units in as_pairs(allocation):
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

    def tokens(self, round_index: int, allocation: Allocation) -> IntArray:
        """Lengths of 0 to ``max_tokens``, each prompt with a longest of its own; at both ends often."""
        max_tokens = self.problem.max_tokens or 0
        totals = []
        for prompt, units in as_pairs(allocation):
            most = max(1, max_tokens * (1 + (prompt + self.seed) % 4) // 4)
            responses = range(units * self.problem.responses_per_unit)
            coins = [self.coin(f"tokens/{round_index}", prompt, response) for response in responses]
            totals.append(sum(min(most, int(coin * 1.3 * (most + 1))) for coin in coins))
        return np.array(totals, np.int64)

    def reward(self, round_index: int, prompt: int, response: int) -> float:
        """Of one response."""
        coin = self.coin(round_index, prompt, response)
        rate = self.rates[prompt]
        if not self.graded or rate in (0.0, 1.0):
            return float(coin < rate)
        return float(coin ** ((1.0 - rate) / rate))  # a Beta variable with mean `rate`

    def coin(self, moment: object, prompt: int, response: int) -> float:
        """Uniform in [0, 1)."""
        key = f"{self.seed}/{moment}/{prompt}/{response}".encode()
        return (int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 11) * 2.0**-53


def until(over: Callable[[], bool], what: str) -> Iterator[int]:
    """0, 1, ... until ``over()``; a loop of waves that an allocator never ends is an ``AssertionError``."""
    for at in range(_MOST_WAVES):
        if over():
            return
        yield at
    raise AssertionError(f"{what} after {_MOST_WAVES:,} waves")


# --- playing a horizon --------------------------------------------------------------------------------------------


@dataclass
class Play:
    """What happened: the allocation of every wave, and the books."""

    problem: AllocationProblem
    allocator: BaseAllocator[Any]
    ledger: BudgetLedger
    allocations: list[Allocation] = field(default_factory=list)

    @property
    def units(self) -> list[int]:
        """Units of every wave."""
        return [allocation.num_units for allocation in self.allocations]

    @property
    def pairs(self) -> list[list[tuple[int, int]]]:
        """What every wave admitted."""
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
        for wave in until(lambda: False, f"round {round_index} has no last wave"):
            allocation = allocator.allocate()
            result.ledger.spend(allocation)
            feedback = luck(moment(problem, round_index, wave), allocation)
            if problem.token_budget is not None:
                result.ledger.count_tokens(int(np.sum(np.asarray(feedback.num_tokens))))
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
    for _ in until(lambda: waves[-1].allocation.last_wave, "a round has no last wave"):
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
    return not differing(one, other)


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """The keys in which two states differ."""
    return [
        key
        for key in sorted({*one, *other})
        if key not in one or key not in other or not np.array_equal(np.asarray(one[key]), np.asarray(other[key]))
    ]


# --- allocators ------------------------------------------------------------------------------------------------


def recorded_schedule(problem: AllocationProblem, source: str = "cero") -> list[Allocation]:
    """The allocations of a run of ``source`` on this problem, one a wave."""
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
        """A fresh allocator."""
        needed = options_for(self.name, self.problem, self.rates, self.schedule_of)
        return make(self.name, self.problem, seed=self.seed, **{**needed, **self.options, **changed})

    @property
    def luck(self) -> Luck:
        """The rewards that it meets."""
        return Luck(self.problem, self.rates, self.luck_seed, self.graded)

    def __str__(self) -> str:
        sizes = {"M": "num_prompts", "K": "num_rounds", "B": "budget", "C": "capacity", "N_max": "max_units"}
        sizes |= {"g": "responses_per_unit", "T": "token_budget"}
        known = {short: getattr(self.problem, name) for short, name in sizes.items()}
        text = ", ".join(f"{short}={value}" for short, value in known.items() if value is not None)
        return f"{text}, seed={self.seed}{', graded rewards' if self.graded else ''}"
