"""Dual mirror descent: CERO whose price moves by factors, the entropic mirror map, instead of by steps.

Problem: as CERO's.
Source: Balseiro, Lu, Mirrokni, "Dual Mirror Descent for Online Allocation Problems" (2020) and "The Best of Many
Worlds: Dual Mirror Descent for Online Allocation Problems" (2023), on CERO's problem and duals (arXiv 2606.05606).
Rule: CERO's round, with nu <- clip(nu exp(-step g), floor, 1), g = (Bbar - sum Ntilde) / G_B the subgradient of (10).
With ``mirror_slopes`` vartheta_i <- clip(vartheta_i exp(-step (Ntilde_i - z*_i / K) / N_max), floor, 1) as well.

| paper | here | meaning |
|---|---|---|
| h(mu) = mu log mu | ``_next_price`` | reference function; its mirror step multiplies |
| eta | ``step_price``, ``step_slope`` | step sizes, 1/sqrt(K) by default |

Worst case: a price that has long been low. From the floor it is up again only after log(1/floor)/step rounds of
overspending, while a subgradient step takes 1/step; and a price of 0, the right one where the budget does not bind, is
never reached.
Deviations: the floor and the bound 1 are CERO's box, with 0 cut off because no factor leads away from it. The papers
step on the request of one arriving item, this on the virtual allocation of a whole round, as CERO does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cerolab import utility
from cerolab.allocation import Allocation
from cerolab.allocators.cero import Cero, CeroOptions
from cerolab.checks import real_number
from cerolab.errors import InvalidValueError, StateError
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.dual_step import price_gradient
from cerolab.types import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class DualMirrorDescentOptions(CeroOptions):
    """Hyper-parameters of CERO, and of the mirror map.

    Attributes:
        floor: least price, and least slope with ``mirror_slopes``, in (0, 1].
        mirror_slopes: multiply the slopes too.
    """

    floor: float = 1e-3
    mirror_slopes: bool = False

    def __post_init__(self) -> None:
        CeroOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        floor = real_number("floor", self.floor, 0.0, 1.0, "give a small price, 0.001, say", low_open=True)
        object.__setattr__(self, "floor", floor)
        if not isinstance(self.mirror_slopes, (bool, np.bool_)):
            raise InvalidValueError("mirror_slopes", self.mirror_slopes, "is no truth value", "give True or False")
        object.__setattr__(self, "mirror_slopes", bool(self.mirror_slopes))


@register
class DualMirrorDescent(Cero):
    """Algorithm 1 of CERO with another mirror map. State: as CERO's."""

    name = "dual_mirror_descent"
    row_arrays = Cero.row_arrays
    Options = DualMirrorDescentOptions
    options: DualMirrorDescentOptions

    def __init__(self, problem: AllocationProblem, seed: int, options: DualMirrorDescentOptions):
        super().__init__(problem, seed, options)
        self.price = max(self.price, options.floor)
        self._slope_factor = (options.step_slope or 1.0 / math.sqrt(problem.num_rounds)) / problem.max_units
        self._max_slope = (options.saturation or problem.saturation) / problem.exposure_scale

    def _first_slopes(self, relative_curvature_M: FloatArray) -> FloatArray:
        floor = self.options.floor if self.options.mirror_slopes else 0.0
        return np.maximum(relative_curvature_M, floor)

    def _next_price(self, virtual_units: int) -> float:
        factor = math.exp(-self._step_price * price_gradient(virtual_units, self.problem))
        return min(1.0, max(self.options.floor, self.price * factor))

    def _check_state(
        self, arrays: Mapping[str, np.ndarray], round_index: int, remaining: int, spent_tokens: int
    ) -> None:
        super()._check_state(arrays, round_index, remaining, spent_tokens)
        for key in ("price", "slope")[: 1 + self.options.mirror_slopes]:
            least = self.options.floor * (1.0 - 1e-6)  # slopes may be single
            if (arrays[key] < least).any():
                raise StateError(f"{self.name}: the state's {key} is below the floor {self.options.floor}")

    def _step_slopes(self, virtual: Allocation) -> None:
        """CERO's step, or a mirror step of all slopes, in place."""
        if not self.options.mirror_slopes:
            super()._step_slopes(virtual)
            return
        slope, curvature = self._max_slope * self.slope_M, self._max_slope * self.curvature_M
        rise_M = utility.supporting_exposure(slope, curvature, self.problem.horizon_exposure) / self.problem.num_rounds
        rise_M[virtual.prompts] -= virtual.units
        self.slope_M *= np.exp(self._slope_factor * rise_M)
        np.clip(self.slope_M, self.options.floor, 1.0, out=self.slope_M)
