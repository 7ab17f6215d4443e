"""GRESO: prompts whose last groups were all right or all wrong are skipped before they are sampled.

Problem: dynamic sampling finds out by rollouts what the last epochs said already: which prompts teach nothing.
Source: Zheng, Zhou, Bartoldson, Kailkhura, Lai, Zhao, Chen, "Act Only When It Pays: Efficient Reinforcement Learning
for LLM Reasoning via Selective Rollouts", arXiv 2506.02177; published code Infini-AI-Lab/GRESO, verl/trainer/ppo.
Rule: a prompt that comes up in the shuffled epochs is skipped with probability 1 - max(p_e^c, 0.01), c the length of
its trailing run of groups that were all right (mean reward >= 0.98) or all wrong (<= 0.11), p_e the exploration
probability of easy or of hard prompts. Those kept go through dynamic sampling (``dapo``); a wave that is to fill the
batch has 1.25 * missing / (1 - z) groups, z the share of the last wave's groups without mixed rewards. After each round
p_e falls by 0.01 where the round's share of all-right (all-wrong) groups has reached its target, else it rises by 0.01.

| paper and code | here | meaning |
|---|---|---|
| p_easy, p_hard | ``exploration`` | start at 1/2, kept in [0.05, 0.95] |
| z_i | ``run_M`` | c, with the sign of its kind: + all right, - all wrong |
| alpha_easy, alpha_hard | ``target_zero_variance`` | target share of groups, one third for easy, two thirds for hard |
| B_default | | groups of a wave at most, 1.5 times a full batch |

Worst case: rates that moved while a prompt was skipped. After c groups it is tried in p_e^c of its turns, at p_e = 1/2
after seven in one of a hundred, so a prompt that has become learnable waits for many epochs. Memory is of whole groups
only: one lucky answer wipes a long run of failures.
Deviations: as in ``dapo``. With long groups (10 responses and more) one right answer still counts as all wrong, as
published. The paper, as read here, has p_e move on the iteration's counts, the code on those of the whole run; here the
round's, and, as in the code, from the second epoch on. The code stops after the refill that it expects to be the last,
the paper goes on until the batch is full; so does this. A round that has gone through the whole pool goes through it
again, with new coins and in the same order, past the prompts that it has sampled already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from cerolab import limits, seeding
from cerolab.allocation import Allocation
from cerolab.allocators._dynamic_sampling import DapoOptions, DynamicSampling
from cerolab.checks import real_number
from cerolab.errors import StateError
from cerolab.feedback import CheckedFeedback
from cerolab.groups import contrast
from cerolab.limits import Limits
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.types import BoolArray, FloatArray, IntArray

_EASY, _HARD = 0.98, 0.11  # mean reward of a group: at least, at most
_LEAST_KEPT = 0.01  # probability of keeping a prompt
_STEP, _LEAST, _MOST = 0.01, 0.05, 0.95  # of the exploration probabilities
_DEFAULT_WAVE, _REFILL = 1.5, 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class GresoOptions(DapoOptions):
    """Hyper-parameters of GRESO.

    Attributes:
        exploration: p_e at the start, of easy and of hard prompts.
        target_zero_variance: share of all-right and all-wrong groups that p_e is to hold.
    """

    exploration: float = 0.5
    target_zero_variance: float = 0.25

    def __post_init__(self) -> None:
        DapoOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        remedy = f"give a probability, it is kept in [{_LEAST:g}, {_MOST:g}]"
        object.__setattr__(self, "exploration", real_number("exploration", self.exploration, _LEAST, _MOST, remedy))
        target = real_number("target_zero_variance", self.target_zero_variance, 0.0, 1.0, "give a share of the groups")
        object.__setattr__(self, "target_zero_variance", target)


@register
class Greso(DynamicSampling[GresoOptions]):
    """State: as the base class says; runs int32 [M]; ``exploration`` [2], p_e of easy and of hard prompts;
    ``counts`` int64 [4], groups and groups without mixed rewards of the last wave, all-right and all-wrong groups of
    the round.
    """

    name = "greso"
    Options = GresoOptions
    turns: ClassVar[float] = math.inf
    limits: ClassVar[Limits] = {
        **DynamicSampling.limits,
        "run": (lambda problem: -problem.num_rounds, limits.num_rounds),
        "exploration": (_LEAST, _MOST),
        "counts": (0, limits.capacity),
    }

    def __init__(self, problem: AllocationProblem, seed: int, options: GresoOptions):
        super().__init__(problem, seed, options)
        self.run_M: npt.NDArray[np.int32] = np.zeros(problem.num_prompts, np.int32)
        self.exploration = np.full(2, options.exploration)
        self._counts: IntArray = np.zeros(4, np.int64)
        self._keys_M = seeding.coin_keys(seeding.seed_from_names("greso skip", self.seed), problem.num_prompts)

    def keep_probability(self, prompts: IntArray) -> FloatArray:
        """Probability [A] of keeping these prompts when they come up."""
        run = self.run_M[prompts]
        base = np.where(run > 0, *self.exploration)
        kept: FloatArray = np.maximum(base ** np.abs(run), _LEAST_KEPT)
        return kept

    def _kept(self, prompts: IntArray, turn: int) -> BoolArray:
        """Which of these prompts [A] are kept the ``turn``-th time that the round goes through the pool, from 0."""
        counter = self.round_index + turn * self.problem.num_rounds
        coins = seeding.counter_uniforms(self._keys_M[prompts], np.array(counter))
        return coins < self.keep_probability(prompts)

    def _look_ahead(self, count: int) -> tuple[IntArray, int]:
        """(the next ``count`` prompts that are kept, how many come up to the last of them); fewer if the pool is used.

        What is needed of the first turn is drawn bit by bit, so that a large pool is not gone through.
        """
        num_prompts, ahead = self.problem.num_prompts, 2 * count
        while 0 < ahead < num_prompts - self.drawn:
            coming = self.epochs.draw(self.drawn + ahead)[self.drawn :]
            at = np.flatnonzero(self._kept(coming, 0))[:count]
            if at.size == count:
                return coming[at], int(at[-1]) + 1
            ahead *= 4
        order = self.epochs.draw(num_prompts)
        turn, start = divmod(self.drawn, num_prompts)
        waiting = np.flatnonzero(self.units_M[order] == 0)  # places in the order
        found: list[IntArray] = []
        end, missing = self.drawn, count
        while waiting.size and missing:
            coming = waiting[waiting >= start]
            places = coming[self._kept(order[coming], turn)][:missing]
            if places.size:
                found.append(order[places])
                end, missing = turn * num_prompts + int(places[-1]) + 1, missing - places.size
                waiting = np.setdiff1d(waiting, places, assume_unique=True)
            turn, start = turn + 1, 0
        return np.concatenate([np.zeros(0, np.int64), *found]), end - self.drawn

    def _fresh(self, count: int) -> IntArray:
        return self._look_ahead(count)[0]

    def _num_passed(self, num_fresh: int) -> int:
        return self._look_ahead(num_fresh)[1]

    def _wave_groups(self, missing: int) -> int:
        most = math.ceil(_DEFAULT_WAVE * self.full_batch)
        groups, flat = int(self._counts[0]), int(self._counts[1])
        if self.wave == 0 or flat == groups or missing <= 0:
            return most
        return max(1, min(most, int(_REFILL * missing * groups / (groups - flat))))

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        seen = feedback.num_responses > 0
        prompts = allocation.prompts[seen]
        mixed = contrast(feedback.num_responses, feedback.reward_sum, feedback.reward_sq_sum)[seen]
        mean = feedback.reward_sum[seen] / feedback.num_responses[seen]
        easy, hard = mean >= _EASY, mean <= _HARD
        before = self._counts[2:] if self.wave else np.zeros(2, np.int64)
        counts = np.append([mixed.size, np.count_nonzero(~mixed)], before + np.array([easy.sum(), hard.sum()]))
        groups = int(np.count_nonzero(self.responses_M)) + mixed.size  # of the round
        in_first_epoch = self.epochs.epoch == 0
        super()._learn(allocation, feedback)
        run = self.run_M[prompts]
        self.run_M[prompts] = np.where(easy, np.maximum(run, 0) + 1, np.where(hard, np.minimum(run, 0) - 1, 0))
        self._counts = counts
        if allocation.last_wave:
            if groups and not in_first_epoch:
                self._explore(counts[2:] / groups)
            self._counts = np.zeros(4, np.int64)

    def _explore(self, share: FloatArray) -> None:
        """Move p_e by the round's shares [2] of all-right and all-wrong groups."""
        target = self.options.target_zero_variance * np.array([1.0, 2.0]) / 3.0
        step = np.where(share >= target, -_STEP, _STEP)
        self.exploration = np.clip(self.exploration + step, _LEAST, _MOST)

    def metrics(self) -> dict[str, float]:
        """As the base class; p_e of easy and of hard prompts, share of the pool that would be kept."""
        easy, hard = self.exploration.tolist()
        kept = float(self.keep_probability(np.arange(self.problem.num_prompts)).mean())
        return {**super().metrics(), "exploration_easy": easy, "exploration_hard": hard, "share_kept": kept}

    def _arrays(self) -> dict[str, np.ndarray]:
        own = {"run": self.run_M.copy(), "exploration": self.exploration.copy(), "counts": self._counts.copy()}
        return {**super()._arrays(), **own}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        groups, flat, easy, hard = arrays["counts"].tolist()
        if flat > groups or (not arrays["round"][0] and arrays["counts"].any()):
            raise StateError(f"{self.name}: the state's round and its counts {groups, flat, easy, hard} do not fit")
        super()._load_arrays(arrays)
        self.run_M = np.array(arrays["run"], np.int32)
        self.exploration = np.array(arrays["exploration"], np.float64)
        self._counts = np.array(arrays["counts"], np.int64)
