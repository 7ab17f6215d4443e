"""The pool's success rates at the start, from the first groups of the uniform runs: a beta-binomial mixture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy import optimize, special, stats

from cerolab.errors import RecordError
from cerolab.types import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

_LEAST_GROUPS = 50
_SHAPES = ((1, 0), (1, 1), (2, 0), (2, 1))  # number of betas, and whether there are hopeless prompts beside them
_LOG_BOUNDS = (-5.0, 6.0)  # of a beta's parameters
_LOGIT_BOUNDS = (-8.0, 8.0)  # of a share beside the first beta's
_STARTS = 2


class Mixture(NamedTuple):
    """Success rates that are Beta(a_i, b_i) with probability share_i, and 0 with the rest, ``hopeless``."""

    shares: FloatArray  # [betas]
    a: FloatArray  # [betas]
    b: FloatArray  # [betas]
    hopeless: float

    @property
    def text(self) -> str:
        """In the text form of ``sim.worlds.populations``, four digits a number."""
        terms = [f"{w:.4g}*beta({a:.4g}, {b:.4g})" for w, a, b in zip(self.shares, self.a, self.b, strict=True)]
        if self.hopeless:
            terms.append(f"{self.hopeless:.4g}*point(0)")
        return " + ".join(terms)

    def log_chance(self, responses: IntArray, successes: IntArray) -> FloatArray:
        """[N] log probability of so many successes in so many responses of one prompt."""
        by_beta = stats.betabinom.logpmf(successes[:, None], responses[:, None], self.a, self.b)
        with np.errstate(divide="ignore"):
            none_right = np.where(successes == 0, np.log(self.hopeless), -np.inf)
            return np.logaddexp(special.logsumexp(by_beta + np.log(self.shares), axis=1), none_right)

    def mean(self) -> float:
        """Mean success rate."""
        return float(self.shares @ (self.a / (self.a + self.b)))

    def pass_at(self, n: int) -> float:
        """Chance that one of n responses to a prompt succeeds."""
        return float(-np.expm1(self.log_chance(np.array([n]), np.array([0]))[0]))


@dataclass(frozen=True)
class PopulationFit:
    """A population, and how well it describes the groups.

    Attributes:
        mixture: the population.
        window: rounds whose groups were used.
        num_groups: groups used, each the first of its prompt in its run.
        log_likelihood: of the groups, natural logarithm.
        bic: Bayesian information criterion of each candidate, by text; the lowest was taken.
        outcomes: [N] (responses, successes, groups observed, groups expected).
        deviance, p_value: likelihood-ratio test of the expected groups; nan where there are too few outcomes for it.
    """

    mixture: Mixture
    window: int
    num_groups: int
    log_likelihood: float
    bic: dict[str, float]
    outcomes: list[tuple[int, int, int, float]]
    deviance: float
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the mixture as text."""
        numbers = {key: value for key, value in asdict(self).items() if key != "mixture"}
        return {"text": self.mixture.text, **numbers, "p_value": None if np.isnan(self.p_value) else self.p_value}


def fit_population(groups: pd.DataFrame, window: int) -> PopulationFit:
    """Maximum likelihood over mixtures of one or two betas, with or without hopeless prompts; the lowest BIC is taken.

    Args:
        groups: of the uniform runs, with the columns of the record; groups may differ in size.
        window: rounds, from 0, in which the policy counts as that of the start.

    Raises:
        RecordError: fewer groups in the window than a mixture can be told from.
    """
    early = groups[(groups["round"] < window) & (groups["exposure_before"] == 0)]
    if len(early) < _LEAST_GROUPS:
        raise RecordError(
            f"window={window} has {len(early)} groups of new prompts, and the fit of the population needs "
            f"{_LEAST_GROUPS}; give a wider --window"
        )
    sizes, hits = early["responses"].to_numpy(), early["reward_sum"].to_numpy()
    n, s = np.array([(size, k) for size in np.unique(sizes) for k in range(size + 1)]).T
    observed = ((sizes == n[:, None]) & (hits == s[:, None])).sum(axis=1)

    found = []
    for num_betas, hopeless in _SHAPES:
        mixture = _fitted(n, s, observed, num_betas, hopeless)
        likelihood = float(observed @ mixture.log_chance(n, s))
        num_free = 3 * num_betas - 1 + hopeless
        found.append((num_free * np.log(len(early)) - 2.0 * likelihood, num_free, likelihood, mixture))
    _, num_free, likelihood, mixture = min(found, key=lambda candidate: candidate[0])
    expected = np.exp(mixture.log_chance(n, s)) * (sizes == n[:, None]).sum(axis=1)
    known = num_free + np.unique(sizes).size - 1  # numbers that the outcomes have given away
    test = stats.power_divergence(observed, expected, ddof=known, lambda_="log-likelihood")
    return PopulationFit(
        mixture,
        window,
        len(early),
        likelihood,
        {candidate.text: float(bic) for bic, _, _, candidate in found},
        [(int(a), int(b), int(c), float(d)) for a, b, c, d in zip(n, s, observed, expected, strict=True)],
        float(test.statistic),
        float(test.pvalue),
    )


def _fitted(n: IntArray, s: IntArray, observed: IntArray, num_betas: int, hopeless: int) -> Mixture:
    """The likeliest mixture of a shape, of several starts; rounded to the digits of its text."""

    def mixture(theta: FloatArray) -> Mixture:
        shares = special.softmax(np.append(0.0, theta[: num_betas - 1 + hopeless]))
        a, b = np.exp(theta[num_betas - 1 + hopeless :]).reshape(num_betas, 2).T
        return Mixture(shares[:num_betas], a, b, float(shares[-1]) if hopeless else 0.0)

    def loss(theta: FloatArray) -> float:
        return -float(observed @ mixture(theta).log_chance(n, s))

    num_shares = num_betas - 1 + hopeless
    bounds = [_LOGIT_BOUNDS] * num_shares + [_LOG_BOUNDS] * (2 * num_betas)
    first = np.concatenate([np.full(num_shares, -1.0), [-1.0, 1.0, 2.0, 1.0][: 2 * num_betas]])
    rng = np.random.default_rng(0)
    starts = [first, *(first + 0.7 * rng.standard_normal(first.size) for _ in range(_STARTS - 1))]
    best = min(
        (optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-8}) for start in starts),
        key=_value,
    )
    return _rounded(mixture(best.x))


def _value(result: optimize.OptimizeResult) -> float:
    return float(result.fun)


def _rounded(exact: Mixture) -> Mixture:
    """With the digits of its text; shares still sum to 1."""
    shares, hopeless = exact.shares.round(4), round(exact.hopeless, 4)
    shares[0] = round(1.0 - shares[1:].sum() - hopeless, 4)
    a, b = (np.array([float(f"{x:.4g}") for x in part]) for part in (exact.a, exact.b))
    return Mixture(shares, a, b, hopeless)
