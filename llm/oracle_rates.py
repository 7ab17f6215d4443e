"""What the allocator ``oracle`` is told in training: success rates of the pool, measured beside the budget.

An estimate of the headroom, not a bound: the rates are those of the last measurement, some rounds old.
"""

from __future__ import annotations

from collections.abc import Callable

from cerolab.allocation import FloatArray


class MeasuredRates:
    """Reward variances p(1 - p) of the pool, measured anew every so many rounds.

    Args:
        measure: returns success rates [M] of the present policy; receives the round.
        every: rounds between measurements.

    Attributes:
        measure: as given.
        round_of: function that tells the present round; the training sets it.
    """

    def __init__(self, measure: Callable[[int], FloatArray], every: int):
        self.measure, self._every = measure, every
        self._known: FloatArray | None = None
        self._made = -1
        self.round_of: Callable[[], int] = lambda: 0

    def __call__(self) -> FloatArray:
        """The rates [M] to decide on."""
        due = self.round_of() // self._every
        if self._known is None or due != self._made:
            success = self.measure(self.round_of())
            self._known, self._made = success * (1.0 - success), due
        return self._known
