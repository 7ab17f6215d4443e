"""CERO-preset: CERO-fixed with a preset front-loaded pace instead of a learned price.

Source: CERO (arXiv 2606.05606), sec. 6, ablation: 528 responses a round in the first half of the horizon and 496 in
the second, with Bbar = 512 and C = 528 responses. Shows whether any front-loading would do.
Rule: the first floor(K/2) rounds spend 33/32 of Bbar each (at most C), the others share the rest evenly.
Worst case: as CERO-fixed's.
Deviations: the paper gives the two numbers only; the ratio 33/32 carries them over to other budgets.
"""

from __future__ import annotations

from cerolab.allocators.cero_fixed import CeroFixed
from cerolab.registry import register

_FRONT_LOAD = 33 / 32  # 528 / 512


@register
class CeroPreset(CeroFixed):
    """CERO-fixed with the quota of a two-step schedule."""

    name = "cero_preset"
    row_arrays = CeroFixed.row_arrays

    def _quota(self) -> int:
        problem = self.problem
        half = problem.num_rounds // 2
        front = min(float(problem.capacity), _FRONT_LOAD * problem.mean_spend)
        rounds = self.round_index + 1
        due = int(min(rounds, half) * front + 1e-9)
        if rounds > half:
            due += (rounds - half) * (problem.budget - due) // (problem.num_rounds - half)
        spent = problem.budget - self.remaining
        return max(0, min(due - spent, problem.capacity, self.remaining))
