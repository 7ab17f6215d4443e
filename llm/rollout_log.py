"""What TRL logs of responses, over true rows only and the same however many processes made them.

TRL's own numbers count fillers as responses, and average over processes what it should over tokens. Axis suffixes: _N
responses of a wave over all processes, _B rows here, _T tokens of a response.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Gather = Callable[[Tensor], Tensor]  # tensors of one shape in each process, put together along the first axis


def length_metrics(length_N: Tensor, ended_N: Tensor) -> dict[str, float]:
    """``completions/*``.

    Args:
        length_N: tokens of each response, N >= 1.
        ended_N: bool, whether it came to its end before the limit.
    """
    ended = length_N[ended_N] if bool(ended_N.any()) else torch.zeros(1)  # as TRL has it
    named = {
        f"completions/{statistic}_{kind}": value
        for kind, lengths in (("length", length_N), ("terminated_length", ended))
        for statistic, value in (("mean", lengths.double().mean()), ("min", lengths.min()), ("max", lengths.max()))
    }
    return {name: float(value) for name, value in named.items()} | {
        "completions/clipped_ratio": float((~ended_N).double().mean())
    }


def sampling_metrics(
    old_BT: Tensor, sampling_BT: Tensor, ratio_B: Tensor, mask_BT: Tensor, gather: Gather
) -> dict[str, float]:
    """``sampling/*``: how far the engine's log-probabilities are from the learner's.

    Args:
        old_BT, sampling_BT: log-probabilities of the learner and of the engine; nan where the engine gave none.
        ratio_B: importance ratio [B, T], or [B, 1] for one a response.
        mask_BT: which tokens count.
        gather: over processes.
    """
    mask = mask_BT.bool()
    difference = (old_BT - sampling_BT).abs()[mask & ~torch.isnan(sampling_BT)]
    ratio = ratio_B[mask] if ratio_B.shape == mask.shape else ratio_B.flatten()
    summaries_P = gather(torch.stack([_summary(difference), _summary(ratio)])[None]).cpu()  # [processes, 2, 4]
    total, count = summaries_P[:, :, 0].sum(0), summaries_P[:, :, 1].sum(0)
    mean = total / count.clamp(min=1)
    low, high = summaries_P[:, :, 2].amin(0), summaries_P[:, :, 3].amax(0)
    low, high = (torch.where(count > 0, bound, 0.0) for bound in (low, high))
    return {
        "sampling/sampling_logp_difference/mean": float(mean[0]),
        "sampling/sampling_logp_difference/max": float(high[0]),
        "sampling/importance_sampling_ratio/min": float(low[1]),
        "sampling/importance_sampling_ratio/mean": float(mean[1]),
        "sampling/importance_sampling_ratio/max": float(high[1]),
    }


def _summary(values: Tensor) -> Tensor:
    """float64 [4]: sum, number, least and greatest; infinite where there are none."""
    values = values.double()
    if not values.numel():
        return values.new_tensor([0.0, 0.0, torch.inf, -torch.inf])
    return torch.stack([values.sum(), values.new_tensor(float(values.numel())), values.min(), values.max()])
