"""The clock of TRL's loop: a tick a micro-batch; an epoch is a part of the horizon that ends with a round."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader


def rounds_of_epoch(num_rounds: int, num_train_epochs: float) -> int:
    """Rounds of an epoch: ``num_train_epochs`` of them make up the horizon; the last can be shorter."""
    return max(1, min(num_rounds, math.ceil(num_rounds / num_train_epochs))) if num_train_epochs > 0 else num_rounds


class Clock(DataLoader[Any]):
    """Ticks of one epoch.

    A data loader draws a random number when it is iterated over. Only that of the first epoch is drawn where the
    responses are drawn too, so that the number of epochs changes nothing but when things are done.
    """

    def __init__(self, ticks: int):
        super().__init__([{}] * ticks, batch_size=1, collate_fn=lambda tick: tick)  # type: ignore[arg-type]
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the loop before it starts an epoch."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        if not self._epoch:
            return super().__iter__()
        with torch.random.fork_rng(devices=[]):
            return super().__iter__()
