"""Success rates predicted from prompt embeddings: a Gaussian process on the logit, exact on the last prompts seen."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from cerolab import limits, seeding
from cerolab.errors import StateError
from cerolab.limits import Limits
from cerolab.types import FloatArray, IntArray

_MOST_PROMPTS = 512
_DECIMALS = 9  # of a logit; the order in which a library sums changes those behind
_BLOCK = 1 << 14  # prompts predicted at a time
LIMITS: Limits = {
    "observed": (-1, limits.last_prompt),
    "observed_responses": (0.0, limits.round_responses),
    "observed_rewards": (0.0, limits.round_responses),
}


class EmbeddingProcess:
    """logit p ~ GP(m, k), k(x, y) = exp(-|x - y|^2 / (2 l^2)), on the last 512 observed prompts.

    A prompt counts with its last group: S successes and F failures are the observation log((S + 1/2) / (F + 1/2)) with
    the variance 1 / (S + 1/2) + 1 / (F + 1/2) of that estimate, which stays finite at S = 0 and F = 0.

    State: the prompts int64 [512], newest first, -1 for none; their responses and rewards [512].

    Args:
        embedding_Md: one row a prompt.
        length_scale: l; None takes the median distance of a fixed sample of 512 prompts.
    """

    def __init__(self, embedding_Md: FloatArray, length_scale: float | None):
        self._embedding_Md = embedding_Md
        self._length = self._median_distance() if length_scale is None else length_scale
        self._prompts: IntArray = np.full(_MOST_PROMPTS, -1, np.int64)
        self._responses, self._rewards = np.zeros(_MOST_PROMPTS), np.zeros(_MOST_PROMPTS)
        self._fitted: tuple[float, FloatArray] | None = None  # the mean it was fitted with, and the weights

    def _median_distance(self) -> float:
        num_prompts = len(self._embedding_Md)
        rng = seeding.generator("embedding distances", num_prompts)
        sample = self._embedding_Md[rng.permutation(num_prompts)[:_MOST_PROMPTS]]
        distance = np.sqrt(_squared_distances(sample, sample)[np.triu_indices(len(sample), 1)])
        return float(np.median(distance)) or 1.0 if distance.size else 1.0

    def observe(self, prompts: IntArray, num_responses: FloatArray, reward_sum: FloatArray) -> None:
        """Take in one group of each of these distinct prompts [A]."""
        seen = np.flatnonzero(num_responses > 0)[:_MOST_PROMPTS]
        if seen.size == 0:
            return
        kept = ~np.isin(self._prompts, prompts[seen])
        self._prompts, self._responses, self._rewards = (
            np.concatenate([new[seen], old[kept]])[:_MOST_PROMPTS]
            for new, old in (
                (prompts, self._prompts),
                (num_responses, self._responses),
                (reward_sum, self._rewards),
            )
        )
        self._pad()
        self._fitted = None

    def _pad(self) -> None:
        missing = _MOST_PROMPTS - self._prompts.size
        self._prompts = np.append(self._prompts, np.full(missing, -1, np.int64))
        self._responses, self._rewards = (np.append(x, np.zeros(missing)) for x in (self._responses, self._rewards))

    def predict(self, at: IntArray, mean: float) -> FloatArray:
        """Success rates [A] of these prompts; ``mean`` is m, the logit of a prompt far from all that were seen."""
        count = int(np.count_nonzero(self._prompts >= 0))
        if count == 0:
            return np.full(at.size, float(expit(mean)))
        if self._fitted is None or self._fitted[0] != mean:
            self._fitted = mean, self._weights(count, mean)
        weights, known = self._fitted[1], self._embedding_Md[self._prompts[:count]]
        logit = np.empty(at.size)
        for start in range(0, at.size, _BLOCK):
            rows = self._embedding_Md[at[start : start + _BLOCK]]
            logit[start : start + _BLOCK] = mean + self._kernel(rows, known) @ weights
        return np.asarray(expit(np.round(logit, _DECIMALS)))

    def _weights(self, count: int, mean: float) -> FloatArray:
        successes = self._rewards[:count] + 0.5
        failures = self._responses[:count] - self._rewards[:count] + 0.5
        known = self._embedding_Md[self._prompts[:count]]
        covariance = self._kernel(known, known) + np.diag(1.0 / successes + 1.0 / failures)
        return np.asarray(cho_solve(cho_factor(covariance, lower=True), np.log(successes / failures) - mean))

    def _kernel(self, one: FloatArray, other: FloatArray) -> FloatArray:
        return np.exp(_squared_distances(one, other) / (-2.0 * self._length**2))

    def arrays(self) -> dict[str, np.ndarray]:
        """The state as named arrays."""
        return {
            "observed": self._prompts.copy(),
            "observed_responses": self._responses.copy(),
            "observed_rewards": self._rewards.copy(),
        }

    def restored(self, arrays: Mapping[str, np.ndarray]) -> EmbeddingProcess:
        """The same process at a saved state.

        Raises:
            StateError: prompts outside the pool, or gaps between them.
        """
        prompts = np.array(arrays["observed"], np.int64)
        count = int(np.count_nonzero(prompts >= 0))
        if prompts.max() >= len(self._embedding_Md) or (prompts[:count] < 0).any():
            raise StateError("the state's observed names prompts outside the pool, or leaves gaps between them")
        if np.unique(prompts[:count]).size != count:
            raise StateError("the state's observed names a prompt twice")
        restored = copy.copy(self)
        restored._prompts = prompts
        restored._responses = np.array(arrays["observed_responses"], np.float64)
        restored._rewards = np.array(arrays["observed_rewards"], np.float64)
        if (restored._rewards > restored._responses * (1.0 + 1e-9)).any():
            raise StateError("the state's observed_rewards are above its observed_responses")
        restored._fitted = None
        return restored


def _squared_distances(one: FloatArray, other: FloatArray) -> FloatArray:
    """|x - y|^2 [A, B] of rows."""
    norms = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)
    return np.maximum(norms - 2.0 * one @ other.T, 0.0)
