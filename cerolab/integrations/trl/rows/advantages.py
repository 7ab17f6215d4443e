"""Advantages of a round whose groups differ in size: by group id, not by position.

Source: GRPO (arXiv 2402.03300), as TRL 1.16 computes it for groups of one size; equal to that where sizes are equal.

Deviation: where the rewards of a group differ by the rounding of float32 only, its advantages are exactly 0. TRL's mean
of eight rewards of 0.1 is not 0.1, and it divides the difference by a standard deviation as small plus 1e-4: advantages
of 7e-5 for 0.1, of 1e-2 for 10.1, which Adam turns into full steps.

Axis suffixes: _N responses of the round in any order, _F reward functions.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from trl.trainer.utils import nanstd

EPSILON = 1e-4  # TRL's, added to a standard deviation before it divides
TINY = 1e-8  # a reward as small is none: TRL's log counts a group whose deviation is below it as one without any
SPACING = torch.finfo(torch.float32).eps  # between float32 numbers, relative: TRL keeps rewards and weights in them


def combined_reward(rewards_NF: Tensor, weights_F: Tensor) -> Tensor:
    """float64 [N]: weighted sum over reward functions; nan where none of them graded the response."""
    total_N = (rewards_NF.double() * weights_F.double()).nansum(dim=1)
    total_N[torch.isnan(rewards_NF).all(dim=1)] = torch.nan
    return total_N


def rounding(rewards_NF: Tensor, weights_F: Tensor) -> Tensor:
    """float64 [N]: what float32 may have taken off a combined reward or added to it.

    It is ``SPACING`` times the number of terms times the sum of their sizes: enough also for weights that were made to
    sum to 1 in float32.
    """
    size_N = (rewards_NF.double() * weights_F.double()).abs().nansum(dim=1)
    return SPACING * rewards_NF.size(1) * size_N


def same_in_group(value_N: Tensor, rounding_N: Tensor, group_N: Tensor) -> Tensor:
    """bool [N] or [N, F]: whether the values of a response's group differ by rounding, or ``TINY``, only; nan aside.

    Args:
        value_N: float64 [N] or [N, F].
        rounding_N: of the same shape, how far each value may be off.
        group_N: int64 [N], any ids.
    """
    return _per_group(value_N, group_N, _width) <= 2 * _per_group(rounding_N, group_N, _most) + TINY


def leveled_reward(rewards_NF: Tensor, weights_F: Tensor, group_N: Tensor) -> Tensor:
    """float64 [N]: combined rewards; those of a group that differ by rounding only are the highest of them."""
    reward_N = combined_reward(rewards_NF, weights_F)
    same_N = same_in_group(reward_N, rounding(rewards_NF, weights_F), group_N)
    return torch.where(same_N & ~reward_N.isnan(), _per_group(reward_N, group_N, _most), reward_N)


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
        advantages float [N], 0 for ungraded responses and where all rewards of a group are the same; bool [N], whether
        they are in the response's group. "normalize_then_sum" compares the rewards of each function by themselves.
    """
    reward_N = combined_reward(rewards_NF, weights_F)
    std_N = _per_group(reward_N, group_N, _std)
    same_N = same_in_group(reward_N, rounding(rewards_NF, weights_F), group_N)
    flat_N = same_N | torch.isclose(std_N, torch.zeros_like(std_N))
    if aggregation == "normalize_then_sum":
        reward_NF = rewards_NF.double()
        same_NF = same_in_group(reward_NF, SPACING * reward_NF.abs(), group_N)
        mean_NF, std_NF = _per_group(reward_NF, group_N, _mean), _per_group(reward_NF, group_N, _std)
        terms_NF = ((reward_NF - mean_NF) / (std_NF + EPSILON) * weights_F).masked_fill(same_NF, 0.0)
        scaled_N = terms_NF.nansum(dim=1)
        none_N = scaled_N.abs() <= SPACING * terms_NF.size(1) * terms_NF.abs().nansum(dim=1)
        scaled_N[torch.isnan(reward_N)] = torch.nan
        advantages_N = (scaled_N - torch.nanmean(scaled_N)) / (_std(scaled_N) + EPSILON)
    else:
        none_N = same_N
        advantages_N = reward_N - _per_group(reward_N, group_N, _mean)
        if scale_rewards != "none":
            advantages_N = advantages_N / ((_std(reward_N) if scale_rewards == "batch" else std_N) + EPSILON)
    return torch.nan_to_num(advantages_N, nan=0.0).masked_fill(none_N, 0.0).float(), flat_N


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


def _width(values: Tensor) -> Tensor:
    """Largest less smallest; negative where nothing is graded."""
    return _most(values) + _most(-values)


def _most(values: Tensor) -> Tensor:
    """Largest; minus infinity where nothing is graded."""
    return values.masked_fill(values.isnan(), -torch.inf).amax(dim=0, keepdim=True)


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
