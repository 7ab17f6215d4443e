"""CERO: where and when to allocate rollouts, as online resource allocation with bandit feedback.

Problem: a fixed budget of B units over K rounds, success rates unknown, utility of a prompt's exposure saturating.
Source: Zong, Wang, Hu, Jiang, Shen, "CERO: Where and When to Allocate Rollouts for RL Post-Training",
arXiv 2606.05606 v2, algorithm 1 (sec. 4); equation numbers are that paper's.

| paper | here | meaning |
|---|---|---|
| vartheta_i | ``slope_M`` | normalised slope of the prompt's utility, theta_i = cbar * vartheta_i |
| nu | ``price`` | normalised budget price, mu = cbar * nu |
| a_i, b_i, rho | ``posterior`` | Beta state with forgetting (5) |
| qhat_i | ``posterior.expected_variance`` | value of a rollout (6); ``curvature_M`` caches 4 * qhat_i |
| Ntilde | ``_virtual()`` | virtual allocation, before the budget cuts it off (8) |
| gamma | ``step_slope``, ``step_price`` | step sizes, 1/sqrt(K) by default |

Guarantee: regret per prompt falls like 1/sqrt(K) plus terms for estimation error and drift, for any feedback
((11) and (12); ``cerolab.regret``).
Worst case: prompts that never succeed keep their first slope until their posterior says so, about
log(1/slope)/step visits each, so a pool of hopeless prompts costs coverage before anything is learned.

Deviations: none by default. ``catch_up=True`` is the paper's "reserve-aware catch-up", which it names (app. G) but
does not define. Here: with L rounds left (this one included) at most (L-1)*C units can be spent later, so a round
executes at least remaining - (L-1)*C units; what the virtual allocation falls short of that is filled with further
prompts by decreasing margin. The duals still step on the virtual allocation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cerolab.allocation import Allocation
from cerolab.allocators._posterior import PosteriorAllocator, PosteriorOptions
from cerolab.checks import real_number
from cerolab.errors import InvalidValueError
from cerolab.estimators.posterior import expected_variance
from cerolab.feedback import CheckedFeedback
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.dual_step import SlopeStep, price_step
from cerolab.selection.top_k import best_allocation, fill_in_order
from cerolab.types import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CeroOptions(PosteriorOptions):
    """Hyper-parameters of CERO.

    Attributes:
        price: nu_1 in [0, 1], the first normalised budget price.
        step_slope, step_price: gamma > 0; None means 1/sqrt(K).
        saturation: lambda > 0 that the method plans with; None means the problem's.
        catch_up: spend what would otherwise be left over at the end (see the module's Deviations).
    """

    price: float = 0.5
    step_slope: float | None = None
    step_price: float | None = None
    saturation: float | None = None
    catch_up: bool = False

    def __post_init__(self) -> None:
        PosteriorOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        price = real_number("price", self.price, 0.0, 1.0, "give the normalised price nu_1")
        object.__setattr__(self, "price", price)
        for field in ("step_slope", "step_price", "saturation"):
            if getattr(self, field) is not None:
                value = real_number(field, getattr(self, field), 0.0, math.inf, "leave it out for the default", True)
                object.__setattr__(self, field, value)
        if not isinstance(self.catch_up, (bool, np.bool_)):
            raise InvalidValueError("catch_up", self.catch_up, "is no truth value", "give True or False")
        object.__setattr__(self, "catch_up", bool(self.catch_up))


@register
class Cero(PosteriorAllocator[CeroOptions]):
    """Algorithm 1. State: slopes [M], one price, the posterior."""

    name = "cero"
    Options = CeroOptions
    row_arrays = (*PosteriorAllocator.posterior_arrays, "curvature_M", "slope_M")

    def __init__(self, problem: AllocationProblem, seed: int, options: CeroOptions):
        super().__init__(problem, seed, options)
        default_step = 1.0 / math.sqrt(problem.num_rounds)
        self._step_price = options.step_price or default_step
        saturation = options.saturation or problem.saturation
        self._slope_step = SlopeStep(
            problem, options.step_slope or default_step, saturation / problem.exposure_scale, self._float_type
        )
        self.price = options.price
        self.curvature_M = self._curvature()
        self.slope_M = self._first_slopes(self.curvature_M)

    def _curvature(self) -> FloatArray:
        """4 qhat [M], the curvature over cbar."""
        return (4.0 * self.posterior.expected_variance()).astype(self._float_type, copy=False)

    def _first_slopes(self, relative_curvature_M: FloatArray) -> FloatArray:
        """vartheta_i = 4 qhat_i at the start, as a copy."""
        return relative_curvature_M.copy()

    def _virtual(self) -> Allocation:
        """Ntilde: prompts with a positive margin slope - price by decreasing margin, N_max each up to C (8)."""
        problem = self.problem
        return best_allocation(self.slope_M, self.ties, problem.capacity, problem.max_units, floor=self.price)

    def _select(self) -> Allocation:
        """The executed allocation: the virtual one, cut off at the remaining budget."""
        problem, virtual = self.problem, self._virtual()
        if self.options.catch_up:
            later = (problem.num_rounds - self.round_index - 1) * problem.capacity
            must = min(self.remaining - later, problem.capacity)
            if must > virtual.num_units:
                return best_allocation(self.slope_M, self.ties, must, problem.max_units, floor=None)
        if virtual.num_units <= self.remaining:
            return virtual
        units = fill_in_order(virtual.prompts, problem.max_units, self.remaining)
        return Allocation(virtual.prompts[: units.size], units)

    def _request(self, allocation: Allocation) -> Allocation:
        return self._virtual() if self._is_cut(allocation) else allocation

    def _learn_prompts(self, allocation: Allocation, feedback: CheckedFeedback, request: Allocation) -> None:
        self._update_curvature(allocation, feedback)
        self._step_slopes(request)  # with the new qhat (10)

    def _learn_row(self, request: Allocation) -> None:
        self.price = self._next_price(request.num_units)

    def _step_slopes(self, virtual: Allocation) -> None:
        """One step of all slopes, in place (10)."""
        self._slope_step(self.slope_M, self.curvature_M, virtual)

    def _next_price(self, virtual_units: int) -> float:
        return price_step(self.price, virtual_units, self._step_price, self.problem)

    def _is_cut(self, allocation: Allocation) -> bool:
        """Whether the executed allocation may differ from the virtual one."""
        return self.options.catch_up or allocation.num_units == self.affordable

    def _update_curvature(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        if self._update_posterior(allocation, feedback):
            self.curvature_M[:] = self._curvature()
        else:
            self.curvature_M[allocation.prompts] = 4.0 * self.posterior.expected_variance(allocation.prompts)

    def predicted_value(self) -> np.ndarray:
        """[M] posterior mean q-hat of the reward variance (6)."""
        return self.curvature_M.astype(np.float64, copy=False) / 4.0

    def metrics(self) -> dict[str, float]:
        """Price, units that the next round would spend at this price, remaining units, mean q-hat and mean slope."""
        positive_margins = int(np.count_nonzero(self.slope_M > self.price))
        return {
            **super().metrics(),
            "price": self.price,
            "virtual_units": float(min(self.problem.capacity, positive_margins * self.problem.max_units)),
            "mean_predicted_value": float(self.curvature_M.mean(dtype=np.float64)) / 4.0,
            "mean_slope": float(self.slope_M.mean(dtype=np.float64)),
        }

    def _joined(self, own: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        arrays = super()._joined(own, start)
        num_old = len(own["slope"])  # new prompts start at 4 qhat of the present prior
        new = np.full(len(start["slope"]) - num_old, 4.0 * expected_variance(*own["prior"]))
        arrays["slope"][num_old:] = self._first_slopes(new)
        return arrays

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**super()._arrays(), "slope": self.slope_M.copy(), "price": np.array(self.price)}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        super()._load_arrays(arrays)
        self.slope_M = np.array(arrays["slope"], self._float_type)
        self.price = float(arrays["price"])
        self.curvature_M = self._curvature()
