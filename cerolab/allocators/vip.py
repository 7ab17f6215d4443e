"""VIP: a batch of the next prompts, laid out so that the variance of the gradient is the least.

Problem: with the same group for every prompt the gradient is noisiest where p(1-p) is large.
Source: Nguyen, Nguyen, Ma, Zhao, She, Nguyen, "Adaptive Rollout Allocation for Online Reinforcement Learning with
Verifiable Rewards", arXiv 2602.01601; published code HieuNT91/VIP, src/vip/allocation.
Rule: minimise sum_i Var_i(n_i) at the batch's total, a_i = p_i (1 - p_i):
    RLOO     Var = a / (n-1)      n = clip(1 + sqrt(a / x), L, U)
    Dr. GRPO Var = a (n-1) / n^2  n = clip(largest root of x n^3 = a (n-2), L, U), L >= 3
with x by bisection on the total. Rounded down to units, the units left over go where they lower the variance the most.

| paper | here | meaning |
|---|---|---|
| p-hat | ``posterior.mean()`` or ``process`` | Beta posterior, or a Gaussian process on prompt embeddings |
| L, U | ``least_responses``, ``most_responses`` | bounds of a group |
| lambda | x | variance that one more response takes away |

Worst case: prompts without contrast. A hopeless or solved prompt has L responses in every epoch however much is known
of it, so the batch never gets rid of a pool of them; and it does not tell hard from easy prompts.
Deviations: p-hat is the mean of the Beta posterior, the paper's a Gaussian process (``estimator="gp"``: refitted to the
last 512 prompts, where the paper updates one posterior for the whole pool). The published code adds a term
0.0007 n log p to the objective, which the paper lacks; it is left out. n is a multiple of g
(``cerolab.selection.batches``).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from cerolab.allocation import Allocation, cut_off
from cerolab.allocators._posterior import PosteriorAllocator, PosteriorOptions
from cerolab.checks import real_number
from cerolab.errors import InvalidValueError
from cerolab.estimators import gaussian_process
from cerolab.estimators.gaussian_process import EmbeddingProcess
from cerolab.feedback import CheckedFeedback
from cerolab.limits import Limits
from cerolab.problem import AllocationProblem
from cerolab.registry import register
from cerolab.selection import epochs
from cerolab.selection.batches import Batches, GroupSizes, check_group_options
from cerolab.selection.epochs import Epochs
from cerolab.selection.top_k import largest_increments
from cerolab.types import FloatArray, IntArray

Form = Literal["rloo", "dr_grpo"]
_LEAST = {"rloo": 2, "dr_grpo": 3}  # below, the variance is infinite, or rises with n
_ROUNDED = 1e-9  # units that rounding errors of x may cost
_LEAST_SUCCESS = 1e-6  # p-hat is kept as far from 0 and 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VipOptions(PosteriorOptions):
    """Hyper-parameters of VIP.

    Attributes:
        form: "rloo" or "dr_grpo", the gradient estimator whose variance is minimised.
        group_units: units that a batch has on average for a prompt; None means half-way between the bounds.
        least_responses, most_responses: bounds of a group, rounded to units.
        estimator: "beta" (the posterior) or "gp" (a Gaussian process on ``embeddings``).
        embeddings: [M, d], one row a prompt, for "gp".
        length_scale: of the Gaussian process; None takes the median distance of prompts.
    """

    form: Form = "rloo"
    group_units: float | None = None
    least_responses: int = 4
    most_responses: int = 32
    estimator: Literal["beta", "gp"] = "beta"
    embeddings: Any = None  # an array
    length_scale: float | None = None

    def __post_init__(self) -> None:
        PosteriorOptions.__post_init__(self)  # super() has no place in a slotted dataclass
        for field, known in (("form", ("rloo", "dr_grpo")), ("estimator", ("beta", "gp"))):
            if getattr(self, field) not in known:
                raise InvalidValueError(field, getattr(self, field), "is not known", f"give one of {', '.join(known)}")
        check_group_options(self, least_allowed=_LEAST[self.form])
        if self.estimator == "gp" and self.embeddings is None:
            raise InvalidValueError("embeddings", None, "is missing for estimator='gp'", "give an array [M, d]")
        for field in ("embeddings", "length_scale"):
            if self.estimator == "beta" and getattr(self, field) is not None:
                raise InvalidValueError(field, "given", "has no meaning for estimator='beta'", "set estimator='gp'")
        if self.length_scale is not None:
            scale = real_number("length_scale", self.length_scale, 0.0, math.inf, "leave it out for the median", True)
            object.__setattr__(self, "length_scale", scale)


def variance(a: FloatArray, num_responses: FloatArray | IntArray, form: Form) -> FloatArray:
    """Variance of a prompt's gradient, up to a constant factor."""
    if form == "rloo":
        return a / (num_responses - 1.0)
    return a * (num_responses - 1.0) / np.square(num_responses, dtype=np.float64)


def responses(a_A: FloatArray, x: float, form: Form) -> FloatArray:
    """n [A] at which one more response takes away x of the variance, before it is clipped to [L, U]."""
    if form == "rloo":
        return 1.0 + np.sqrt(a_A / x)
    # The largest root of n^3 - t n + 2t = 0, t = a/x, by Viete's formula; below t = 27 there is none above n = 3.
    t = np.maximum(a_A / x, 27.0)
    return 2.0 * np.sqrt(t / 3.0) * np.cos(np.arccos(-np.sqrt(27.0 / t)) / 3.0)


def relaxed(a_A: FloatArray, total: float, low: float, high: float, form: Form) -> FloatArray:
    """The optimum [A] over real n in [low, high] with sum n = total; just below the total, never above it."""
    if total >= high * a_A.size:
        return np.full(a_A.size, high)
    # d Var / dn = -a / (n-1)^2 or -a (n-2) / n^3: at the ends of the bracket all n are at one bound.
    ends = (a_A.min() / high**3 / 4.0, a_A.max() * 4.0)
    log_low, log_high = np.log(ends[0]), np.log(ends[1])
    for _ in range(100):
        middle = 0.5 * (log_low + log_high)
        if np.clip(responses(a_A, np.exp(middle), form), low, high).sum() > total:
            log_low = middle
        else:
            log_high = middle
    return np.clip(responses(a_A, np.exp(log_high), form), low, high)


def divide(success_A: FloatArray, quota: int, sizes: GroupSizes, unit: int, form: Form) -> IntArray:
    """Units [A] of a batch.

    Args:
        success_A: p-hat.
        quota: units to lay out.
        sizes: units that a group may have.
        unit: g, responses in a unit.
        form: whose variance.
    """
    least_A = cut_off(np.full(success_A.size, sizes.least), quota)
    if int(least_A.sum()) >= quota:
        return least_A
    success_A = np.clip(success_A, _LEAST_SUCCESS, 1.0 - _LEAST_SUCCESS)
    a_A = success_A * (1.0 - success_A)
    relaxed_A = relaxed(a_A, float(quota * unit), float(sizes.least * unit), float(sizes.most * unit), form)
    units_A = np.clip(np.floor(relaxed_A / unit + _ROUNDED).astype(np.int64), sizes.least, sizes.most)
    further = units_A[:, None] + np.arange(sizes.most - sizes.least + 1)
    gain = -np.diff(variance(a_A[:, None], unit * further, form), axis=1)
    gain = np.where(further[:, 1:] <= sizes.most, gain, -np.inf)
    return units_A + largest_increments(gain, quota - int(units_A.sum()))


@register
class Vip(PosteriorAllocator[VipOptions]):
    """State: the epoch's order int64 [M] and cursor; the posterior; for "gp" the last observed prompts."""

    name = "vip"
    Options = VipOptions
    limits: ClassVar[Limits] = {
        **PosteriorAllocator.limits,
        **epochs.LIMITS,
        **gaussian_process.LIMITS,
    }

    def __init__(self, problem: AllocationProblem, seed: int, options: VipOptions):
        super().__init__(problem, seed, options)
        self.sizes = GroupSizes.of(problem, options.group_units, options.least_responses, options.most_responses)
        self.batches = Batches(Epochs(problem.num_prompts, f"{self.name} epoch", self.seed), self.sizes)
        self.process: EmbeddingProcess | None = None
        self._digest: str | None = None
        if options.estimator == "gp":
            embedding_Md = _checked_embeddings(options.embeddings, problem)
            self.process = EmbeddingProcess(embedding_Md, options.length_scale)
            self._digest = hashlib.sha256(embedding_Md.tobytes()).hexdigest()[:16]

    def _success(self, at: IntArray) -> FloatArray:
        """p-hat of these prompts."""
        if self.process is None:
            return self.posterior.mean(at)
        a0, b0 = self.posterior.prior
        return self.process.predict(at, mean=math.log(a0 / b0))

    def _select(self) -> Allocation:
        quota = self.even_quota()
        if quota == 0:
            return Allocation.empty()
        prompts = self.batches.draw(quota)
        unit = self.problem.responses_per_unit
        return Allocation(prompts, divide(self._success(prompts), quota, self.sizes, unit, self.options.form))

    def _learn(self, allocation: Allocation, feedback: CheckedFeedback) -> None:
        if allocation.num_groups:
            self.batches.epochs.advance(allocation.num_groups)
        super()._learn(allocation, feedback)
        if self.process is not None:
            self.process.observe(allocation.prompts, feedback.num_responses, feedback.reward_sum)

    def extend(self, num_new: int) -> None:
        """As the base class; refused for "gp", which has no embeddings of the new prompts."""
        if self.process is not None:
            raise InvalidValueError(
                "num_new", num_new, "cannot join without embeddings", "use estimator='beta' in a growing pool"
            )
        super().extend(num_new)

    def predicted_success(self) -> FloatArray:
        """[M] p-hat of the estimator."""
        return self._success(np.arange(self.problem.num_prompts))

    def predicted_value(self) -> FloatArray:
        """[M] posterior mean q-hat of the reward variance (6), or p-hat (1 - p-hat) of the Gaussian process."""
        if self.process is None:
            return super().predicted_value()
        success = self.predicted_success()
        return success * (1.0 - success)

    def options_dict(self) -> dict[str, Any]:
        """The options, with a digest of the embeddings."""
        return {**super().options_dict(), "embeddings": self._digest}

    def _joined(self, own: Mapping[str, np.ndarray], start: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {**super()._joined(own, start), **self.batches.epochs.joined(own)}

    def _arrays(self) -> dict[str, np.ndarray]:
        observed = {} if self.process is None else self.process.arrays()
        return {**super()._arrays(), **self.batches.epochs.arrays(), **observed}

    def _load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        epochs = self.batches.epochs.restored(arrays)
        process = None if self.process is None else self.process.restored(arrays)
        super()._load_arrays(arrays)
        self.batches.epochs, self.process = epochs, process


def _checked_embeddings(embeddings: Any, problem: AllocationProblem) -> FloatArray:
    remedy = f"give numbers [M, d] with M={problem.num_prompts}"
    try:
        embedding_Md = np.array(embeddings, np.float64)
    except (TypeError, ValueError):
        raise InvalidValueError("embeddings", type(embeddings).__name__, "are not numbers", remedy) from None
    if embedding_Md.ndim != 2 or embedding_Md.shape[0] != problem.num_prompts or embedding_Md.shape[1] == 0:
        raise InvalidValueError("embeddings", list(embedding_Md.shape), "have the wrong shape", remedy)
    if not np.isfinite(embedding_Md).all():
        raise InvalidValueError("embeddings", "array", "have entries that are not finite", remedy)
    return embedding_Md
