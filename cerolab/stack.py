"""Several seeds of a method in one pass: their pools lie end to end, and each seed decides as it would alone.

A row is one seed's allocator, with its own tie order, price, round and remaining budget. What all rows have a prompt
are slices of one array [S * M], in which prompt i of row s has the id s * M + i, so that a round is learnt in one call
for all of them. On small pools a call costs more than its work, and a stack of rows little more than one.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar, TypeVar

import numpy as np

from cerolab import feedback as feedback_checks
from cerolab.allocation import Allocation, Feedback
from cerolab.allocator import BaseAllocator
from cerolab.errors import InvalidValueError, ProtocolError
from cerolab.feedback import CheckedFeedback
from cerolab.ledger import BudgetLedger
from cerolab.problem import AllocationProblem
from cerolab.types import BoolArray, FloatArray, IntArray

OptionsT = TypeVar("OptionsT")


class StackableAllocator(BaseAllocator[OptionsT]):
    """An allocator whose learning falls into arrays over prompts and numbers of the row.

    Class attributes:
        row_arrays: where its arrays over prompts [M] are, which then must be changed in place only; dots lead into
            other objects. Not inherited, since a subclass may have arrays of its own: without it there are no stacks.
    """

    row_arrays: ClassVar[tuple[str, ...]]

    @classmethod
    def stacks(cls, options: OptionsT) -> bool:
        """Whether rows with these options can be in a stack; not where the steps that a stack replaces are its own."""
        replaced = ("observe", "training_mask", "_learn", "_count")
        return "row_arrays" in vars(cls) and all(getattr(cls, n) is getattr(StackableAllocator, n) for n in replaced)

    def _request(self, allocation: Allocation) -> Allocation:
        """What to step on once ``allocation`` is executed, if not on that; must not change the state."""
        return allocation

    @abstractmethod
    def _learn_prompts(self, allocation: Allocation, feedback: CheckedFeedback, request: Allocation) -> None:
        """Update the arrays over prompts, of one row or of several that lie end to end.

        Prompt by prompt, in place: nothing may be added up over the pool or the wave, which mixes rows, no size taken
        from ``problem``, and no number of the row read but ``round_index``, or written.
        """

    def _learn_row(self, request: Allocation) -> None:
        """Update the row's own numbers."""

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        request = self._request(allocation)
        self._learn_prompts(allocation, feedback, request)
        self._learn_row(request)


class Stack:
    """Rows of one method, problem and options that allocate and observe together, one wave a round.

    Args:
        rows: fresh allocators for binary rewards, S of them; their arrays become slices, so serve them through the
            stack only.

    Attributes:
        rows: the same; each has the state it would have alone.
        problem: that of one row.

    Raises:
        InvalidValueError: no rows, rows that differ in more than their seeds, or of a method that does not stack.
    """

    def __init__(self, rows: Sequence[BaseAllocator[Any]]):
        if not rows:
            raise InvalidValueError("rows", [], "is empty", "give an allocator a seed")
        first = rows[0]
        for row in rows:
            if not (isinstance(row, StackableAllocator) and row.stacks(row.options)):
                raise InvalidValueError("rows", row.name, "does not stack with these options", "serve it alone")
            if row.round_index or row.round_open:
                raise InvalidValueError("rows", row.name, "has begun its horizon", "stack fresh allocators")
            if type(row) is not type(first) or (row.problem, row.options) != (first.problem, first.options):
                raise InvalidValueError("rows", row.name, "differs in more than its seed", "stack seeds of one method")
        if first.problem.token_budget is not None:
            raise InvalidValueError("token_budget", first.problem.token_budget, "is not stacked", "serve rows alone")
        self.rows: Sequence[StackableAllocator[Any]] = [r for r in rows if isinstance(r, StackableAllocator)]
        self.problem = first.problem
        self._whole = type(self.rows[0])(first.problem, first.seed, first.options)  # the arrays of all rows
        self._arrays = {name: _lay_out(self._whole, self.rows, name) for name in self._whole.row_arrays}
        self._open: list[Allocation] = []
        self._wave = Allocation.empty()

    def allocate(self) -> tuple[Allocation, list[Allocation]]:
        """The next wave of all rows, and that of each in its own ids.

        Raises:
            ProtocolError: a row means to have several waves in the round.
        """
        self._open = [row.allocate() for row in self.rows]
        if not all(own.last_wave for own in self._open):
            raise ProtocolError(f"{self.rows[0].name}: several waves a round are not stacked; serve its rows alone")
        self._wave = end_to_end(self._open, self.problem.num_prompts)
        return self._wave, self._open

    def observe(self, feedback: Feedback) -> None:
        """Learn from the rollouts of the last wave.

        Args:
            feedback: arrays [A] in the order of the wave of all rows.

        Raises:
            ProtocolError: no wave is open.
            InvalidValueError: the feedback cannot be true, see ``cerolab.feedback.validated``, or is graded.
            In both cases the rows stay as they were.
        """
        if not self._open:
            raise ProtocolError(f"{self.rows[0].name}: observe() without an open wave; call allocate() first")
        checked = feedback_checks.validated(self._wave, feedback, self.problem)
        if not checked.binary:
            raise InvalidValueError("reward_sq_sum", "given", "is for graded rewards", "serve rows alone")
        if self.rows[0].round_index < self.problem.num_rounds:  # the horizon may be over
            self._learn(checked)
        for row in self.rows:
            row._pending = None
        self._open = []

    def _learn(self, checked: CheckedFeedback) -> None:
        requests = [row._call("_request", own) for row, own in zip(self.rows, self._open, strict=True)]
        same = all(request is own for request, own in zip(requests, self._open, strict=True))
        request = self._wave if same else end_to_end(requests, self.problem.num_prompts)
        self._whole.round_index = self.rows[0].round_index
        self._whole._call("_learn_prompts", self._wave, checked, request)
        for name, array in self._arrays.items():
            if attrgetter(name)(self._whole) is not array:
                raise ProtocolError(f"{self.rows[0].name}: {name} of row_arrays was replaced, not changed in place")
        for row, own, asked in zip(self.rows, self._open, requests, strict=True):
            row._call("_learn_row", asked)
            row._count(own, None)

    def predicted_value(self) -> FloatArray:
        """[S * M] what ``predicted_value()`` of the rows gives, for methods that read it off their ``row_arrays``."""
        return self._whole.predicted_value()


class LedgerStack:
    """The ledgers of a stack's rows; a wave of all rows is checked and booked in one pass.

    Args:
        problem: that of one row.
        num_rows: S.

    Attributes:
        ledgers: one a row, as it would be alone; their exposures are slices of the stack's.
        exposure_M: int64 [S * M], units that each prompt has had.
    """

    def __init__(self, problem: AllocationProblem, num_rows: int):
        self.ledgers = [BudgetLedger(problem) for _ in range(num_rows)]
        self.exposure_M: IntArray
        _lay_out(self, self.ledgers, "exposure_M")

    def spend(self, wave: Allocation, own: Sequence[Allocation]) -> None:
        """Book one wave, given for all rows and for each.

        Raises:
            OverspendError: see ``BudgetLedger.spend``; of a second wave, or where a prompt gets too much, rows
                before the one that is refused have spent.
        """
        pairs = list(zip(self.ledgers, own, strict=True))
        ordered = np.sort(wave.prompts)
        plain = (
            not any(ledger.round_units for ledger in self.ledgers)
            and wave.units.max(initial=0) <= self.ledgers[0].problem.max_units
            and not (ordered[1:] == ordered[:-1]).any()
        )
        if not plain:  # a second wave, or a prompt that gets too much: each ledger knows, and says so
            for ledger, allocation in pairs:
                ledger.spend(allocation)
            return
        for ledger, allocation in pairs:
            ledger._check_total(allocation.num_units)
        self.exposure_M[wave.prompts] += wave.units
        for ledger, allocation in pairs:
            ledger._book(allocation)

    def end_round(self, updated: BoolArray) -> None:
        """Close the round of every row; bool [S], whether its policy was updated."""
        for ledger, of_row in zip(self.ledgers, updated.tolist(), strict=True):
            ledger.end_round(of_row)


def end_to_end(allocations: Sequence[Allocation], num_prompts: int) -> Allocation:
    """Allocations of rows with ``num_prompts`` prompts each as one of all rows.

    Raises:
        InvalidValueError: a prompt that is none of its row's.
    """
    prompts = np.concatenate([row.prompts for row in allocations])
    most = int(prompts.max(initial=-1))
    if most >= num_prompts:
        raise InvalidValueError("prompts", most, f"is outside the pool of {num_prompts}", "use ids in 0..M-1")
    prompts += np.repeat(np.arange(len(allocations)) * num_prompts, [row.num_groups for row in allocations])
    return Allocation(prompts, np.concatenate([row.units for row in allocations]))


def _lay_out(whole: object, rows: Sequence[object], name: str) -> np.ndarray:
    """The rows' arrays of this name end to end: ``whole`` gets all of it, every row its slice."""
    path, _, last = name.rpartition(".")

    def holder(of: object) -> Any:
        return attrgetter(path)(of) if path else of

    array = np.concatenate([getattr(holder(row), last) for row in rows])
    setattr(holder(whole), last, array)
    for row, part in zip(rows, np.split(array, len(rows)), strict=True):
        setattr(holder(row), last, part)
    return array
