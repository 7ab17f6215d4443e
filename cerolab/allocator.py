"""What every allocator shares: turn-taking, feedback checks, the pace of spending, checkpoints.

A method is a subclass with three pure-ish parts: ``_select`` chooses from the state without changing it,
``_learn`` changes the state from checked feedback, ``_arrays`` / ``_load_arrays`` name the state's arrays.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from cerolab import feedback as feedback_checks
from cerolab import limits
from cerolab.allocation import Allocation, Feedback, Wave
from cerolab.checks import whole_number
from cerolab.errors import AllocatorError, ProtocolError, StateError
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits
from cerolab.plugins.hooks import defined_at, described, raised
from cerolab.plugins.sources import is_built_in
from cerolab.problem import AllocationProblem
from cerolab.text import brief
from cerolab.types import BoolArray, FloatArray

STATE_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOptions:
    """Options of a method that has none."""


OptionsT = TypeVar("OptionsT")


def _changed(options: Any) -> dict[str, Any]:
    """The options that differ from their defaults, or have none."""
    found = {}
    for field in fields(options):
        value = getattr(options, field.name)
        plain = field.default if field.default_factory is MISSING else field.default_factory()
        if value is not plain and (isinstance(value, np.ndarray) or value != plain):
            found[field.name] = value
    return found


class BaseAllocator(ABC, Generic[OptionsT]):
    """Base class of allocators; see ``cerolab.allocation.Allocator`` for the interface.

    Class attributes that a subclass sets:
        name: registry name.
        Options: a frozen dataclass of hyper-parameters with defaults.
        limits: least and largest value of the state's arrays, by name, see ``cerolab.limits``; a state outside is
            refused.

    Attributes:
        problem, seed, options: as given to ``make``.
        round_index: rounds completed.
        remaining: units of the budget that this allocator has not used yet.
        remaining_tokens: tokens of the token budget that its responses have left; None without one.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Any]] = NoOptions
    limits: ClassVar[Limits] = {}
    _step: str | None = None  # of the method, while it runs

    def __init__(self, problem: AllocationProblem, seed: int, options: OptionsT):
        self.problem = problem
        self.seed = whole_number("seed", seed)
        self.options = options
        self.round_index = 0
        self.remaining = problem.budget
        self.remaining_tokens = problem.token_budget
        self._pending: Allocation | None = None
        self._open_round = (0, 0)  # waves and units of the round at hand, as far as this object has seen it

    def __repr__(self) -> str:
        """``cero(price=0.3): round 12 of 100, 8,760 of 10,000 units left, 1,000 prompts, seed 0``, as ``<...>``.

        Options that are as they are by default are left out.
        """
        problem = self.problem
        given = ", ".join(f"{name}={brief(value)}" for name, value in _changed(self.options).items())
        parts = [
            f"round {self.round_index:,} of {problem.num_rounds:,}",
            f"{self.remaining:,} of {problem.budget:,} units left",
            *(
                []
                if self.remaining_tokens is None
                else [f"{self.remaining_tokens:,} of {problem.token_budget:,} tokens"]
            ),
            f"{problem.num_prompts:,} prompts",
            f"seed {self.seed}",
        ]
        return f"<{self.name}{f'({given})' if given else ''}: {', '.join(parts)}>"

    # --- the part that a method writes -------------------------------------------------------------------------

    @abstractmethod
    def _select(self) -> Allocation:
        """Choose the next wave, within capacity, caps and ``self.remaining``; must not change the state.

        Every wave but a round's last has a unit at least, so that the round ends; ``last_wave`` says which is the last.
        A token budget is not its affair: what is chosen is cut off, in priority order, at what the tokens pay for.
        """

    @abstractmethod
    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        """Update the state; ``self.round_index`` and ``self.remaining`` are still those of the decision."""

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """The state as named arrays, copied or never changed in place."""

    @abstractmethod
    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """The inverse of ``_arrays``; raises before it changes anything."""

    def _call(self, step: str, *arguments: Any) -> Any:
        """Do a step that the method wrote.

        Raises:
            AllocatorError: it raised, and the method is not built in; names file, line and round.
        """
        outer, self._step = self._step, step
        try:
            return getattr(self, step)(*arguments)
        except Exception as error:
            if isinstance(error, (AllocatorError, StateError)) or is_built_in(type(self)):
                raise
            raise raised(self, step, error) from error
        finally:
            self._step = outer

    def _turn(self, call: str) -> None:
        if self._step is not None:
            raise ProtocolError(f"{self.name}: {call} was called within {self._step}; only a loop takes turns")

    def _state_arrays(self) -> dict[str, np.ndarray]:
        """``_arrays()``, if these are arrays by name."""
        arrays = self._call("_arrays")
        if isinstance(arrays, dict):
            others = {key: value for key, value in arrays.items() if not isinstance(value, (np.ndarray, np.generic))}
            wrong = [f"{key!r} as {described(value)}" for key, value in others.items()]
        else:
            wrong = [described(arrays)]
        if wrong:
            raise AllocatorError(
                f"{self.name}: _arrays returned {wrong[0]} ({defined_at(type(self)._arrays)}); "
                'it must return a dict of arrays: return {"exposure": self.exposure_M.copy()}'
            )
        return arrays

    # --- the public interface ----------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the horizon is over or the budget spent."""
        return self.affordable == 0 or self.round_index >= self.problem.num_rounds

    def allocate(self) -> Allocation:
        """The next wave; asked again before ``observe`` it is the same one.

        Raises:
            AllocatorError: the method's own code raised, or chose no ``Allocation``, or a round without end; names file
                and line.
        """
        self._turn("allocate()")
        if self._pending is None:
            chosen = Allocation.empty() if self.done else self._call("_select")
            if not isinstance(chosen, Allocation):
                raise AllocatorError(
                    f"{self.name}: _select returned {described(chosen)} ({defined_at(type(self)._select)}); "
                    "it must return an Allocation: return Allocation(prompts, units)"
                )
            chosen = chosen if self.remaining_tokens is None else chosen.first(self.affordable)
            self._check_round_ends(chosen)
            self._pending = chosen
        return self._pending

    def _check_round_ends(self, chosen: Allocation) -> None:
        """Refuse waves that could go on for ever: every wave but a round's last has units, at most C in all."""
        waves, units = self._open_round
        units += chosen.num_units
        if chosen.num_units == 0 and not chosen.last_wave:
            problem = "chose a wave without units that is not the round's last"
        elif waves and units > self.problem.capacity:
            problem = f"chose {units} units in {waves + 1} waves of a round, above capacity={self.problem.capacity}"
        else:
            return
        raise AllocatorError(
            f"{self.name}: _select {problem} ({defined_at(type(self)._select)}; round {self.round_index}, "
            f"seed={self.seed}); a round's last wave has last_wave=True: return Allocation(prompts, units)"
        )

    def observe(self, allocation: Allocation, feedback: Feedback) -> None:
        """Learn from the rollouts of the last allocation.

        Args:
            allocation: what ``allocate()`` returned.
            feedback: arrays [A] in the allocation's order.

        Raises:
            ProtocolError: ``allocation`` is not the last one, or none is open.
            InvalidValueError: the feedback cannot be true; see ``cerolab.feedback.validated``.
            In both cases the state stays as it was.
            AllocatorError: the method's own code raised while it learnt; names file and line.
        """
        self._turn("observe()")
        if self._pending is None:
            raise ProtocolError(f"{self.name}: observe() without an open allocation; call allocate() first")
        for given, kind in ((allocation, Allocation), (feedback, Feedback)):
            if not isinstance(given, kind):
                raise ProtocolError(f"{self.name}: observe() takes an Allocation and a Feedback, not {given!r}")
        if not self._pending.matches(allocation):
            raise ProtocolError(
                f"{self.name}: feedback for another allocation ({allocation.num_groups} groups, "
                f"{allocation.num_units} units) than the last one ({self._pending.num_groups} groups, "
                f"{self._pending.num_units} units) of round {self.round_index}; answer each allocate() once"
            )
        checked = feedback_checks.validated(allocation, feedback, self.problem)
        if self.round_index < self.problem.num_rounds:  # the horizon may be over
            self._call("_learn", allocation, checked)
            self._count(allocation, checked.num_tokens)
        self._pending = None

    def _count(self, allocation: Allocation, num_tokens: FloatArray | None) -> None:
        """Take an executed wave from the budget, and go on to the next round after the last."""
        self.remaining -= allocation.num_units
        if self.remaining_tokens is not None and num_tokens is not None:
            self.remaining_tokens -= int(num_tokens.sum())
        self.round_index += allocation.last_wave
        waves, units = self._open_round
        self._open_round = (0, 0) if allocation.last_wave else (waves + 1, units + allocation.num_units)

    @property
    def round_open(self) -> bool:
        """Whether an allocation waits for its feedback; a method with several waves adds the time between them."""
        return self._pending is not None

    def extend(self, num_new: int) -> None:
        """Take ``num_new`` prompts into the pool between two rounds, with the ids M, M+1, ...; see ``_joined``.

        The prompts that are there keep their state. R = B/M and cbar are those of the larger pool from then on, and the
        order of ties is drawn anew: all is as if an allocator made for the larger pool had loaded the state.

        Raises:
            InvalidValueError: no whole number >= 1, or a method that cannot take prompts in.
            ProtocolError: a round is open.
            In both cases the state stays as it was.
        """
        num_new = whole_number("num_new", num_new, least=1)
        if self.round_open:
            raise ProtocolError(f"{self.name}: round {self.round_index} is open; let prompts join between two rounds")
        before, own = dict(vars(self)), self._state_arrays()
        try:
            type(self).__init__(self, self.problem.grown(num_new), self.seed, self.options)
            self._call("_load_arrays", self._call("_joined", own, self._state_arrays()))
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        self.round_index, self.remaining = before["round_index"], before["remaining"]
        self.remaining_tokens = before["remaining_tokens"]

    def _joined(self, own: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The state's arrays once prompts have joined; called when all but the arrays is of the larger pool already.

        Arrays with a row a prompt get the rows that new prompts start with, the others stay. Override it where a new
        prompt's start depends on what was learned, or where rows are no prompts, as in an order of the pool.

        Args:
            own: the arrays of the smaller pool.
            start: those of a fresh allocator of the larger one.
        """
        return {
            key: array if array.shape == start[key].shape else np.concatenate([array, start[key][len(array) :]])
            for key, array in own.items()
        }

    def training_mask(self, round_feedback: Sequence[Wave]) -> BoolArray:
        """bool [groups of the round, in wave order]: train on every group, unless a method says otherwise."""
        return np.ones(sum(wave.allocation.num_groups for wave in round_feedback), np.bool_)

    def predicted_success(self) -> FloatArray:
        """[M] predicted success rates; nan where the method has none."""
        return np.full(self.problem.num_prompts, np.nan)

    def predicted_value(self) -> FloatArray:
        """[M] predicted reward variances q-hat; nan where the method has none."""
        return np.full(self.problem.num_prompts, np.nan)

    def metrics(self) -> dict[str, float]:
        """Numbers to log."""
        metrics = {"remaining": float(self.remaining), "round": float(self.round_index)}
        if self.remaining_tokens is not None:
            metrics["remaining_tokens"] = float(self.remaining_tokens)
        return metrics

    def state_dict(self) -> dict[str, Any]:
        """All that a checkpoint needs: scalars, strings and arrays, no pickles.

        Taken between ``allocate()`` and ``observe()`` it is the state before the decision, which is made again.
        """
        counts = {"round_index": self.round_index, "remaining": self.remaining}
        if self.remaining_tokens is not None:
            counts["remaining_tokens"] = self.remaining_tokens
        return {**self._identity(), **counts, **self._state_arrays()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where ``state_dict()`` was taken.

        Raises:
            StateError: of another schema version, method, problem, seed or options, or damaged; nothing is changed.
        """
        for key, mine in self._identity().items():
            theirs = self._stored(state, key)
            if theirs.size != 1 or theirs.item() != mine:
                raise StateError(f"{self.name}: the state has {key}={theirs}, this allocator {key}={mine}")
        counts: dict[str, int] = {}
        most_of = {"round_index": self.problem.num_rounds, "remaining": self.problem.budget}
        if self.problem.token_budget is not None:
            most_of["remaining_tokens"] = self.problem.token_budget
        for key, most in most_of.items():
            value = self._stored(state, key)
            if value.size != 1 or value.dtype.kind not in "iu" or not 0 <= value.item() <= most:
                raise StateError(f"{self.name}: the state has {key}={value}, expected a whole number in 0..{most}")
            counts[key] = int(value.item())
        own = self._state_arrays()
        arrays = {key: self._checked_array(key, self._stored(state, key), mine) for key, mine in own.items()}
        spent_tokens = most_of.get("remaining_tokens", 0) - counts.get("remaining_tokens", 0)
        self._check_state(arrays, counts["round_index"], counts["remaining"], spent_tokens)
        self._call("_load_arrays", arrays)
        self.round_index, self.remaining, self._pending = counts["round_index"], counts["remaining"], None
        self.remaining_tokens = counts.get("remaining_tokens")
        self._open_round = (0, 0)

    def _check_state(
        self, arrays: Mapping[str, np.ndarray], round_index: int, remaining: int, spent_tokens: int
    ) -> None:
        """Refuse arrays, each within its limits, that cannot be together, or after such a round and spend.

        Raises:
            StateError: names the array.
        """
        problem, spent = self.problem, self.problem.budget - remaining
        most = problem.capacity * min(round_index + 1, problem.num_rounds)  # the round may be open
        if spent > most:
            raise StateError(
                f"{self.name}: the state has remaining={remaining} in round {round_index}, when at most {most} of "
                f"{problem.budget} units can be spent"
            )
        if "exposure" in arrays and int(arrays["exposure"].sum()) != spent:
            raise StateError(f"{self.name}: the state's exposure does not sum to the {spent} units it has spent")
        if "tokens" in arrays and int(arrays["tokens"].sum()) != spent_tokens:
            raise StateError(f"{self.name}: the state's tokens do not sum to the {spent_tokens} it has spent")

    def _stored(self, state: Mapping[str, Any], key: str) -> np.ndarray:
        if key not in state:
            raise StateError(f"{self.name}: the state lacks {key!r}; was it saved by state_dict()?")
        try:
            return np.asarray(state[key])
        except ValueError:
            raise StateError(f"{self.name}: the state's {key} is no array") from None

    def _checked_array(self, key: str, array: np.ndarray, own: np.ndarray) -> np.ndarray:
        """``array``, if it could be this allocator's own ``key``: same shape, finite numbers, within ``limits``."""
        if array.shape != own.shape:
            raise StateError(f"{self.name}: the state's {key} has shape {array.shape}, expected {own.shape}")
        whole = own.dtype.kind in "iu"
        if array.dtype.kind not in ("iu" if whole else "iuf") or not np.isfinite(array).all():
            kind = "whole" if whole else "finite"
            raise StateError(f"{self.name}: the state's {key} is not made of {kind} numbers")
        low, high = (limits.resolved(limit, self.problem) for limit in self.limits.get(key, (-np.inf, np.inf)))
        if not ((low <= array) & (array <= high)).all():
            raise StateError(f"{self.name}: the state's {key} leaves [{low.tolist()}, {high.tolist()}]")
        return array

    def options_dict(self) -> dict[str, Any]:
        """The options as JSON-ready values, for records and checkpoints."""
        return asdict(self.options)  # type: ignore[call-overload]

    def _identity(self) -> dict[str, Any]:
        return {
            "schema_version": STATE_SCHEMA,
            "method": self.name,
            "seed": self.seed,
            "problem": json.dumps(self.problem.to_dict(), sort_keys=True),
            "options": json.dumps(self.options_dict(), sort_keys=True),
        }

    # --- shared rules -------------------------------------------------------------------------------------------

    @property
    def affordable(self) -> int:
        """Units that are left of the budget and that the tokens left pay for, however long their responses get."""
        if self.remaining_tokens is None:
            return self.remaining
        return min(self.remaining, self.remaining_tokens // self.problem.most_unit_tokens)

    def even_quota(self) -> int:
        """Units of this round at an even pace: the spend catches up with floor((k+1) B / K), never above C."""
        due = self.problem.target_spend(self.round_index + 1) - (self.problem.budget - self.remaining)
        return max(0, min(due, self.problem.capacity, self.remaining))
