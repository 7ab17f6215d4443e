"""What passes between an allocator and a rollout loop: Allocation, Feedback and the Allocator protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from cerolab.errors import InvalidValueError
from cerolab.problem import AllocationProblem
from cerolab.text import brief, brief_fields
from cerolab.types import BoolArray, FloatArray, IntArray


def cut_off(units_A: IntArray, quota: int) -> IntArray:
    """Units served in order while ``quota`` lasts; the last to be served may get less than it was to have."""
    before = np.cumsum(units_A) - units_A
    return np.clip(quota - before, 0, units_A)


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Allocation:
    """Which prompts get how many units in this wave, in priority order.

    Attributes:
        prompts: int64 [A], distinct prompt ids in 0..M-1; the first is served first.
        units: int64 [A], allocation units of each prompt, >= 1.
        last_wave: False while a method that probes first still has a wave to come in this round.
        num_units: units of the whole wave (derived).

    The arrays are stored read-only; a writable input is copied.
    """

    prompts: IntArray
    units: IntArray
    last_wave: bool = True
    num_units: int = field(init=False)

    def __post_init__(self) -> None:
        for name in ("prompts", "units"):
            object.__setattr__(self, name, _read_only_integers(name, getattr(self, name)))
        if self.prompts.shape != self.units.shape:
            raise InvalidValueError(
                "units", self.units.shape, f"differs in shape from prompts {self.prompts.shape}", "give one a prompt"
            )
        if self.units.size and self.units.min() < 1:
            raise InvalidValueError("units", int(self.units.min()), "is below 1", "leave prompts without units out")
        if self.prompts.size and self.prompts.min() < 0:
            raise InvalidValueError("prompts", int(self.prompts.min()), "is negative", "use ids in 0..M-1")
        object.__setattr__(self, "num_units", int(self.units.sum()))

    def __repr__(self) -> str:
        """``Allocation(prompts=[5, 0, 17, ... 24], units=[2, 2, 1, ... 24], num_units=47)``."""
        wave = "" if self.last_wave else ", last_wave=False"
        return f"Allocation(prompts={brief(self.prompts)}, units={brief(self.units)}, num_units={self.num_units}{wave})"

    @classmethod
    def empty(cls, last_wave: bool = True) -> Allocation:
        """An allocation that admits nobody; the round still counts."""
        none = np.empty(0, np.int64)
        return cls(none, none, last_wave)

    @property
    def num_groups(self) -> int:
        """A, the number of admitted prompts, each of which gets one group."""
        return int(self.prompts.size)

    def first(self, num_units: int) -> Allocation:
        """What ``num_units`` units are enough for, in priority order; the last to be served may get less."""
        if self.num_units <= num_units:
            return self
        units = cut_off(self.units, num_units)
        return Allocation(self.prompts[units > 0], units[units > 0], self.last_wave)

    def matches(self, other: Allocation) -> bool:
        """Whether both admit the same prompts with the same units in the same order and wave."""
        return self is other or (
            self.last_wave == other.last_wave
            and np.array_equal(self.prompts, other.prompts)
            and np.array_equal(self.units, other.units)
        )


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class Feedback:
    """What the verifier said of the responses of an allocation, one entry an admitted prompt.

    Attributes:
        num_responses: [A] responses that were generated and graded; at most g * units, fewer where a verifier failed.
        reward_sum: [A] sum of their rewards in [0, 1]; with binary rewards the number of successes.
        reward_sq_sum: [A] sum of squared rewards, needed for graded rewards only; None means binary rewards.
        num_tokens: [A] tokens of all responses that were generated, graded or not; needed under a token budget only.

    ``cerolab.feedback.validated`` checks it against the allocation it answers.
    """

    num_responses: npt.ArrayLike
    reward_sum: npt.ArrayLike
    reward_sq_sum: npt.ArrayLike | None = None
    num_tokens: npt.ArrayLike | None = None

    def __repr__(self) -> str:
        """``Feedback(num_responses=[8, 8, 8, ... 24], reward_sum=[3, 0, 8, ... 24])``."""
        return brief_fields(self)


class Wave(NamedTuple):
    """One wave of a round with the feedback it got."""

    allocation: Allocation
    feedback: Feedback


@runtime_checkable
class Allocator(Protocol):
    """Decides each round which prompts get rollouts and how many; the same object in simulator and training.

    A round is one or more waves of ``allocate()`` -> rollouts -> ``observe()``, the last with
    ``Allocation.last_wave`` True. Subclass ``cerolab.allocator.BaseAllocator`` to get the bookkeeping for free.
    """

    problem: AllocationProblem

    @property
    def name(self) -> str:
        """The registry name."""

    @property
    def done(self) -> bool:
        """Whether the horizon is over or the budget spent: ``allocate()`` would admit nobody."""

    def allocate(self) -> Allocation:
        """The next wave."""

    def observe(self, allocation: Allocation, feedback: Feedback) -> None:
        """Learn from the wave's rollouts; rejected feedback leaves the state as it was."""

    def extend(self, num_new: int) -> None:
        """Take ``num_new`` prompts into the pool between two rounds, with the ids M, M+1, ..."""

    def training_mask(self, round_feedback: Sequence[Wave]) -> BoolArray:
        """bool [groups of the round, in wave order]: the groups to train on."""

    def predicted_success(self) -> FloatArray:
        """[M] predicted success rate p-hat before the next decision; nan where the method has none."""

    def predicted_value(self) -> FloatArray:
        """[M] predicted reward variance q-hat before the next decision; nan where the method has none."""

    def metrics(self) -> dict[str, float]:
        """Numbers to log: price, remaining units, ..."""

    def state_dict(self) -> dict[str, Any]:
        """All that a checkpoint needs, arrays and scalars only."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where ``state_dict()`` was taken."""


def _read_only_integers(field: str, value: Any) -> IntArray:
    array = np.asarray(value)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise InvalidValueError(
            field, f"{array.dtype}{list(array.shape)}", "is not a vector of integers", "give int64 [A]"
        )
    if array.dtype != np.int64:
        array = array.astype(np.int64)
    elif array.flags.writeable or not array.flags.owndata:  # a view's owner may be writable
        array = array.copy()
    array.flags.writeable = False
    return array
