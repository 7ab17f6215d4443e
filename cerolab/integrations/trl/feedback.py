"""From rewards to what the allocator is told of a wave."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cerolab import Feedback
from cerolab.errors import InvalidValueError
from cerolab.integrations.trl.feedback_map import FeedbackMap
from cerolab.integrations.trl.processes.launcher import is_first
from cerolab.integrations.trl.rewards import RewardError
from cerolab.integrations.trl.rows.advantages import SPACING, leveled_reward
from cerolab.integrations.trl.rows.layout import Layout

logger = logging.getLogger(__name__)


class FeedbackRule:
    """What an allocator learns from: the weighted sum of all reward functions, or one of them, mapped to [0, 1].

    Rewards of a group that differ by the rounding of float32 only are made one, so that a group is mixed for the
    allocator where it has an advantage under "sum_then_normalize". A reward beside [0, 1] by rounding only, such as a
    sum of weights that is 1.0000001, is its end.

    Args:
        names: of the reward functions.
        chosen: name of the one to learn from; None for the sum of all.
        feedback_map: from any reward to [0, 1].
        on_bad_reward: "error" or "skip", of responses that nobody graded.

    Raises:
        InvalidValueError: ``chosen`` is none of the names.
    """

    def __init__(self, names: Sequence[str], chosen: str | None, feedback_map: FeedbackMap, on_bad_reward: str):
        if chosen is not None and chosen not in names:
            known = ", ".join(names)
            raise InvalidValueError("feedback_reward", chosen, "is no reward function", f"name one of {known}")
        self.names, self.map, self.on_bad_reward = list(names), feedback_map, on_bad_reward
        self._columns = [self.names.index(chosen)] if chosen is not None else list(range(len(names)))
        self._chosen = chosen

    def __call__(self, layout: Layout, reward_NF: Tensor, weights_F: Tensor) -> tuple[Feedback, dict[str, float]]:
        """The feedback on a wave, and numbers to log.

        Args:
            layout: of the wave.
            reward_NF: float [N, F], rewards of its responses, all processes; nan where a function does not apply.
            weights_F: float [F], of the sum.

        Raises:
            RewardError: a response that nobody graded.
            InvalidValueError: a reward outside [0, 1] where the map does not mend that.
        """
        weights_F = weights_F if self._chosen is None else torch.ones(len(self.names))
        entry_N = torch.from_numpy(layout.entry_N)
        reward_N = leveled_reward(reward_NF[:, self._columns], weights_F[self._columns], entry_N).numpy()
        reward_N = snapped(reward_N, len(self._columns))
        graded_N, was_active = ~np.isnan(reward_N), self.map.active
        outside = np.flatnonzero((reward_N < 0.0) | (reward_N > 1.0))
        prompt = int(layout.allocation.prompts[layout.entry_N[outside[0]]]) if outside.size else -1
        try:
            mapped_N = np.full(reward_N.shape, np.nan)
            mapped_N[graded_N] = self.map(reward_N[graded_N])
        except InvalidValueError as error:
            problem, remedy = f"of a response to prompt {prompt} {error.problem}", error.remedy
            raise InvalidValueError(error.field, error.value, problem, f"{remedy}: {self._fix(reward_NF)}") from None
        if self.map.active and not was_active and is_first():
            logger.warning(
                "a reward of %g, of a response to prompt %d, is outside [0, 1]: from now on the allocator learns from "
                "rewards mapped to [0, 1] (feedback_map=%r; what the policy is trained on stays as it is); where one "
                "reward function says right or wrong, let the allocator learn from that one: %s",
                reward_N[outside[0]],
                prompt,
                self.map.kind,
                self._fix(reward_NF),
            )
        numbers = {"rewards/ungraded": float((~graded_N).sum()), **self.map.metrics()}
        return wave_feedback(layout, mapped_N, self.on_bad_reward), numbers

    def _fix(self, reward_NF: Tensor) -> str:
        """How to let the allocator learn from a function whose rewards are in [0, 1]."""
        outside_F = ((reward_NF < 0.0) | (reward_NF > 1.0)).any(0).tolist()
        fit = [name for name, outside in zip(self.names, outside_F, strict=True) if not outside]
        there = f"of {', '.join(self.names)}"
        if fit:
            return f"feedback_reward={fit[0]!r} ({there})"
        return f"none {there} stays in [0, 1], so add one to reward_funcs, of weight 0, and name it in feedback_reward"


def snapped(reward_N: npt.NDArray[np.float64], num_terms: int) -> npt.NDArray[np.float64]:
    """Rewards beside [0, 1] by at most float32's spacing a term (1.2e-7) as 0 and 1; others as they are."""
    slack, ends = SPACING * num_terms, np.clip(reward_N, 0.0, 1.0)
    return np.where(np.abs(reward_N - ends) <= slack, ends, reward_N)


def wave_feedback(layout: Layout, reward_N: npt.NDArray[np.float64], on_bad_reward: str) -> Feedback:
    """Sums over each prompt's graded responses.

    Args:
        layout: of the wave.
        reward_N: rewards of its responses, in [0, 1]; nan for those that no reward function graded.
        on_bad_reward: "error" refuses those; "skip" leaves them out of the counts.

    Raises:
        RewardError: names the prompt of the first ungraded response.
    """
    graded_N = ~np.isnan(reward_N)
    if not graded_N.all() and on_bad_reward == "error":
        prompt = int(layout.allocation.prompts[layout.entry_N[~graded_N][0]])
        raise RewardError(
            f"no reward function graded a response to prompt {prompt} (row {prompt} of train_dataset); return a "
            "number for every response, or train with on_bad_reward='skip'"
        )
    entry_N, known_N, groups = layout.entry_N[graded_N], reward_N[graded_N], layout.allocation.num_groups
    binary = bool(np.isin(known_N, (0.0, 1.0)).all())
    return Feedback(
        np.bincount(entry_N, minlength=groups),
        np.bincount(entry_N, known_N, groups),
        None if binary else np.bincount(entry_N, known_N**2, groups),
    )
