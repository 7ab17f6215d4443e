"""Reinforce-Ada-Est: a batch of prompts, whose groups are the larger the rarer each is said to succeed.

Problem: a prompt that succeeds rarely needs more responses for a mixed group than one that succeeds often.
Source: Xiong, Ye, Liao, Dong, Xu, Monz, Bian, Jiang, Zhang, "Reinforce-Ada: An Adaptive Sampling Framework under
Non-linear RL Objectives", arXiv 2510.04996, the estimation-based variant; published code RLHFlow/Reinforce-Ada,
verl/trainer/ppo/ray_trainer_ema.py, which alone has the constants.
Rule: each prompt of the batch gets one unit, and the rest of the round's units go by the weights p-hat^-power, in one
wave. p-hat is the mean of a Beta posterior, whose evidence loses a tenth whenever the prompt is visited.

| paper and code | here | meaning |
|---|---|---|
| bayes_alpha, bayes_beta | ``prior`` | (1, 16): a prompt never seen counts as hard |
| bayes_ema_decay | ``forgetting`` | share of a prompt's evidence that a visit keeps |
| | ``group_units`` | units that a batch has on average for a prompt |

Worst case: hopeless prompts. p-hat falls with every visit, so that they take an ever larger part of each batch.
Deviations: weights are 1 / sqrt(p-hat) in the paper, 1 / p-hat in its code (``power=1``); this follows the paper. A
group is a number of units of g responses, at most N_max: what is above goes to the others by the same weights. The
code's batch has 16 responses a prompt on average; here the default is half-way between one unit and N_max.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cerolab.allocation import Allocation
from cerolab.allocators._posterior import PosteriorAllocator, PosteriorOptions
from cerolab.checks import real_number
from cerolab.estimators.posterior import Prior
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.rounding import SLACK, comparable
from cerolab.selection import epochs
from cerolab.selection.batches import Batches, GroupSizes, check_group_units
from cerolab.selection.epochs import Epochs
from cerolab.types import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceAdaEstOptions(PosteriorOptions):
    """Hyper-parameters of Reinforce-Ada-Est.

    Attributes:
        prior: as for every method with a posterior.
        forgetting: share of a prompt's evidence that is kept when it is visited, in (0, 1].
        power: of 1 / p-hat in the weights, >= 0; 0 makes all groups equal.
        group_units: units that a batch has on average for a prompt; None means half-way between one and N_max.
    """

    prior: Prior | Literal["pool"] = (1.0, 16.0)
    forgetting: float = 0.9
    power: float = 0.5
    group_units: float | None = None

    def __post_init__(self) -> None:
        PosteriorOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        power = real_number("power", self.power, 0.0, math.inf, "use 0.5, as in the paper")
        object.__setattr__(self, "power", power)
        check_group_units(self)


def proportional_units(weight_A: FloatArray, total: int, most: int) -> IntArray:
    """``total`` <= A * ``most`` units by weights > 0, at most ``most`` each; largest remainders, ties in order."""
    order = np.argsort(-weight_A, kind="stable")  # which of equal ones comes first makes no difference
    weight = weight_A[order]
    others = np.cumsum(weight[::-1])[::-1]  # weight of those from here on
    scale = (total - most * np.arange(weight.size)) / others  # where all before are at the most
    full = int(np.argmax(weight * scale <= most * (1.0 + 1e-12))) if weight.size else 0
    share_A = np.minimum(weight_A * scale[full], most) if weight.size else weight_A
    units_A = np.floor(share_A + SLACK).astype(np.int64)
    left = total - int(units_A.sum())
    room = np.flatnonzero(units_A < most)
    remainder = comparable(share_A[room]) - units_A[room]
    units_A[room[np.argsort(-remainder, kind="stable")[:left]]] += 1
    return units_A


@register
class ReinforceAdaEst(PosteriorAllocator[ReinforceAdaEstOptions]):
    """State: the posterior; the epoch's order int64 [M] and cursor."""

    name = "reinforce_ada_est"
    Options = ReinforceAdaEstOptions
    fades_by_visit: ClassVar[bool] = True
    limits: ClassVar[Limits] = {**PosteriorAllocator.limits, **epochs.LIMITS}

    def __init__(self, problem: AllocationProblem, seed: int, options: ReinforceAdaEstOptions):
        super().__init__(problem, seed, options)
        unit = problem.responses_per_unit
        self.sizes = GroupSizes.of(problem, options.group_units, 1, problem.max_units * unit)
        self.batches = Batches(Epochs(problem.num_prompts, f"{self.name} epoch", self.seed), self.sizes)

    def _select(self) -> Allocation:
        quota = self.even_quota()
        if quota == 0:
            return Allocation.empty()
        prompts = self.batches.draw(quota)
        weight = self.posterior.mean(prompts) ** -self.options.power
        return Allocation(prompts, 1 + proportional_units(weight, quota - prompts.size, self.sizes.most - 1))

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        if allocation.num_groups:
            self.batches.epochs.advance(allocation.num_groups)
        self._update_posterior(allocation, feedback)

    def _joined(self, own: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**super()._joined(own, start), **self.batches.epochs.joined(own)}

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**super()._arrays(), **self.batches.epochs.arrays()}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        epochs = self.batches.epochs.restored(arrays)
        super()._load_arrays(arrays)
        self.batches.epochs = epochs
