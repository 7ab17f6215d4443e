"""Uniform: the GRPO baseline, the same group for every prompt, prompts in shuffled epochs.

Source: Shao et al., "DeepSeekMath" (GRPO), arXiv 2402.03300; as the baseline of CERO (arXiv 2606.05606), sec. 6.
Rule: each round takes the next prompts of a random order and gives each N_max units, Bbar units in total; an order
that is used up is drawn anew. No estimator, no hyper-parameters.
Worst case: a pool of hopeless and solved prompts, on which all of the budget is wasted.
Deviations: where Bbar is no multiple of N_max the cumulative spend is rounded down to whole groups; a round ends with
a smaller group only where its units could not be spent later, so that the budget is spent in full. Where a round
crosses the end of an epoch, prompts that already have a group in it move behind the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cerolab import seeding
from cerolab.allocation import Allocation, IntArray
from cerolab.base import BaseAllocator, NoOptions
from cerolab.errors import StateError
from cerolab.feedback import CheckedFeedback
from cerolab.problem import AllocationProblem
from cerolab.projection import fill_in_order, is_permutation
from cerolab.registry import register


@register
class Uniform(BaseAllocator[NoOptions]):
    """State: the epoch, its order int64 [M] and how far it is used."""

    name = "uniform"
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"order": (0, np.inf), "cursor": (0, np.inf)}

    def __init__(self, problem: AllocationProblem, seed: int, options: NoOptions):
        super().__init__(problem, seed, options)
        self._epoch, self._used = 0, 0
        self._order_M = self._shuffled(0)
        self._after = 0, 0, self._order_M  # epoch, used and order once the pending allocation is observed

    def _shuffled(self, epoch: int) -> IntArray:
        return seeding.generator("uniform epoch", self.seed, epoch).permutation(self.problem.num_prompts)

    def _select(self) -> Allocation:
        quota, size = self.even_quota(), self.problem.max_units
        later = (self.problem.num_rounds - self.round_index - 1) * self.problem.capacity
        quota = max(quota - quota % size, self.remaining - later)  # whole groups, unless that would leave units over
        prompts, epoch, used, order_M = self._next_prompts(-(-quota // size))
        self._after = epoch, used, order_M
        return Allocation(prompts, fill_in_order(prompts, size, quota))

    def _next_prompts(self, count: int) -> tuple[IntArray, int, int, IntArray]:
        """(prompts [count], epoch, used, order) after taking the next ``count`` prompts."""
        taken = self._order_M[self._used : self._used + count]
        missing = count - taken.size
        if missing == 0:
            return taken, self._epoch, self._used + count, self._order_M
        order = self._shuffled(self._epoch + 1)
        fresh = ~np.isin(order, taken)
        order = np.concatenate([order[fresh], order[~fresh]])
        return np.concatenate([taken, order[:missing]]), self._epoch + 1, missing, order

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        if allocation.num_groups:
            self._epoch, self._used, self._order_M = self._after

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"order": self._order_M.copy(), "cursor": np.array([self._epoch, self._used])}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        num_prompts = self.problem.num_prompts
        epoch, used = (int(x) for x in arrays["cursor"])
        if not is_permutation(arrays["order"]):
            raise StateError(f"{self.name}: the state's order does not name every prompt once")
        if used > num_prompts:
            raise StateError(f"{self.name}: the state's cursor is {used}, in an epoch of {num_prompts} prompts")
        self._order_M, self._epoch, self._used = np.array(arrays["order"], np.int64), epoch, used
