"""The budget ledger: it alone spends, and refuses what the problem does not allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cerolab.allocation import Allocation, IntArray
from cerolab.errors import InvalidValueError, OverspendError, StateError
from cerolab.problem import AllocationProblem


class BudgetLedger:
    """Counts units, responses, tokens and updates of one horizon; belongs to the rollout loop, not to the allocator.

    Every generated response counts, trained on or not. A wave is checked as a whole: it is booked entirely or, with
    an ``OverspendError``, not at all.

    Attributes:
        units, responses, tokens, updates: spent so far.
        round_index: rounds ended so far.
        exposure_M: int64 [M], units that each prompt has had.
    """

    def __init__(self, problem: AllocationProblem):
        self.problem = problem
        self.units = self.responses = self.tokens = self.updates = self.round_index = 0
        self.exposure_M: IntArray = np.zeros(problem.num_prompts, np.int64)
        self._round_units = 0
        self._round_waves: list[Allocation] = []

    @property
    def remaining(self) -> int:
        """Units left of the budget."""
        return self.problem.budget - self.units

    @property
    def remaining_responses(self) -> int:
        """Responses left of the budget."""
        return self.remaining * self.problem.responses_per_unit

    @property
    def round_units(self) -> int:
        """Units of the round so far."""
        return self._round_units

    def spend(self, allocation: Allocation) -> None:
        """Book one wave.

        Raises:
            OverspendError: prompts outside the pool or named twice, a prompt above its cap in this round, more than
                the round's capacity or the remaining budget, or a round after the last.
        """
        problem, prompts, units = self.problem, allocation.prompts, allocation.units
        total = allocation.num_units
        if self.round_index >= problem.num_rounds and total:
            raise OverspendError(f"round {self.round_index}: the horizon of {problem.num_rounds} rounds is over")
        if prompts.size:
            ordered = np.sort(prompts)
            if ordered[-1] >= problem.num_prompts:
                raise OverspendError(
                    f"prompts has id {ordered[-1]}, the pool has {problem.num_prompts} (ids start at 0)"
                )
            twice = ordered[1:] == ordered[:-1]
            if twice.any():
                raise OverspendError(f"prompt {ordered[1:][twice][0]} is named twice in one wave; sum its units")
            had = units
            if self._round_waves:
                earlier_M = np.zeros(problem.num_prompts, np.int64)
                for wave in self._round_waves:
                    earlier_M[wave.prompts] += wave.units
                had = units + earlier_M[prompts]
            if int(had.max()) > problem.max_units:
                at = int(had.argmax())
                raise OverspendError(
                    f"prompt {int(prompts[at])} would get {int(had[at])} units in round {self.round_index}, "
                    f"above max_units={problem.max_units}"
                )
        if self._round_units + total > problem.capacity:
            raise OverspendError(
                f"round {self.round_index} would execute {self._round_units + total} units, "
                f"above capacity={problem.capacity}"
            )
        if total > self.remaining:
            raise OverspendError(f"{total} units asked for, {self.remaining} left of budget={problem.budget}")
        self.units += total
        self.responses += total * problem.responses_per_unit
        self.exposure_M[prompts] += units
        self._round_units += total
        if not allocation.last_wave:
            self._round_waves.append(allocation)

    def count_tokens(self, num_tokens: int) -> None:
        """Book generated tokens.

        Raises:
            InvalidValueError: a negative number.
        """
        if num_tokens < 0:
            raise InvalidValueError("num_tokens", num_tokens, "is negative", "count generated tokens")
        self.tokens += int(num_tokens)

    def end_round(self, updated: bool) -> None:
        """Close the round; ``updated`` says whether the policy was updated (an empty round leaves it)."""
        self.round_index += 1
        self.updates += bool(updated)
        self._round_units = 0
        self._round_waves.clear()

    def state_dict(self) -> dict[str, Any]:
        """Arrays and scalars only; take it between rounds."""
        counts = {name: getattr(self, name) for name in ("units", "responses", "tokens", "updates", "round_index")}
        return {**counts, "exposure": self.exposure_M.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict()``.

        Raises:
            StateError: the state is of another pool or above the budget; the ledger stays as it was.
        """
        try:
            exposure = np.array(state["exposure"], np.int64)
            counts = {name: int(state[name]) for name in ("units", "responses", "tokens", "updates", "round_index")}
        except KeyError as missing:
            raise StateError(f"ledger state lacks {missing}; was it saved by BudgetLedger.state_dict()?") from None
        if exposure.shape != self.exposure_M.shape:
            raise StateError(f"ledger state has {exposure.size} prompts, the problem {self.problem.num_prompts}")
        if counts["units"] != int(exposure.sum()) or counts["units"] > self.problem.budget:
            raise StateError(
                f"ledger state has units={counts['units']}, exposures of {int(exposure.sum())}, "
                f"budget={self.problem.budget}: they do not fit together"
            )
        for name, value in counts.items():
            setattr(self, name, value)
        self.exposure_M = exposure
        self._round_units = 0
        self._round_waves.clear()
