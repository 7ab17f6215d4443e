"""CERO-fixed: CERO without its budget price; an even Bbar = B/K units each round.

Source: CERO (arXiv 2606.05606), sec. 6, ablation. Shows what pacing over the horizon adds.
Rule: nu = 0 throughout; each round spends up to floor(k B / K) in total, on the prompts with the largest slopes
(slopes of 0 included: the quota is always spent). Slopes step by (10) on what was executed.
Worst case: as CERO's; and the quota goes to worthless prompts where every slope has fallen to 0.
Deviations: the paper does not say how a fractional Bbar is rounded; here the cumulative spend is.
"""

from __future__ import annotations

from cerolab.allocation import Allocation
from cerolab.allocators.cero import Cero, CeroOptions
from cerolab.errors import InvalidValueError
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.top_k import best_allocation


@register
class CeroFixed(Cero):
    """Algorithm 1 with nu = 0 and a fixed quota."""

    name = "cero_fixed"
    row_arrays = Cero.row_arrays

    def __init__(self, problem: AllocationProblem, seed: int, options: CeroOptions):
        super().__init__(problem, seed, options)
        defaults = CeroOptions()
        for field in ("price", "step_price", "catch_up"):
            if getattr(options, field) != getattr(defaults, field):
                raise InvalidValueError(
                    field, getattr(options, field), f"has no meaning for {self.name!r}, which has no price", "drop it"
                )
        self.price = 0.0

    def _quota(self) -> int:
        """Units that this round spends."""
        return self.even_quota()

    def _select(self) -> Allocation:
        return best_allocation(self.slope_M, self.ties, self._quota(), self.problem.max_units, floor=None)

    def metrics(self) -> dict[str, float]:
        """As CERO's but the price; the quota is what is spent."""
        metrics = super().metrics()
        del metrics["price"]
        return {**metrics, "virtual_units": float(self._quota())}

    def _request(self, allocation: Allocation) -> Allocation:
        return allocation

    def _learn_row(self, request: Allocation) -> None:
        """There is no price."""
