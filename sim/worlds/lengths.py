"""Lengths of responses in tokens: counter-based, as rewards are, so every method meets the same ones.

Text form: ``none``, or ``lognormal(mean, sd, hard, noise)``, the last three 0.5, 2 and 0.5 where left out. A response
to a prompt of success rate p has mean * hard^(1 - 2 p) tokens on average, times the prompt's own lognormal factor: one
that never succeeds ``hard`` times as many as one at 1/2. Lengths stay as the success rates at the start have them.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

from cerolab import seeding
from cerolab.allocation import Allocation
from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.problem import AllocationProblem
from cerolab.tools.spec import parse_call
from cerolab.types import FloatArray, IntArray

KNOWN = ("none", "lognormal")
_DEFAULTS = (0.5, 2.0, 0.5)  # sd, hard, noise
_BLOCK = 1 << 22  # numbers at a time


class Lengths:
    """Draws the tokens of allocations.

    Args:
        text: ``lognormal(mean, sd, hard, noise)``: sd of the log between prompts, noise that within a prompt.
        success_M: success rates at the start.
        responses_per_unit: g.
        max_tokens: most tokens of a response, where it is cut off; None for no limit.
        seed: of the draws.

    Attributes:
        drawn_M: int64 [M], responses that each prompt has had.
    """

    def __init__(self, text: str, success_M: FloatArray, responses_per_unit: int, max_tokens: int | None, seed: int):
        call = parse_call("lengths", text)
        if call.name not in KNOWN:
            raise UnknownNameError("lengths", call.name, KNOWN)
        given = call.numbers("lengths", 1, 4)
        mean, sd, hard, noise = (*given, *_DEFAULTS[len(given) - 1 :])
        if not (0 < mean < np.inf and 0 < hard < np.inf and 0 <= sd < np.inf and 0 <= noise < np.inf):
            remedy = "write lognormal(200, 0.5, 2, 0.5), say"
            raise InvalidValueError("lengths", text, "needs mean, hard > 0 and sd, noise >= 0", remedy)
        own_M = seeding.generator("lengths", success_M.size, seed).standard_normal(success_M.size)
        self._log_mean_M = math.log(mean) + math.log(hard) * (1.0 - 2.0 * success_M) + sd * own_M - 0.5 * sd**2
        self._noise, self._per_unit, self._most = noise, responses_per_unit, max_tokens
        self._keys = seeding.coin_keys(seeding.seed_from_names("lengths", seed), success_M.size)
        self.drawn_M: IntArray = np.zeros(success_M.size, np.int64)

    def draw(self, allocation: Allocation) -> IntArray:
        """Tokens of all responses of each group [A]; a response has at least one."""
        prompts = allocation.prompts
        num_responses = allocation.units * self._per_unit
        counters = np.arange(int(num_responses.max(initial=0)))
        first = self.drawn_M[prompts]
        self.drawn_M[prompts] += num_responses
        uniform = seeding.counter_uniforms(self._keys[prompts][:, None], first[:, None] + counters)
        log_tokens = (self._log_mean_M[prompts] - 0.5 * self._noise**2)[:, None] + self._noise * ndtri(uniform)
        tokens = np.clip(np.ceil(np.exp(log_tokens)), 1, self._most)
        total: IntArray = np.where(counters < num_responses[:, None], tokens, 0).sum(axis=1).astype(np.int64)
        return total

    def expected(self) -> FloatArray:
        """[M] mean tokens of a response, exact: the sum over l < ``max_tokens`` of the chance to be longer than l.

        Raises:
            InvalidValueError: no limit.
        """
        if self._most is None:
            raise InvalidValueError("max_tokens", None, "is missing", "give the most tokens of a response")
        log_l = np.log(np.arange(1, self._most))
        centre_M = self._log_mean_M - 0.5 * self._noise**2
        rows = max(1, _BLOCK // self._most)
        means = [self._longer(centre_M[i : i + rows], log_l).sum(axis=1) for i in range(0, centre_M.size, rows)]
        return 1.0 + np.concatenate(means)

    def _longer(self, centre: FloatArray, log_l: FloatArray) -> FloatArray:
        gap = centre[:, None] - log_l
        return np.asarray(ndtr(gap / self._noise)) if self._noise else (gap > 0).astype(np.float64)


def make_lengths(text: str, success_M: FloatArray, problem: AllocationProblem, seed: int) -> Lengths | None:
    """The lengths behind a text form; None for ``none``.

    Raises:
        InvalidValueError, UnknownNameError: names the text and what would be right; a token budget needs lengths.
    """
    if parse_call("lengths", text).name != "none":
        return Lengths(text, success_M, problem.responses_per_unit, problem.max_tokens, seed)
    if problem.token_budget is not None:
        raise InvalidValueError(
            "lengths", text, f"counts no tokens of token_budget={problem.token_budget}", "use lognormal(200), say"
        )
    return None
