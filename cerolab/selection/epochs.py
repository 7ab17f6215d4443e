"""Prompts in shuffled epochs: every prompt once before any is served again."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np

from cerolab import limits, seeding
from cerolab.errors import StateError
from cerolab.limits import Limits
from cerolab.selection.top_k import is_permutation
from cerolab.types import IntArray

# The order has every prompt once; a round draws no prompt twice, so it ends one epoch at most.
LIMITS: Limits = {
    "order": (0, limits.last_prompt),
    "cursor": (0, lambda problem: (problem.num_rounds, problem.num_prompts)),
}


class Epochs:
    """The pool in a random order that is drawn anew each time it is used up.

    Where a draw crosses the end of an epoch, prompts that it already has move behind the others of the new order.

    State: the order int64 [M], the epoch and how many prompts of it are used.

    Args:
        num_prompts: M.
        name: what the epochs are for; with ``seed`` and the epoch it fixes the order.
        seed: the allocator's.
    """

    def __init__(self, num_prompts: int, name: str, seed: int):
        self.num_prompts, self._name, self._seed = num_prompts, name, seed
        self._epoch, self._used, self._drawn = 0, 0, 0
        self._order_M = self._shuffled(0)
        self._after = 0, 0, self._order_M  # epoch, used and order once the drawn prompts are served

    @property
    def epoch(self) -> int:
        """The present epoch, from 0."""
        return self._epoch

    def _shuffled(self, epoch: int) -> IntArray:
        return seeding.generator(self._name, self._seed, epoch).permutation(self.num_prompts)

    def draw(self, count: int) -> IntArray:
        """The next ``count`` <= M prompts; the same ones again until ``advance``."""
        self._drawn = count
        taken = self._order_M[self._used : self._used + count]
        missing = count - taken.size
        if missing == 0:
            self._after = self._epoch, self._used + count, self._order_M
            return taken
        order = self._shuffled(self._epoch + 1)
        fresh = ~np.isin(order, taken)
        order = np.concatenate([order[fresh], order[~fresh]])
        self._after = self._epoch + 1, missing, order
        return np.concatenate([taken, order[:missing]])

    def advance(self, count: int | None = None) -> None:
        """Go behind the prompts that were drawn last, or behind the first ``count`` of them."""
        if count is not None and count != self._drawn:
            self.draw(count)
        self._epoch, self._used, self._order_M = self._after

    def arrays(self) -> dict[str, np.ndarray]:
        """The state as named arrays."""
        return {"order": self._order_M.copy(), "cursor": np.array([self._epoch, self._used])}

    def joined(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """``arrays()`` of a smaller pool, the other prompts of this one shuffled into what is left of the epoch."""
        order, (epoch, used) = arrays["order"], arrays["cursor"].tolist()
        left = np.concatenate([order[used:], np.arange(order.size, self.num_prompts)])
        rng = seeding.generator(self._name, self._seed, epoch, "joined", self.num_prompts)
        return {"order": np.concatenate([order[:used], rng.permutation(left)]), "cursor": arrays["cursor"]}

    def restored(self, arrays: Mapping[str, np.ndarray]) -> Epochs:
        """The same epochs at a saved state.

        Raises:
            StateError: an order that does not name every prompt once, or a cursor behind its end.
        """
        epoch, used = (int(x) for x in arrays["cursor"])
        if not is_permutation(arrays["order"]):
            raise StateError("the state's order does not name every prompt once")
        if used > self.num_prompts:
            raise StateError(f"the state's cursor is {used}, in an epoch of {self.num_prompts} prompts")
        restored = copy.copy(self)
        restored._order_M = np.array(arrays["order"], np.int64)
        restored._epoch, restored._used, restored._drawn = epoch, used, 0
        restored._after = epoch, used, restored._order_M
        return restored
