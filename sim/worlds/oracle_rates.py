"""What the allocator ``oracle`` is told in the simulator: the true rates, now or as they were at its last look."""

from __future__ import annotations

import numpy as np

from cerolab.types import FloatArray
from sim.worlds.rewards import Rewards
from sim.worlds.success_path import Path


class TrueRates:
    """Reward variances of the pool, looked up anew every so many rounds, and whenever prompts have joined.

    Args:
        path: where the success rates are.
        rewards: turns them into variances.
        every: rounds between two looks; 1 for rates that are never old.
    """

    def __init__(self, path: Path, rewards: Rewards, every: int):
        self._path, self._rewards, self._every = path, rewards, every
        self._looked = -1
        self._known_M: FloatArray = np.empty(0)

    def __call__(self) -> FloatArray:
        """The rates [M] to decide on."""
        look = self._path.round_index // self._every
        if look != self._looked or self._known_M.size != self._path.success_M.size:
            self._looked, self._known_M = look, self._rewards.variance(self._path.success_M)
        return self._known_M
