"""Rewards as counter-based coins: the j-th response of a prompt has the same luck under every allocator.

Text form: ``binary``, or ``graded(h)``: a response passes each of h checks with the prompt's success rate and earns the
share that it passed, so the reward variance is p(1-p)/h.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

import numpy as np

from cerolab.allocation import Allocation, Feedback
from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.problem import AllocationProblem
from cerolab.seeding import coin_keys, counter_coins
from cerolab.tools.spec import parse_call
from cerolab.types import FloatArray

KNOWN = ("binary", "graded")


class Rewards:
    """Draws the feedback of allocations.

    Args:
        text: ``binary`` or ``graded(h)``.
        problem: gives M and g.
        seed: of the coins.

    Attributes:
        checks: h, checks a response; 1 for binary rewards.
        drawn_M: int64 [M], responses that each prompt has had.
    """

    def __init__(self, text: str, problem: AllocationProblem, seed: int):
        call = parse_call("rewards", text)
        if call.name not in KNOWN:
            raise UnknownNameError("rewards", call.name, KNOWN)
        checks = call.numbers("rewards", 1, 1)[0] if call.name == "graded" else 1.0
        if call.name == "binary":
            call.numbers("rewards", 0, 0)
        if checks < 1 or checks != int(checks):
            raise InvalidValueError("rewards", text, "has no whole number of checks", "write graded(4), say")
        self.checks = int(checks)
        self.graded = call.name == "graded"
        self.drawn_M = np.zeros(problem.num_prompts, np.int64)
        self._per_unit = problem.responses_per_unit
        self._keys = coin_keys(seed, problem.num_prompts)

    @classmethod
    def end_to_end(cls, rewards: Sequence[Rewards]) -> Rewards:
        """The coins of several pools that lie one behind the other; afterwards the single ones are of no use."""
        whole = copy(rewards[0])
        whole.drawn_M = np.concatenate([one.drawn_M for one in rewards])
        whole._keys = np.concatenate([one._keys for one in rewards])
        return whole

    def variance(self, success_M: FloatArray) -> FloatArray:
        """True reward variance q of each prompt."""
        return success_M * (1.0 - success_M) / self.checks

    def draw(self, allocation: Allocation, success_M: FloatArray) -> Feedback:
        """Generate and grade the responses of an allocation."""
        prompts = allocation.prompts
        num_responses = allocation.units * self._per_unit
        most = int(num_responses.max(initial=0))
        first = self.drawn_M[prompts]
        self.drawn_M[prompts] += num_responses
        # A column a prompt: what is the same for all responses of a prompt then lies side by side.
        counters = first * self.checks + np.arange(most * self.checks)[:, None]
        passed = counter_coins(self._keys[prompts], counters, success_M[prompts])
        if num_responses.size and int(num_responses.min()) < most:
            passed &= np.arange(most * self.checks)[:, None] < num_responses * self.checks
        if not self.graded:
            return Feedback(num_responses, passed.sum(axis=0))
        reward = np.ascontiguousarray(passed.T).reshape(prompts.size, most, self.checks).mean(axis=2)
        return Feedback(num_responses, reward.sum(axis=1), (reward**2).sum(axis=1))
