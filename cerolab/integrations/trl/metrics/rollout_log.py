"""What TRL logs of responses, over true rows only and the same however many processes made them.

TRL's own numbers count fillers as responses, and average over processes what it should over tokens. Axis suffixes: _N
responses of a wave over all processes, _B rows here, _T tokens of a response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from cerolab.integrations.trl.processes.gather import Gather

SAMPLING = tuple(
    f"sampling/{name}"
    for name in (
        "sampling_logp_difference/mean",
        "sampling_logp_difference/max",
        "importance_sampling_ratio/min",
        "importance_sampling_ratio/mean",
        "importance_sampling_ratio/max",
    )
)


@dataclass(frozen=True)
class Sizes:
    """Of the responses of a wave, over all processes and without fillers.

    Attributes:
        prompt_N, response_N: int64, tokens; of tools, too.
        made_N: int64, tokens of the response that the model made.
        ended_N: bool, whether the response came to its end before the limit.
    """

    prompt_N: Tensor
    response_N: Tensor
    made_N: Tensor
    ended_N: Tensor

    @classmethod
    def joined(cls, waves: Sequence[Sizes]) -> Sizes:
        """Wave after wave."""
        return cls(*(torch.cat([getattr(wave, field.name) for wave in waves]) for field in fields(cls)))


def length_metrics(sizes: Sizes) -> dict[str, float]:
    """``completions/*``, of one response or more."""
    length_N, ended_N = sizes.made_N, sizes.ended_N
    ended = length_N[ended_N] if bool(ended_N.any()) else torch.zeros(1)  # as TRL has it
    named = {
        f"completions/{statistic}_{kind}": value
        for kind, lengths in (("length", length_N), ("terminated_length", ended))
        for statistic, value in (("mean", lengths.double().mean()), ("min", lengths.min()), ("max", lengths.max()))
    }
    return {name: float(value) for name, value in named.items()} | {
        "completions/clipped_ratio": float((~ended_N).double().mean())
    }


def sampling_metrics(scored: Sequence[tuple[Tensor, ...]], gather: Gather) -> dict[str, float]:
    """``sampling/*``: how far the engine's log-probabilities are from the learner's.

    Args:
        scored: of some rows each: log-probabilities of the learner [B, T] and of the engine [B, T], nan where it gave
            none; importance ratios [B, T], or [B, 1] for one a response; [B, T], which tokens count.
        gather: over processes.
    """
    differences, ratios = [], []
    for old_BT, sampling_BT, ratio_B, counted_BT in scored:
        mask = counted_BT.bool()
        differences.append((old_BT - sampling_BT).abs()[mask & ~torch.isnan(sampling_BT)])
        ratios.append(ratio_B[mask] if ratio_B.shape == mask.shape else ratio_B.flatten())
    difference, ratio = torch.cat(differences), torch.cat(ratios)
    summaries_P = gather(torch.stack([_summary(difference), _summary(ratio)])[None]).cpu()  # [processes, 2, 4]
    total, count = summaries_P[:, :, 0].sum(0), summaries_P[:, :, 1].sum(0)
    mean = total / count.clamp(min=1)
    low, high = summaries_P[:, :, 2].amin(0), summaries_P[:, :, 3].amax(0)
    low, high = (torch.where(count > 0, bound, 0.0) for bound in (low, high))
    values = mean[0], high[0], low[1], mean[1], high[1]
    return dict(zip(SAMPLING, map(float, values), strict=True))


def _summary(values: Tensor) -> Tensor:
    """float64 [4]: sum, number, least and greatest; infinite where there are none."""
    values = values.double()
    if not values.numel():
        return values.new_tensor([0.0, 0.0, torch.inf, -torch.inf])
    return torch.stack([values.sum(), values.new_tensor(float(values.numel())), values.min(), values.max()])
