"""A template: an allocator of your own in one file, see docs/add-an-allocator.md."""

from dataclasses import dataclass

import numpy as np

from cerolab import Allocation, BaseAllocator, register


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Hyper-parameters."""

    bonus: float = 1.0


@register
class LeastVisited(BaseAllocator[Options]):
    """Prompts with the fewest units so far, one unit each."""

    name = "least_visited"
    Options = Options

    def __init__(self, problem, seed, options):
        super().__init__(problem, seed, options)
        self.exposure_M = np.zeros(problem.num_prompts, np.int64)

    def _select(self):
        chosen = np.argsort(self.exposure_M, kind="stable")[: self.even_quota()]
        return Allocation(chosen, np.ones(chosen.size, np.int64))

    def _learn(self, allocation, feedback):
        self.exposure_M[allocation.prompts] += allocation.units

    def _arrays(self):
        return {"exposure": self.exposure_M.copy()}

    def _load_arrays(self, arrays):
        self.exposure_M = np.array(arrays["exposure"])
