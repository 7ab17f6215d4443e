"""The projected online gradient steps on prompt slopes and budget price (CERO, arXiv 2606.05606, eq. 10)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cerolab.allocation import Allocation
from cerolab.problem import AllocationProblem
from cerolab.types import FloatArray

_BLOCK = 1 << 14  # prompts a pass, so that its temporaries stay in cache


class SlopeStep:
    """One step of all slopes, in place, in one pass over the pool.

    vartheta_i <- clip(vartheta_i - step * (N_i - z*(cbar*vartheta_i; c_i) / K) / N_max, 0, 1)   (10)

    With the relative curvature w_i = 4*qhat_i and c_i = cbar*w_i, the supporting exposure (9) is
    clip(log(w_i/vartheta_i) / (cbar*w_i), 0, Z).

    Args:
        problem: gives K, N_max, Z.
        step: gamma_vartheta > 0.
        max_slope: cbar, which a method may set by a saturation of its own.
        kind: of the slopes' numbers, float64 or float32.
    """

    def __init__(self, problem: AllocationProblem, step: float, max_slope: float, kind: npt.DTypeLike = np.float64):
        self._per_exposure = step / (problem.max_units * problem.num_rounds)
        self._per_unit = step / problem.max_units
        self._most = float(problem.horizon_exposure)
        self._max_slope = max_slope
        self._buffer: FloatArray = np.empty(0, kind)

    def __call__(self, slope_M: FloatArray, relative_curvature_M: FloatArray, allocation: Allocation) -> None:
        """Update ``slope_M`` [M] in place; ``allocation`` is the virtual one."""
        chosen, units = allocation.prompts, allocation.units
        if self._buffer.size != min(_BLOCK, slope_M.size):
            self._buffer = np.empty(min(_BLOCK, slope_M.size), self._buffer.dtype)
        slope_A = slope_M[chosen]
        # fmax and fmin drop the nan of 0/0: a prompt without curvature supports no exposure.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            rise_A = self._rise(slope_A, relative_curvature_M[chosen], np.empty_like(slope_A))
            for start in range(0, slope_M.size, self._buffer.size):
                slope = slope_M[start : start + self._buffer.size]
                curvature = relative_curvature_M[start : start + self._buffer.size]
                slope += self._rise(slope, curvature, self._buffer[: slope.size])
                np.minimum(slope, 1.0, out=slope)
        slope_M[chosen] = np.clip(slope_A + (rise_A - self._per_unit * units), 0.0, 1.0)

    def _rise(self, slope: FloatArray, relative_curvature: FloatArray, out: FloatArray) -> FloatArray:
        """step * z*(cbar*slope; c) / (K * N_max), the pull of the supporting exposure (9), written to ``out``."""
        np.divide(relative_curvature, slope, out=out)
        np.log(out, out=out)
        out /= relative_curvature
        out *= 1.0 / self._max_slope
        np.fmax(out, 0.0, out=out)
        np.fmin(out, self._most, out=out)
        out *= self._per_exposure
        return out


def price_gradient(virtual_units: int, problem: AllocationProblem) -> float:
    """(Bbar - sum_i N_i) / G_B, the subgradient of the price in (10); positive where less than Bbar is spent."""
    return (problem.mean_spend - virtual_units) / problem.price_scale


def price_step(price: float, virtual_units: int, step: float, problem: AllocationProblem) -> float:
    """nu <- clip(nu - step * (Bbar - sum_i N_i) / G_B, 0, 1) (10)."""
    return min(1.0, max(0.0, price - step * price_gradient(virtual_units, problem)))
