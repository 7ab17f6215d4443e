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

from cerolab.allocation import Allocation
from cerolab.allocator import NoOptions
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.epochs import LIMITS, Epochs
from cerolab.selection.top_k import fill_in_order
from cerolab.stack import StackableAllocator


@register
class Uniform(StackableAllocator[NoOptions]):
    """State: the epoch, its order int64 [M] and how far it is used."""

    name = "uniform"
    row_arrays = ()
    limits: ClassVar[Limits] = LIMITS

    def __init__(self, problem: AllocationProblem, seed: int, options: NoOptions):
        super().__init__(problem, seed, options)
        self.epochs = Epochs(problem.num_prompts, "uniform epoch", self.seed)

    def _select(self) -> Allocation:
        quota, size = self.even_quota(), self.problem.max_units
        later = (self.problem.num_rounds - self.round_index - 1) * self.problem.capacity
        must = min(self.remaining - later, self.problem.capacity)
        quota = max(quota - quota % size, must)  # whole groups, unless that would leave units over
        prompts = self.epochs.draw(-(-quota // size))
        return Allocation(prompts, fill_in_order(prompts, size, quota))

    def _learn_prompts(self, allocation: Allocation, feedback: CheckedFeedback, request: Allocation) -> None:
        """Nothing is learnt of prompts."""

    def _learn_row(self, request: Allocation) -> None:
        if request.num_groups:
            self.epochs.advance(request.num_groups)

    def _joined(self, own: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**super()._joined(own, start), **self.epochs.joined(own)}

    def _arrays(self) -> dict[str, np.ndarray]:
        return self.epochs.arrays()

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.epochs = self.epochs.restored(arrays)
