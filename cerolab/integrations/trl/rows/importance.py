"""How much more likely the learner was to sample a response, or a token of it, than the engine that did.

Source: TRL 1.16's correction for vLLM (``vllm_importance_sampling_mode``), which makes it of a whole wave of rows; here
of any rows. Axis suffixes: _B rows, _T tokens of a response.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def importance_ratio(
    old_BT: Tensor, sampling_BT: Tensor, mask_BT: Tensor, mode: str, least: float | None, greatest: float | None
) -> Tensor:
    """Ratios [B, T] of tokens, or [B, 1] of whole responses.

    Args:
        old_BT, sampling_BT: log-probabilities of the learner and of the engine; nan where the engine gave none.
        mask_BT: which tokens count; the others, and those without the engine's, have ratio 1.
        mode: "token_" or "sequence_", then "truncate" to bound the ratios or "mask" to set those outside to 0.
        least, greatest: the bounds; None for none.
    """
    difference = torch.nan_to_num((old_BT - sampling_BT) * mask_BT, nan=0.0)
    level, treatment = mode.split("_")
    if level == "sequence":
        difference = difference.sum(-1, keepdim=True)
    ratio = torch.exp(difference)
    bounds = -math.inf if least is None else least, math.inf if greatest is None else greatest
    if treatment == "truncate":
        return ratio.clamp(*bounds)
    return ratio.masked_fill((ratio < bounds[0]) | (ratio > bounds[1]), 0.0)
