"""Base of the allocators that probe and then commit: several waves in a round, prompts from shuffled epochs.

The problem's constraints hold for the round over all its waves: the quota is the even quota at the first wave, and a
prompt gets at most N_max units. A round ends with a wave that is known to be its last, or with an empty one. Units that
it leaves over go to later rounds, as far as the capacity lets.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeVar

import numpy as np

from cerolab import limits
from cerolab.allocation import Allocation
from cerolab.allocator import BaseAllocator
from cerolab.errors import InvalidValueError, StateError
from cerolab.feedback import CheckedFeedback
from cerolab.groups import contrast
from cerolab.limits import Limits
from cerolab.problem import AllocationProblem
from cerolab.selection import epochs
from cerolab.selection.epochs import Epochs
from cerolab.types import BoolArray, IntArray

OptionsT = TypeVar("OptionsT")

_MOST_TURNS = 1_000_000  # through the pool in one round, even where most prompts are skipped
_SUMS = ("round_responses", "round_reward_sum", "round_reward_sq_sum")


class RoundAllocator(BaseAllocator[OptionsT]):
    """Keeps what has happened in the round; a subclass chooses its next wave.

    State: the epoch's order int64 [M] and cursor, those before the round; ``round`` int64 [4] (waves so far, quota,
    what is left of it, prompts that the round has passed in the order); units int64 [M], responses, rewards and squared
    rewards [M] of each prompt in the round. Between rounds the last five are 0.

    Attributes:
        wave: waves of the round so far.
        drawn: prompts passed in the order so far; more than M where the round goes through the pool again.
        units_M: units of each prompt in the round so far.
        responses_M, reward_sum_M, reward_sq_sum_M: what became of them.
    """

    turns: ClassVar[float] = 1  # times that a round may go through the pool
    limits: ClassVar[Limits] = {
        **epochs.LIMITS,
        "round": (0, lambda problem: (*[problem.capacity] * 3, np.inf)),
        "round_units": (0, limits.round_units),
        **dict.fromkeys(_SUMS, (0.0, limits.round_responses)),
    }

    def __init__(self, problem: AllocationProblem, seed: int, options: OptionsT):
        super().__init__(problem, seed, options)
        self.epochs = Epochs(problem.num_prompts, f"{self.name} epoch", self.seed)
        self.wave = self.drawn = self._quota = self._left = 0
        self.units_M: IntArray = np.zeros(problem.num_prompts, np.int64)
        self.responses_M, self.reward_sum_M, self.reward_sq_sum_M = np.zeros((3, problem.num_prompts))

    @abstractmethod
    def _next_wave(self) -> Allocation:
        """The next wave, within ``left`` > 0 and the caps; an empty one ends the round. Must not change the state."""

    @property
    def round_open(self) -> bool:
        """Whether the round has had a wave, or one waits for its feedback."""
        return self.wave > 0 or super().round_open

    @property
    def quota(self) -> int:
        """Units of the round: the even quota at its first wave."""
        return self._quota if self.wave else self.even_quota()

    @property
    def left(self) -> int:
        """Units of the quota that the round has not used yet."""
        return self._left if self.wave else self.even_quota()

    @property
    def must_spend(self) -> int:
        """Units that this round must still use, or they could not be used at all: what exceeds C a later round."""
        later = (self.problem.num_rounds - self.round_index - 1) * self.problem.capacity
        return max(0, self.remaining - later)

    @property
    def round_prompts(self) -> IntArray:
        """The prompts [A] that the round has passed so far, in order."""
        return self.epochs.draw(min(self.drawn, self.problem.num_prompts))

    def _fresh(self, count: int) -> IntArray:
        """The next ``count`` prompts that the round has not passed yet; fewer where the whole pool is in the round."""
        return self.epochs.draw(min(self.drawn + count, self.problem.num_prompts))[self.drawn :]

    def _num_passed(self, num_fresh: int) -> int:
        """Prompts that the wave at hand passes in the order to get ``num_fresh`` of them."""
        return num_fresh

    def _contrast(self, prompts: IntArray) -> BoolArray:
        """Whether all rewards [A] that these prompts have had in the round, taken together, are mixed."""
        return contrast(self.responses_M[prompts], self.reward_sum_M[prompts], self.reward_sq_sum_M[prompts])

    def _select(self) -> Allocation:
        return self._next_wave() if self.left else Allocation.empty()

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        prompts = allocation.prompts
        passed = self._num_passed(int(np.count_nonzero(self.units_M[prompts] == 0)))
        self._quota, self._left = self.quota, self.left - allocation.num_units
        self.wave += 1
        self.drawn += passed
        self.units_M[prompts] += allocation.units
        self.responses_M[prompts] += feedback.num_responses
        self.reward_sum_M[prompts] += feedback.reward_sum
        self.reward_sq_sum_M[prompts] += feedback.reward_sq_sum
        if allocation.last_wave:
            self._end_round()

    def _end_round(self) -> None:
        """Go behind the prompts of the round and forget it."""
        prompts = self.round_prompts
        self.epochs.advance()
        for sums_M in (self.units_M, self.responses_M, self.reward_sum_M, self.reward_sq_sum_M):
            sums_M[prompts] = 0
        self.wave = self.drawn = self._quota = self._left = 0

    def _joined(self, own: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**super()._joined(own, start), **self.epochs.joined(own)}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            **self.epochs.arrays(),
            "round": np.array([self.wave, self._quota, self._left, self.drawn]),
            "round_units": self.units_M.copy(),
            "round_responses": self.responses_M.copy(),
            "round_reward_sum": self.reward_sum_M.copy(),
            "round_reward_sq_sum": self.reward_sq_sum_M.copy(),
        }

    def _check_state(
        self, arrays: Mapping[str, np.ndarray], round_index: int, remaining: int, spent_tokens: int
    ) -> None:
        super()._check_state(arrays, round_index, remaining, spent_tokens)
        wave, quota, left, _ = (int(x) for x in arrays["round"])
        if wave:
            before = remaining + quota - left  # when the round began
            due = self.problem.target_spend(round_index + 1) - (self.problem.budget - before)
            right = max(0, min(due, self.problem.capacity, before))
            if quota != right:
                raise StateError(f"{self.name}: the state's round has the quota {quota}, not {right}")

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        epochs = self.epochs.restored(arrays)
        wave, quota, left, drawn = (int(x) for x in arrays["round"])
        units_M = np.array(arrays["round_units"], np.int64)
        within = drawn <= min(self.turns, _MOST_TURNS) * self.problem.num_prompts
        units_fit = int(units_M.sum()) == quota - left
        if not within or not units_fit or (wave == 0 and (quota or left or drawn)):
            raise StateError(f"{self.name}: the state's round and round_units do not fit together")
        passed = epochs.draw(min(drawn, self.problem.num_prompts))
        if np.delete(units_M, passed).any():
            raise StateError(f"{self.name}: the state's round_units has prompts that the round has not passed")
        responses_M, reward_sum_M, reward_sq_sum_M = (np.array(arrays[key], np.float64) for key in _SUMS)
        if (responses_M > units_M * self.problem.responses_per_unit).any():
            raise StateError(f"{self.name}: the state's round_responses are more than its round_units have")
        slack_M = 1e-6 * responses_M
        if (reward_sum_M > responses_M + slack_M).any() or (reward_sq_sum_M > reward_sum_M + slack_M).any():
            raise StateError(f"{self.name}: the state's round_reward_sum is of no rewards in [0, 1]")
        self.epochs, self.units_M = epochs, units_M
        self.wave, self._quota, self._left, self.drawn = wave, quota, left, drawn
        self.responses_M, self.reward_sum_M, self.reward_sq_sum_M = responses_M, reward_sum_M, reward_sq_sum_M


def probe_units(field: str, given: int | None, responses: int, most: int, unit: int) -> int:
    """Units of a first look at a prompt.

    Args:
        field: name of the option.
        given: its value; None means ``responses``, rounded up to units, below ``most`` where that leaves any.
        responses: as published.
        most: units that a prompt can have in a round.
        unit: g, responses in a unit.

    Raises:
        InvalidValueError: more than ``most``.
    """
    if given is None:
        return min(-(-responses // unit), max(1, most - 1))
    if given > most:
        raise InvalidValueError(field, given, f"is above {most}, the units that a prompt can have", "lower it")
    return given
