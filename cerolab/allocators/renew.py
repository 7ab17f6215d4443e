"""Renew: what a prompt can teach comes back as the policy moves; go where most has come back.

Problem: in training, success rates move with the policy, so that the saturation of a prompt's utility over the whole
horizon (CERO, arXiv 2606.05606, eq. 3) forbids visits that would teach again. Source: this project; the recovery of a
visited arm is that of recharging bandits (Immorlica and Kleinberg 2018).
Rule: each round the even quota goes, N_max units each, to the largest worth

    r_i (1 - p-hat_i)^headroom (1 - exp(-t_i / recovery)),

t_i rounds after the last visit. The last factor is the marginal utility of an exposure that fades within ``recovery``
rounds. r_i is the posterior mean of the reward variance, p(1 - p) for binary rewards, plus ``optimism`` posterior
standard deviations, at most 1/4: what a group teaches now. 1 - p-hat_i is what the prompt still has to gain: of two
prompts that teach as much today, the one that succeeds more rarely goes on teaching as it gets better, the other is
nearly learned; without it two fifths of the later visits in training went to groups that were all right. A visit keeps
the share ``forgetting`` of the prompt's own evidence, since it was gathered under an older policy; prompts that are not
visited keep theirs. The prior is learned from the pool, so that prompts never seen are worth what the pool's record
says: they are tried while the good ones recover, and need not all be seen.

| symbol | here | meaning |
|---|---|---|
| a_i, b_i | ``posterior`` | Beta state: prior, and evidence that fades by visits |
| r_i | in ``_worth()`` | optimistic rate |
| t_i | ``round - visited_M`` | rounds since the last visit; infinite before the first |

Why no Thompson draws: in a pool of thousands the largest of so many draws are lucky draws of prompts never seen, and
too much of the budget goes to looking. In the replica of our training (``sim.replica``) they cost an eighth of the
gain.

Guarantee: none. Worst case: rates that do not move. It keeps coming back to the best prompts, whose utility is
saturated, so that its regret there is above ``resolve``'s, which is the method for that world.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cerolab import limits
from cerolab.allocation import Allocation
from cerolab.allocators._posterior import PosteriorAllocator, PosteriorOptions
from cerolab.checks import real_number
from cerolab.estimators.posterior import Prior
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits, check_visited
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection.top_k import best_allocation
from cerolab.types import FloatArray, IntArray

MOST_VARIANCE = 0.25  # of a reward in [0, 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewOptions(PosteriorOptions):
    """Hyper-parameters of Renew.

    Attributes:
        prior: as for every method with a posterior, but learned from the pool by default.
        forgetting: share of a prompt's evidence that is kept when it is visited, in (0, 1].
        headroom: power of 1 - p-hat in the worth, >= 0; 0 counts only what a group teaches now.
        recovery: rounds after a visit in which a share 1 - 1/e of what a prompt can teach comes back, > 0.
        optimism: posterior standard deviations of the reward variance that are added to its mean, >= 0.
    """

    prior: Prior | Literal["pool"] = "pool"
    forgetting: float = 0.7
    headroom: float = 1.0
    recovery: float = 32.0
    optimism: float = 0.5

    def __post_init__(self) -> None:
        PosteriorOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        recovery = real_number("recovery", self.recovery, 0.0, math.inf, "use 32 rounds, say", low_open=True)
        object.__setattr__(self, "recovery", recovery)
        headroom = real_number("headroom", self.headroom, 0.0, math.inf, "use 1, say")
        object.__setattr__(self, "headroom", headroom)
        optimism = real_number("optimism", self.optimism, 0.0, math.inf, "use 0.5, say")
        object.__setattr__(self, "optimism", optimism)


@register
class Renew(PosteriorAllocator[RenewOptions]):
    """State: the posterior; the round of each prompt's last visit int64 [M], -1 for none."""

    name = "renew"
    Options = RenewOptions
    fades_by_visit: ClassVar[bool] = True
    limits: ClassVar[Limits] = {**PosteriorAllocator.limits, "visited": (-1, limits.last_round)}

    def __init__(self, problem: AllocationProblem, seed: int, options: RenewOptions):
        super().__init__(problem, seed, options)
        self.visited_M: IntArray = np.full(problem.num_prompts, -1)

    def _select(self) -> Allocation:
        return best_allocation(self._worth(), self.ties, self.even_quota(), self.problem.max_units, floor=None)

    def _worth(self) -> FloatArray:
        """[M] optimistic variance of the rewards, times the headroom, times the share that has come back."""
        bonus_M = self.options.optimism * self.posterior.variance_sd()
        rate_M = np.minimum(self.posterior.expected_variance() + bonus_M, MOST_VARIANCE)
        away_M = np.where(self.visited_M < 0, np.inf, self.round_index - self.visited_M)
        headroom_M = (1.0 - self.posterior.mean()) ** self.options.headroom
        worth_M: FloatArray = rate_M * headroom_M * -np.expm1(-away_M / self.options.recovery)
        return worth_M

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        self.visited_M[allocation.prompts] = self.round_index
        self._update_posterior(allocation, feedback)

    def metrics(self) -> dict[str, float]:
        """And the share of prompts visited so far."""
        return {**super().metrics(), "visited_share": float((self.visited_M >= 0).mean())}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**super()._arrays(), "visited": self.visited_M.copy()}

    def _check_state(
        self, arrays: Mapping[str, np.ndarray], round_index: int, remaining: int, spent_tokens: int
    ) -> None:
        super()._check_state(arrays, round_index, remaining, spent_tokens)
        check_visited(self.name, arrays["visited"], round_index)

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        super()._load_arrays(arrays)
        self.visited_M = np.array(arrays["visited"], np.int64)
