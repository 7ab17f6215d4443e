"""A path of success rates over one run: what every kind of dynamics gives to the loop."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from cerolab.allocation import Wave
from cerolab.types import FloatArray, IntArray


class Path(ABC):
    """Success rates over one run: ``success_M`` is the present one, ``advance`` goes to the next round.

    Attributes:
        success_M: present success rates [M], of the prompts that are there.
        round_index: rounds completed.
    """

    success_M: FloatArray
    round_index: int = 0

    def advance(self, trained: Wave) -> None:
        """Move to the next round, after training on these groups."""
        self.round_index += 1
        self._move(trained)

    @abstractmethod
    def _move(self, trained: Wave) -> None:
        """Set ``success_M`` to the rates of round ``round_index``."""

    @property
    def fixed(self) -> bool:
        """Whether neither the rates nor the pool ever move."""
        return False

    @property
    def num_prompts(self) -> int:
        """M of the final pool: ``success_M`` has fewer as long as prompts are still to come."""
        return self.success_M.size

    @property
    def arrival_M(self) -> IntArray | None:
        """Round at whose beginning each prompt of the final pool is there; None where all are from the start."""
        return None

    @property
    def known_success_KM(self) -> FloatArray | None:
        """Success rates [K, M] of the whole path where they move without the allocator's doing, else None."""
        return None

    @property
    def heldout_success(self) -> FloatArray:
        """Success rates [H] of the held-out part of the population, never trained on; empty where there is none."""
        return np.empty(0)

    def heldout_accuracy(self) -> float:
        """Mean success rate of the held-out part of the population; nan where there is none."""
        success = self.heldout_success
        return float(success.mean()) if success.size else float("nan")
