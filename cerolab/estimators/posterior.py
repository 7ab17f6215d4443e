"""Posterior of each prompt's reward, and the expected reward variance q-hat that CERO allocates by.

Source: CERO (arXiv 2606.05606), sec. 3. A prompt's Beta state (5) is kept as discounted sums over its responses,
alpha = a0 + reward_sum and beta = b0 + num_responses - reward_sum, which makes forgetting one product and lets the
prior change under the data (empirical Bayes).

Graded rewards in [0, 1] use a Dirichlet-process posterior with the same prior weight s0 = a0 + b0: the expected
variance of a draw from DP(s, H) is s/(s+1) times the variance of H. With a Bernoulli base measure and binary
rewards this is exactly (6), so one rule covers both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import betaln, digamma

from cerolab.checks import real_number
from cerolab.errors import InvalidValueError, StateError
from cerolab.text import brief
from cerolab.types import FloatArray, IntArray

Prior = tuple[float, float]
Precision = Literal["double", "single"]
LEAST_WEIGHT, MOST_WEIGHT = 1e-2, 100.0  # of a prior that is learned
MOST_PRIOR = 1e100  # products of two stay finite


def expected_variance(alpha: npt.ArrayLike, beta: npt.ArrayLike) -> FloatArray:
    """q-hat = E[P(1-P)] = ab / ((a+b)(a+b+1)) in [0, 1/4] for P ~ Beta(a, b) (6)."""
    alpha, beta = np.asarray(alpha, np.float64), np.asarray(beta, np.float64)
    total = alpha + beta
    return (alpha * beta) / (total * (total + 1.0))  # symmetric to the last bit: mirrored prompts tie


def variance_second_moment(alpha: npt.ArrayLike, beta: npt.ArrayLike) -> FloatArray:
    """E[P^2 (1-P)^2] = a(a+1)b(b+1) / (s(s+1)(s+2)(s+3)), s = a + b."""
    alpha, beta = np.asarray(alpha, np.float64), np.asarray(beta, np.float64)
    s = alpha + beta
    return (alpha / s) * ((alpha + 1.0) / (s + 1.0)) * (beta / (s + 2.0)) * ((beta + 1.0) / (s + 3.0))


def variance_sd(alpha: npt.ArrayLike, beta: npt.ArrayLike) -> FloatArray:
    """Posterior standard deviation of P(1-P) for P ~ Beta(a, b)."""
    second = variance_second_moment(alpha, beta) - expected_variance(alpha, beta) ** 2
    return np.sqrt(np.maximum(second, 0.0))


def expected_variance_error(num_responses: npt.ArrayLike, prior_weight: float) -> FloatArray:
    """Proposition 2: a bound on E|q-hat_n - q| after n responses, s0 = a0 + b0 (7)."""
    n = np.asarray(num_responses, np.float64)
    return np.sqrt(n) / (2 * (n + prior_weight)) + prior_weight / (n + prior_weight) + 1 / (4 * (n + prior_weight + 1))


def float_type(precision: Precision) -> npt.DTypeLike:
    """What numbers of prompts are kept in."""
    return np.float32 if precision == "single" else np.float64


@dataclass(slots=True, repr=False)
class Posterior:
    """Discounted reward sums of every prompt under a Beta prior; binary or graded rewards.

    Attributes:
        prior: (a0, b0), pseudo-successes and pseudo-failures, both > 0.
        forgetting: rho in (0, 1]; a round multiplies the evidence by it (5).
        num_responses: [M] discounted responses.
        reward_sum: [M] discounted sum of rewards.
        reward_sq_sum: [M] discounted sum of squared rewards; None while every reward was binary.

    The sums are float64 or float32, whichever they were given in; what is worked out from them is float64.

    Raises:
        InvalidValueError: a prior that is not positive and finite, or a forgetting outside (0, 1].
    """

    prior: Prior
    forgetting: float
    num_responses: FloatArray
    reward_sum: FloatArray
    reward_sq_sum: FloatArray | None = field(default=None)

    def __post_init__(self) -> None:
        self.prior = checked_prior(self.prior)
        self.forgetting = checked_forgetting(self.forgetting)

    def __repr__(self) -> str:
        """``Posterior(prior=(1.0, 1.0), forgetting=1.0, num_responses=[8, 0, 4, ... 1000], reward_sum=[3, ...])``."""
        sums = {name: getattr(self, name) for name in ("num_responses", "reward_sum", "reward_sq_sum")}
        texts = [f"{name}={brief(value)}" for name, value in sums.items() if value is not None]
        return f"Posterior(prior={self.prior}, forgetting={self.forgetting}, {', '.join(texts)})"

    @classmethod
    def create(
        cls,
        num_prompts: int,
        prior: Prior = (1.0, 1.0),
        forgetting: float = 1.0,
        precision: Precision = "double",
    ) -> Posterior:
        """A posterior without evidence for ``num_prompts`` prompts."""
        kind = float_type(precision)
        return cls(prior, forgetting, np.zeros(num_prompts, kind), np.zeros(num_prompts, kind))

    @property
    def alpha(self) -> FloatArray:
        """[M] a = a0 + discounted successes."""
        return self.prior[0] + _double(self.reward_sum)

    @property
    def beta(self) -> FloatArray:
        """[M] b = b0 + discounted failures."""
        return self.prior[1] + (_double(self.num_responses) - self.reward_sum)

    @property
    def whole(self) -> bool:
        """Whether all sums are whole numbers: nothing fades every round, and every reward was binary."""
        return self.forgetting == 1.0 and self.reward_sq_sum is None

    def counts(self, at: IntArray | slice = slice(None)) -> tuple[IntArray, IntArray]:
        """(responses, successes) as whole numbers, rounded where they are none."""
        responses, successes = (np.rint(sums[at]).astype(np.int64) for sums in (self.num_responses, self.reward_sum))
        return responses, successes

    def mean(self, at: IntArray | slice = slice(None)) -> FloatArray:
        """Posterior mean of the success rate, or of the mean reward: (a0 + reward sum) / (s0 + responses)."""
        a0, b0 = self.prior
        return (a0 + _double(self.reward_sum[at])) / (a0 + b0 + _double(self.num_responses[at]))

    def expected_variance(self, at: IntArray | slice = slice(None)) -> FloatArray:
        """q-hat, the posterior mean of the within-prompt reward variance (6), for all or for some prompts."""
        a0, b0 = self.prior
        reward_sum, num_responses = _double(self.reward_sum[at]), _double(self.num_responses[at])
        if self.reward_sq_sum is None:
            return expected_variance(a0 + reward_sum, b0 + (num_responses - reward_sum))
        weight = a0 + b0 + num_responses
        mean = (a0 + reward_sum) / weight
        second = (a0 + _double(self.reward_sq_sum[at])) / weight  # a Bernoulli(a0/s0) base measure: its r^2 is its r
        return np.maximum(second - mean**2, 0.0) * (weight / (weight + 1.0))

    def variance_ratio(self) -> float:
        """Within-prompt variance of the pool's rewards over that of coins with the same means, in (0, 1].

        Both are estimated without bias from prompts with two responses and more, and one response to a coin of unknown
        bias is counted besides, so that the ratio is 1 before any evidence; it is 1 for binary rewards.
        """
        if self.reward_sq_sum is None:
            return 1.0
        seen = self.num_responses > 1
        n, total, squares = (_double(sums[seen]) for sums in (self.num_responses, self.reward_sum, self.reward_sq_sum))
        mean, within = total / n, np.maximum(squares - total**2 / n, 0.0)  # within: n - 1 times the variance
        coins = (n - 1.0) * mean * (1.0 - mean) + within / n  # n - 1 times mean (1 - mean), without bias
        one = float(expected_variance(1.0, 1.0))
        return min(1.0, (float(within.sum()) + one) / (float(coins.sum()) + one))

    def variance_sd(self) -> FloatArray:
        """[M] posterior standard deviation of the within-prompt reward variance.

        Graded rewards are taken to vary as those of coins do, less by one factor for the pool (``variance_ratio``).
        """
        return self.variance_ratio() * variance_sd(self.alpha, self.beta)

    def update(
        self, prompts: IntArray, num_responses: FloatArray, reward_sum: FloatArray, reward_sq_sum: FloatArray | None
    ) -> None:
        """One round: fade all evidence by rho, then add the new one (5).

        Args:
            prompts: [A] distinct ids.
            num_responses, reward_sum: [A].
            reward_sq_sum: [A], or None for binary rewards.
        """
        if self.reward_sq_sum is None and reward_sq_sum is not None:
            self.reward_sq_sum = self.reward_sum.copy()  # binary so far: r^2 = r
        sums = [(self.num_responses, num_responses), (self.reward_sum, reward_sum)]
        if self.reward_sq_sum is not None:
            sums.append((self.reward_sq_sum, reward_sum if reward_sq_sum is None else reward_sq_sum))
        for total, new in sums:
            if self.forgetting != 1.0:
                total *= self.forgetting
            total[prompts] += new

    def fade(self, prompts: IntArray, kept: float) -> None:
        """Keep this share of the evidence of these prompts [A], for methods that forget by visits."""
        for sums_M in (self.num_responses, self.reward_sum, self.reward_sq_sum):
            if sums_M is not None:
                sums_M[prompts] *= kept

    def refit_prior(self) -> None:
        """Replace the prior by the likeliest one for the pool (empirical Bayes); see ``fit_prior``."""
        self.prior = fit_prior(self.reward_sum, self.num_responses, self.variance_ratio())

    def state_dict(self) -> dict[str, np.ndarray]:
        """Arrays only: the prior, the sums, and whether rewards were ever graded."""
        graded = self.reward_sq_sum is not None
        return {
            "prior": np.array(self.prior),
            "num_responses": self.num_responses.copy(),
            "reward_sum": self.reward_sum.copy(),
            "reward_sq_sum": np.array(self.reward_sq_sum if graded else self.reward_sum),
            "graded": np.array(int(graded)),
        }

    @classmethod
    def from_state(
        cls, state: Mapping[str, np.ndarray], forgetting: float, precision: Precision = "double"
    ) -> Posterior:
        """The inverse of ``state_dict``.

        Raises:
            StateError: sums that no rewards in [0, 1] have; names the array.
        """
        num_responses, reward_sum, squares = (
            np.array(state[key], float_type(precision)) for key in ("num_responses", "reward_sum", "reward_sq_sum")
        )
        slack = (1e-9 if precision == "double" else 1e-6) * (1.0 + num_responses)
        if (reward_sum > num_responses + slack).any():
            raise StateError("the state's reward_sum is above its num_responses")
        if (squares > reward_sum + slack).any():
            raise StateError("the state's reward_sq_sum is above its reward_sum")
        more = slack if precision == "double" else 100 * slack  # errors of single sums add up
        if state["graded"] and (reward_sum**2 > num_responses * (squares + more)).any():
            raise StateError("the state's reward_sq_sum is below what its reward_sum and num_responses leave")
        prior = (float(state["prior"][0]), float(state["prior"][1]))
        return cls(prior, forgetting, num_responses, reward_sum, squares if state["graded"] else None)


def _double(sums: FloatArray) -> FloatArray:
    return sums.astype(np.float64, copy=False)


def checked_precision(precision: object) -> Precision:
    """The precision by its name.

    Raises:
        InvalidValueError: neither "double" nor "single".
    """
    if isinstance(precision, str):
        if precision == "double":
            return "double"
        if precision == "single":
            return "single"
    raise InvalidValueError("precision", precision, "is not known", 'give "double" or "single"')


def checked_prior(prior: object) -> Prior:
    """(a0, b0) as floats.

    Raises:
        InvalidValueError: not a pair of positive finite numbers.
    """
    remedy = "give (a0, b0), e.g. (1, 1)"
    pair = list(prior) if isinstance(prior, Iterable) and not isinstance(prior, str) else []
    if len(pair) != 2 or not all(isinstance(x, Real) for x in pair):
        raise InvalidValueError("prior", prior, "is not a pair of numbers", remedy)
    a0, b0 = (float(x) for x in pair)
    if not (0 < a0 < math.inf and 0 < b0 < math.inf):
        raise InvalidValueError("prior", (a0, b0), "is not positive and finite", remedy)
    if max(a0, b0) > MOST_PRIOR:
        raise InvalidValueError("prior", (a0, b0), f"is above {MOST_PRIOR:g}", remedy)
    return a0, b0


def checked_forgetting(forgetting: object) -> float:
    """rho as a float.

    Raises:
        InvalidValueError: outside (0, 1].
    """
    remedy = "use 1.0 to keep all evidence, 0.9, say, to fade it"
    return real_number("forgetting", forgetting, 0.0, 1.0, remedy, low_open=True)


def fit_prior(
    reward_sum: FloatArray, num_responses: FloatArray, variance_ratio: float = 1.0, most_weight: float = MOST_WEIGHT
) -> Prior:
    """The pool-wide empirical-Bayes prior: the likeliest beta-binomial law of all prompts with responses.

    Prompts with the same counts are pooled first, so that the cost hardly grows with M. A weak Gamma(2, 1) prior of a0
    and b0, of one prompt's weight, has its mode at (1, 1): that is the answer without data, and few prompts move it
    little; in a large pool it does not count. The answer is rounded to three digits, more than any pool tells, so that
    it does not depend on how a machine rounds.

    Args:
        reward_sum, num_responses: [M], may be fractional (forgetting, graded rewards).
        variance_ratio: within-prompt variance of the rewards over that of coins. A graded reward tells as much of its
            prompt's mean as 1 / ratio coins do, and counts as so many; else too little of the spread between prompts
            would be left to the prior. The answer is in responses again: ratio times the Beta law of the means, which
            makes the posterior mean the best one.
        most_weight: upper bound of a0 and of b0.
    """
    seen = num_responses > 0
    if not seen.any():
        return 1.0, 1.0
    step = max(variance_ratio, 0.25) / 4.0  # a quarter of a coin is fine enough
    successes, failures, weight = _distinct_counts(_double(reward_sum[seen]), _double(num_responses[seen]), step)
    successes, failures = successes / variance_ratio, failures / variance_ratio
    total = successes + failures

    def loss(log_prior: FloatArray) -> tuple[float, FloatArray]:
        a, b = np.exp(log_prior)
        likelihood = weight @ (betaln(a + successes, b + failures) - betaln(a, b))
        both = weight @ (digamma(a + b) - digamma(a + b + total))
        slope_a = weight @ (digamma(a + successes) - digamma(a)) + both
        slope_b = weight @ (digamma(b + failures) - digamma(b)) + both
        penalty = a + b - log_prior.sum()
        slope = np.array([a - 1.0 - a * slope_a, b - 1.0 - b * slope_b])
        return float((penalty - likelihood) / weight.sum()), slope / weight.sum()

    bounds = [(math.log(LEAST_WEIGHT), math.log(most_weight))] * 2
    best = optimize.minimize(
        loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10}
    )
    a0, b0 = (min(max(float(f"{part:.3g}"), LEAST_WEIGHT), most_weight) for part in variance_ratio * np.exp(best.x))
    return a0, b0


def _distinct_counts(
    reward_sum: FloatArray, num_responses: FloatArray, step: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(successes, failures, how many prompts have them), in whole steps."""
    successes, failures = (np.rint(part / step).astype(np.int64) for part in (reward_sum, num_responses - reward_sum))
    base = int(failures.max()) + 1
    packed = successes * base + failures
    if (int(successes.max()) + 1) * base <= max(1 << 16, packed.size):
        of_pair = np.bincount(packed)
        pairs = np.flatnonzero(of_pair)
        weight = of_pair[pairs]
    else:
        pairs, weight = np.unique(packed, return_counts=True)
    successes, failures = pairs // base, pairs % base
    return step * successes.astype(np.float64), step * failures.astype(np.float64), weight.astype(np.float64)
