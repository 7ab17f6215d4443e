"""From graded responses to what the allocator is told of a wave."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cerolab import Feedback
from llm.layout import Layout
from llm.rewards import RewardError


def wave_feedback(layout: Layout, reward_N: npt.NDArray[np.float64], on_bad_reward: str) -> Feedback:
    """Sums over each prompt's graded responses.

    Args:
        layout: of the wave.
        reward_N: rewards of its responses, nan for those that no reward function graded.
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
