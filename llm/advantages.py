"""Advantages of a round whose groups differ in size: by group id, not by position.

Source: GRPO (arXiv 2402.03300), as TRL 1.16 computes it for groups of one size; equal to that where sizes are equal.
Axis suffixes: _N responses of the round in any order, _F reward functions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from trl.trainer.utils import nanstd

EPSILON = 1e-4  # TRL's, added to a standard deviation before it divides


def combined_reward(rewards_NF: Tensor, weights_F: Tensor) -> Tensor:
    """float [N]: weighted sum over reward functions; nan where none of them graded the response."""
    total_N = (rewards_NF * weights_F).nansum(dim=1)
    total_N[torch.isnan(rewards_NF).all(dim=1)] = torch.nan
    return total_N


def group_advantages(
    rewards_NF: Tensor,
    weights_F: Tensor,
    group_N: Tensor,
    scale_rewards: str = "group",
    aggregation: str = "sum_then_normalize",
) -> tuple[Tensor, Tensor]:
    """Advantages of responses, each against its own group.

    Args:
        rewards_NF: float [N, F]; nan where a function does not apply to a response.
        weights_F: float [F].
        group_N: int64 [N], any ids.
        scale_rewards: "group", "batch" or "none", what divides the advantages.
        aggregation: "sum_then_normalize" or "normalize_then_sum", TRL's ``multi_objective_aggregation``.

    Returns:
        advantages float [N], 0 for ungraded responses; bool [N], whether all rewards of the response's group are the
        same.
    """
    reward_N = combined_reward(rewards_NF, weights_F)
    std_N = _per_group(reward_N, group_N, _std)
    flat_N = torch.isclose(std_N, torch.zeros_like(std_N))
    if aggregation == "normalize_then_sum":
        mean_NF, std_NF = _per_group(rewards_NF, group_N, _mean), _per_group(rewards_NF, group_N, _std)
        scaled_N = ((rewards_NF - mean_NF) / (std_NF + EPSILON) * weights_F).nansum(dim=1)
        scaled_N[torch.isnan(reward_N)] = torch.nan
        advantages_N = (scaled_N - torch.nanmean(scaled_N)) / (_std(scaled_N) + EPSILON)
    else:
        advantages_N = reward_N - _per_group(reward_N, group_N, _mean)
        if scale_rewards != "none":
            advantages_N = advantages_N / ((_std(reward_N) if scale_rewards == "batch" else std_N) + EPSILON)
    return torch.nan_to_num(advantages_N, nan=0.0), flat_N


def round_advantages(
    rewards_NF: Tensor,
    weights_F: Tensor,
    prompt_N: Tensor,
    trained_N: Tensor,
    scale_rewards: str,
    aggregation: str,
    clip: float | None,
) -> tuple[Tensor, Tensor]:
    """Advantages of a whole round: the responses to a prompt are one group, in whatever waves they came.

    Args:
        rewards_NF, weights_F, scale_rewards, aggregation: see ``group_advantages``.
        prompt_N: int64 [N].
        trained_N: bool [N]; other responses belong to no group.
        clip: bound on the size of an advantage; None for none.

    Returns:
        advantages float [N], 0 where not trained on; of the trained ones, whether their group is flat.
    """
    advantage_N = torch.zeros(len(rewards_NF))
    flat = torch.ones(1, dtype=torch.bool)
    if trained_N.any():
        advantage_N[trained_N], flat = group_advantages(
            rewards_NF[trained_N], weights_F, prompt_N[trained_N], scale_rewards, aggregation
        )
    return advantage_N if clip is None else advantage_N.clamp(-clip, clip), flat


def _mean(values: Tensor) -> Tensor:
    return torch.nanmean(values, dim=0, keepdim=True)


def _std(values: Tensor) -> Tensor:
    """Unbiased; 0 for fewer than two graded responses."""
    return torch.nan_to_num(nanstd(values, dim=0, keepdim=True), nan=0.0)


def _per_group(values: Tensor, group_N: Tensor, statistic: Callable[[Tensor], Tensor]) -> Tensor:
    """A statistic of each response's group, [N] or [N, F]; groups of one size are handled at once."""
    out = torch.empty_like(values)
    _, inverse_N, sizes = torch.unique(group_N, return_inverse=True, return_counts=True)
    order = torch.argsort(inverse_N, stable=True)
    size_N = sizes[inverse_N[order]]
    for size in torch.unique(sizes).tolist():
        members = order[size_N == size].view(-1, size).T  # [size, groups]
        out[members] = statistic(values[members]).expand(size, *values[members].shape[1:])
    return out
