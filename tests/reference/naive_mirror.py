"""Naive dual mirror descent: CERO's naive rounds with duals that are multiplied (Balseiro, Lu, Mirrokni)."""

from __future__ import annotations

import math
from typing import Any

from .naive_cero import NaiveCero
from .naive_utility import support_exposure


class NaiveDualMirrorDescent(NaiveCero):
    """CERO with nu <- nu * exp(-step * gradient), kept in [floor, 1]; the slopes too where that is asked for."""

    def __init__(self, *sizes: int, floor: float = 1e-3, mirror_slopes: bool = False, **options: Any) -> None:
        """Take CERO's arguments, and lift what starts below the floor."""
        super().__init__(*sizes, **options)
        self.floor = floor
        self.mirror_slopes = mirror_slopes
        self.price = max(floor, self.price)
        if mirror_slopes:
            for i in range(self.num_prompts):
                self.slopes[i] = max(floor, self.slopes[i])

    def keep(self, x: float) -> float:
        """Return x clipped to [floor, 1]."""
        return min(1.0, max(self.floor, x))

    def update_price(self) -> None:
        """Multiply the price by exp(-step * (average spend - virtual spend) / G_B)."""
        assert self.last_virtual is not None
        spend = 0
        for _, units in self.last_virtual:
            spend += units
        gradient = (self.average_spend - spend) / self.price_scale
        self.price = self.keep(self.price * math.exp(-self.step_price * gradient))

    def update_slopes(self) -> None:
        """Multiply each slope by exp(-step * (virtual units - supporting exposure / K) / N_max), or step as CERO."""
        if not self.mirror_slopes:
            super().update_slopes()
            return
        assert self.last_virtual is not None
        units = [0] * self.num_prompts
        for i, given in self.last_virtual:
            units[i] = given
        for i in range(self.num_prompts):
            c = 4.0 * self.saturation * self.qhat(i) / self.share
            support = support_exposure(self.slope_bound * self.slopes[i], c, self.max_exposure)
            gradient = (units[i] - support / self.num_rounds) / self.max_units
            self.slopes[i] = self.keep(self.slopes[i] * math.exp(-self.step_slope * gradient))
