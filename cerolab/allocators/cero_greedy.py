"""CERO-greedy: the even quota, spent on the largest next gain of utility under the posterior mean; no duals.

Source: CERO (arXiv 2606.05606), sec. 6, ablation. Shows what the dual slopes add to the same proxy and utility.
Rule: rank prompts by U(qhat, z + N_max) - U(qhat, z), z = units executed so far; CERO-fixed's quota.
Worst case: a prompt with an unlucky first streak has a small qhat and may never be visited again.
Deviations: none known.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cerolab import utility
from cerolab.allocation import Allocation
from cerolab.allocators._posterior import PosteriorAllocator, PosteriorOptions
from cerolab.feedback import CheckedFeedback
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.top_k import best_allocation
from cerolab.types import FloatArray, IntArray


@register
class CeroGreedy(PosteriorAllocator[PosteriorOptions]):
    """State: the posterior, exposures int64 [M]; ``gain_M`` is derived from both."""

    name = "cero_greedy"
    row_arrays = (*PosteriorAllocator.posterior_arrays, "exposure_M", "gain_M")

    def __init__(self, problem: AllocationProblem, seed: int, options: PosteriorOptions):
        super().__init__(problem, seed, options)
        self.exposure_M: IntArray = np.zeros(problem.num_prompts, np.int64)
        self.gain_M = self._gain(slice(None))

    def _gain(self, at: IntArray | slice) -> FloatArray:
        curvature = utility.curvature(self.posterior.expected_variance(at), self.problem)
        gain = utility.value(curvature, self.problem.max_units) * np.exp(-curvature * self.exposure_M[at])
        return gain.astype(self._float_type, copy=False)

    def _select(self) -> Allocation:
        return best_allocation(self.gain_M, self.ties, self.even_quota(), self.problem.max_units, floor=None)

    def _learn_prompts(self, allocation: Allocation, feedback: CheckedFeedback, request: Allocation) -> None:
        self.exposure_M[allocation.prompts] += allocation.units
        if self._update_posterior(allocation, feedback):
            self.gain_M[:] = self._gain(slice(None))
        else:
            self.gain_M[allocation.prompts] = self._gain(allocation.prompts)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**super()._arrays(), "exposure": self.exposure_M.copy()}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        super()._load_arrays(arrays)
        self.exposure_M = np.array(arrays["exposure"], np.int64)
        self.gain_M = self._gain(slice(None))
