"""What the allocator ``oracle`` is told in training: success rates of the pool, measured beside the budget.

An estimate of the headroom, not a bound: the rates are those of the last measurement, some rounds old.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cerolab.errors import StateError
from cerolab.records.files import write_atomically
from cerolab.types import FloatArray


class MeasuredRates:
    """Reward variances p(1 - p) of the pool, measured anew every so many rounds.

    Args:
        measure: returns success rates [M] of the present policy; receives the round.
        every: rounds between measurements.
        folder: where the measurements are kept, so that a resumed run decides on the same ones.

    Attributes:
        measure: as given.
        round_of: function that tells the present round; the training sets it.
    """

    def __init__(self, measure: Callable[[int], FloatArray], every: int, folder: Path):
        self.measure, self._every, self._folder = measure, every, folder
        self._known: FloatArray | None = None
        self._made = -1
        self.round_of: Callable[[], int] = lambda: 0

    def __call__(self) -> FloatArray:
        """The rates [M] to decide on."""
        round_index = self.round_of()
        due = round_index // self._every
        if self._known is None or due != self._made:
            file = self._folder / f"rates-{due}.npy"
            if round_index % self._every and file.exists():  # resumed between two measurements
                success = _kept(file)
            else:
                success = self.measure(round_index)
                self._folder.mkdir(parents=True, exist_ok=True)
                write_atomically(file, lambda stream: np.save(stream, success))
            self._known, self._made = success * (1.0 - success), due
        return self._known


def _kept(file: Path) -> FloatArray:
    try:
        success = np.asarray(np.load(file, allow_pickle=False), np.float64)
        if success.ndim != 1 or not ((success >= 0.0) & (success <= 1.0)).all():
            raise ValueError("no success rates")
        return success
    except Exception as error:  # zipfile and numpy raise many kinds for damaged bytes
        raise StateError(
            f"{file} is damaged ({error}); restore it, or remove {file.parent} to start the run from its first round"
        ) from None
