"""The last few groups of every prompt: what window estimators know of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cerolab import limits
from cerolab.errors import StateError
from cerolab.limits import Limits
from cerolab.types import FloatArray, IntArray

LIMITS: Limits = {
    "recent_responses": (0, limits.round_responses),
    "recent_rewards": (0.0, limits.round_responses),
}


class RecentGroups:
    """Responses and reward sums of each prompt's last groups, newest first. A group without responses leaves no trace.

    Attributes:
        responses: int32 [M, W], 0 where there is no group.
        rewards: [M, W] sum of the group's rewards.
    """

    def __init__(self, responses_MW: npt.NDArray[np.int32], rewards_MW: FloatArray):
        self.responses, self.rewards = responses_MW, rewards_MW

    @classmethod
    def none(cls, num_prompts: int, num_groups: int) -> RecentGroups:
        """No group yet; the last ``num_groups`` are kept."""
        return cls(np.zeros((num_prompts, num_groups), np.int32), np.zeros((num_prompts, num_groups)))

    def push(self, prompts: IntArray, num_responses: FloatArray, reward_sum: FloatArray) -> None:
        """Take in one group of each of these prompts [A]; the oldest of each is forgotten."""
        seen = num_responses > 0
        prompts = prompts[seen]
        for kept, new in ((self.responses, num_responses), (self.rewards, reward_sum)):
            rows = kept[prompts]
            rows[:, 1:] = rows[:, :-1].copy()
            rows[:, 0] = new[seen]
            kept[prompts] = rows

    def totals(self, at: IntArray | slice, enough: int | None = None) -> tuple[IntArray, FloatArray]:
        """(responses, rewards) [A] over the newest groups that make up at least ``enough`` responses, or over all."""
        responses, rewards = self.responses[at].astype(np.int64), self.rewards[at]
        if enough is not None:
            newer = np.cumsum(responses, axis=1) - responses
            responses, rewards = (np.where(newer < enough, kept, 0) for kept in (responses, rewards))
        return responses.sum(axis=1), rewards.sum(axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The state as named arrays."""
        return {"recent_responses": self.responses.copy(), "recent_rewards": self.rewards.copy()}

    @classmethod
    def from_state(cls, arrays: Mapping[str, np.ndarray]) -> RecentGroups:
        """The inverse of ``arrays``.

        Raises:
            StateError: rewards that no responses with rewards in [0, 1] have.
        """
        responses, rewards = np.array(arrays["recent_responses"], np.int32), np.array(arrays["recent_rewards"], float)
        if (rewards > responses * (1.0 + 1e-9)).any():
            raise StateError("the state's recent_rewards are above its recent_responses")
        return cls(responses, rewards)
