"""The budget ledger: it alone spends, and refuses what the problem does not allow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from cerolab.allocation import Allocation
from cerolab.checks import whole_number
from cerolab.errors import OverspendError, ProtocolError, StateError
from cerolab.problem import AllocationProblem
from cerolab.types import IntArray

_SCHEMA = 1
_MOST = 2**63 - 1
_COUNTS = ("units", "responses", "tokens", "updates", "round_index")


class BudgetLedger:
    """Counts units, responses, tokens and updates of one horizon; belongs to the rollout loop, not to the allocator.

    Every generated response counts, trained on or not. A wave is checked as a whole: it is booked entirely or, with
    an ``OverspendError``, not at all.

    Under a token budget a wave is booked with the most tokens that it can cost, and refused where they are not left;
    ``count_tokens`` puts the true number in their place, before the round ends. So it can never be overspent.

    Attributes:
        units, responses, tokens, updates: spent so far.
        round_index: rounds ended so far.
        reserved_tokens: most tokens of the waves that are booked and not counted yet; 0 without a token budget.
        exposure_M: int64 [M], units that each prompt has had.
    """

    def __init__(self, problem: AllocationProblem):
        self.problem = problem
        self.units = self.responses = self.tokens = self.updates = self.round_index = 0
        self.reserved_tokens = 0
        self.exposure_M: IntArray = np.zeros(problem.num_prompts, np.int64)
        self._round_units = 0
        self._round_waves: list[Allocation] = []

    def __repr__(self) -> str:
        """``BudgetLedger(round 12 of 100, 1,240 of 10,000 units spent, 4,960 responses, 12 updates)``."""
        problem = self.problem
        parts = [
            f"round {self.round_index:,} of {problem.num_rounds:,}",
            f"{self.units:,} of {problem.budget:,} units spent",
            f"{self.responses:,} responses",
            *([] if problem.token_budget is None else [f"{self.tokens:,} of {problem.token_budget:,} tokens"]),
            f"{self.updates:,} updates",
        ]
        return f"BudgetLedger({', '.join(parts)})"

    @property
    def remaining(self) -> int:
        """Units left of the budget."""
        return self.problem.budget - self.units

    @property
    def remaining_responses(self) -> int:
        """Responses left of the budget."""
        return self.remaining * self.problem.responses_per_unit

    @property
    def remaining_tokens(self) -> int | None:
        """Tokens left of the token budget that no wave has reserved; None without one."""
        budget = self.problem.token_budget
        return None if budget is None else budget - self.tokens - self.reserved_tokens

    @property
    def round_units(self) -> int:
        """Units of the round so far."""
        return self._round_units

    def spend(self, allocation: Allocation) -> None:
        """Book one wave.

        Raises:
            OverspendError: prompts outside the pool or named twice, a prompt above its cap in this round, more than
                the round's capacity or the remaining budget, more than the tokens left could pay for, or a round after
                the last.
            ProtocolError: a wave without units that is not the round's last, so that the round might never end.
        """
        if not allocation.num_units and not allocation.last_wave:
            raise ProtocolError(
                f"round {self.round_index} has a wave without units that is not its last; every other wave has one at "
                "least, so that the round ends: set last_wave=True"
            )
        self._check_prompts(allocation)
        self._check_total(allocation.num_units)
        self.exposure_M[allocation.prompts] += allocation.units
        self._book(allocation)

    def _check_prompts(self, allocation: Allocation) -> None:
        problem, prompts, units = self.problem, allocation.prompts, allocation.units
        if not prompts.size:
            return
        ordered = np.sort(prompts)
        if ordered[-1] >= problem.num_prompts:
            raise OverspendError(f"prompts has id {ordered[-1]}, the pool has {problem.num_prompts} (ids start at 0)")
        twice = ordered[1:] == ordered[:-1]
        if twice.any():
            raise OverspendError(f"prompt {ordered[1:][twice][0]} is named twice in one wave; sum its units")
        had = units + self._round_exposure()[prompts] if self._round_waves else units
        if int(had.max()) > problem.max_units:
            at = int(had.argmax())
            raise OverspendError(
                f"prompt {int(prompts[at])} would get {int(had[at])} units in round {self.round_index}, "
                f"above max_units={problem.max_units}"
            )

    def _check_total(self, total: int) -> None:
        problem = self.problem
        if self.round_index >= problem.num_rounds and total:
            raise OverspendError(f"round {self.round_index}: the horizon of {problem.num_rounds} rounds is over")
        if self._round_units + total > problem.capacity:
            raise OverspendError(
                f"round {self.round_index} would execute {self._round_units + total} units, "
                f"above capacity={problem.capacity}"
            )
        if total > self.remaining:
            raise OverspendError(f"{total} units asked for, {self.remaining} left of budget={problem.budget}")
        reserve, tokens_left = total * problem.most_unit_tokens, self.remaining_tokens
        if tokens_left is not None and reserve > tokens_left:
            raise OverspendError(
                f"{total} units can cost {reserve} tokens, {tokens_left} left of token_budget={problem.token_budget}"
            )

    def _book(self, allocation: Allocation) -> None:
        """Count a wave that may be spent and is in ``exposure_M``."""
        total = allocation.num_units
        self.units += total
        self.reserved_tokens += total * self.problem.most_unit_tokens
        self.responses += total * self.problem.responses_per_unit
        self._round_units += total
        self._round_waves.append(allocation)

    def _round_exposure(self) -> IntArray:
        """int64 [M]: units that each prompt has had in the round that is still open."""
        exposure_M = np.zeros_like(self.exposure_M)
        for wave in self._round_waves:
            exposure_M[wave.prompts] += wave.units
        return exposure_M

    def count_tokens(self, num_tokens: int) -> None:
        """Book generated tokens; under a token budget all those of the waves booked since the last count.

        Where the responses were lost, count ``reserved_tokens``, the most that they can have been.

        Raises:
            InvalidValueError: negative, or no whole number.
            OverspendError: more than these waves have reserved; nothing is booked.
        """
        counted = whole_number("num_tokens", num_tokens, least=0)
        if self.problem.token_budget is not None and counted > self.reserved_tokens:
            raise OverspendError(
                f"{counted} tokens counted, {self.reserved_tokens} reserved; a response has at most "
                f"max_tokens={self.problem.max_tokens}, and each is counted once"
            )
        self.tokens += counted
        self.reserved_tokens = 0

    def end_round(self, updated: bool) -> None:
        """Close the round; ``updated`` says whether the policy was updated (an empty round leaves it).

        Raises:
            ProtocolError: all rounds of the horizon are closed already, or tokens of the round were not counted.
        """
        if self.reserved_tokens:
            raise ProtocolError(
                f"round {self.round_index} ends with {self.reserved_tokens} tokens reserved; count_tokens() first"
            )
        if self.round_index >= self.problem.num_rounds:
            raise ProtocolError(f"the horizon of {self.problem.num_rounds} rounds is over; no round is left to end")
        self.round_index += 1
        self.updates += bool(updated)
        self._round_units = 0
        self._round_waves.clear()

    def extend(self, num_new: int) -> None:
        """Take ``num_new`` prompts into the pool, with the ids M, M+1, ...; nothing of the budget is touched.

        Raises:
            InvalidValueError: no whole number >= 1.
            ProtocolError: a round is open. In both cases the ledger stays as it was.
        """
        num_new = whole_number("num_new", num_new, least=1)
        if self._round_waves:
            raise ProtocolError(f"round {self.round_index} is open; let prompts join after end_round()")
        self.problem = self.problem.grown(num_new)
        self.exposure_M = np.append(self.exposure_M, np.zeros(num_new, np.int64))

    def state_dict(self) -> dict[str, Any]:
        """Arrays and scalars only; ``round_exposure`` is what the round that is still open has spent."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        counts |= {"schema_version": _SCHEMA, "problem": json.dumps(self.problem.to_dict(), sort_keys=True)}
        if self.problem.token_budget is not None:
            counts["reserved_tokens"] = self.reserved_tokens
        return {**counts, "exposure": self.exposure_M.copy(), "round_exposure": self._round_exposure()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict()``.

        Raises:
            StateError: the state is of another pool or above the budget; the ledger stays as it was.
        """
        for key, mine in (
            ("schema_version", _SCHEMA),
            ("problem", json.dumps(self.problem.to_dict(), sort_keys=True)),
        ):
            theirs = np.asarray(state.get(key))
            if theirs.size != 1 or theirs.item() != mine:
                raise StateError(f"ledger state has {key}={theirs}, this ledger {key}={mine}")
        counts: dict[str, int] = {}
        budgeted = self.problem.token_budget is not None
        for name in (*_COUNTS, "reserved_tokens") if budgeted else _COUNTS:
            value = np.asarray(state.get(name))
            if value.size != 1 or value.dtype.kind not in "iu" or not 0 <= value.item() <= _MOST:
                raise StateError(f"ledger state has {name}={state.get(name)}, expected a whole number >= 0")
            counts[name] = int(value.item())
        exposure, round_exposure = (np.asarray(state.get(name)) for name in ("exposure", "round_exposure"))
        for name, array in (("exposure", exposure), ("round_exposure", round_exposure)):
            if array.shape != self.exposure_M.shape:
                raise StateError(f"ledger state has {name} of {array.size} prompts, not {self.problem.num_prompts}")
            if array.dtype.kind not in "iu" or array.min() < 0:
                raise StateError(f"ledger state has {name} {array}, expected whole numbers >= 0")
        rounds, updates = counts["round_index"], counts["updates"]
        if rounds > self.problem.num_rounds:
            raise StateError(f"ledger state has round_index={rounds} of {self.problem.num_rounds}")
        if updates > rounds:
            raise StateError(f"ledger state has updates={updates} in round_index={rounds} rounds")
        begun = min(rounds + 1, self.problem.num_rounds)  # the last of them may be open
        this_round = begun - rounds
        each = {"exposure": begun * self.problem.max_units, "round_exposure": this_round * self.problem.max_units}
        for name, array in (("exposure", exposure), ("round_exposure", round_exposure)):
            if array.max() > each[name]:
                raise StateError(f"ledger state has {name} up to {array.max()}, at most {each[name]} can be")
        for name, array, units in (
            ("exposure", exposure, begun * self.problem.capacity),
            ("round_exposure", round_exposure, this_round * self.problem.capacity),
        ):
            if int(array.sum()) > units:
                raise StateError(f"ledger state has {name} of {int(array.sum())} units, at most {units} can be")
        if (round_exposure > exposure).any():
            raise StateError("ledger state has round_exposure above exposure")
        if counts["units"] != int(exposure.sum()) or counts["units"] > self.problem.budget:
            raise StateError(
                f"ledger state has units={counts['units']}, exposures of {int(exposure.sum())}, "
                f"budget={self.problem.budget}: they do not fit together"
            )
        if counts["responses"] != counts["units"] * self.problem.responses_per_unit:
            raise StateError(
                f"ledger state has responses={counts['responses']}, expected {self.problem.responses_per_unit} a unit"
            )
        reserved, unit_tokens = counts.setdefault("reserved_tokens", 0), self.problem.most_unit_tokens
        most = min((self.problem.token_budget or 0) - counts["tokens"], int(round_exposure.sum()) * unit_tokens)
        if budgeted and (reserved > most or reserved % unit_tokens):
            raise StateError(
                f"ledger state has tokens={counts['tokens']}, reserved_tokens={reserved}, "
                f"token_budget={self.problem.token_budget}: they do not fit together"
            )
        for name, count in counts.items():
            setattr(self, name, count)
        self.exposure_M = exposure.astype(np.int64)
        spent = np.flatnonzero(round_exposure)
        self._round_units = int(round_exposure.sum())
        self._round_waves = [Allocation(spent, round_exposure[spent])] if spent.size else []
