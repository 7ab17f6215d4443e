"""The rows of a round as tensors: waves put together, rows picked, micro-batches cut.

Rows are TRL's: prompts padded on the left, completions on the right. Axis suffixes: _N rows of this process.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

Rows = dict[str, Tensor]

PROMPT = ("prompt_ids", "prompt_mask")
_SCALARS = ("num_items_in_batch",)


def per_token(key: str) -> bool:
    """Whether a column of that name has a value for each token of the completion."""
    return key in ("completion_ids", "completion_mask", "tool_mask") or key.endswith("per_token_logps")


def join(waves: Sequence[Rows], pad_token: int) -> Rows:
    """The rows of all waves, padded to the widest prompt and the widest completion."""
    if len(waves) == 1:
        return {key: value for key, value in waves[0].items() if key not in _SCALARS}
    prompt = max(rows["prompt_ids"].size(1) for rows in waves)
    completion = max(rows["completion_ids"].size(1) for rows in waves)
    joined: Rows = {}
    for key in waves[0]:
        if key in _SCALARS:
            continue
        parts = []
        for rows in waves:
            value = rows[key]
            fill = pad_token if key in ("prompt_ids", "completion_ids") else 0
            if key in PROMPT:
                value = pad(value, (prompt - value.size(1), 0), value=fill)
            elif per_token(key):
                value = pad(value, (0, completion - value.size(1)), value=fill)
            parts.append(value)
        joined[key] = torch.cat(parts)
    return joined


def pick(rows: Rows, index_N: Tensor) -> Rows:
    """The rows at ``index_N``; -1 stands for a filler, which carries no gradient."""
    index_N = index_N.to(rows["prompt_ids"].device)
    picked = {key: value[index_N.clamp(min=0)] for key, value in rows.items()}
    filler_N = index_N < 0
    if bool(filler_N.any()):
        picked["completion_mask"] = picked["completion_mask"].masked_fill(filler_N[:, None], 0)
        picked["advantages"] = picked["advantages"].masked_fill(filler_N, 0.0)
        if "slot" in picked:
            picked["slot"] = picked["slot"].masked_fill(filler_N, -1)
    return picked


def trim(rows: Rows, multiple: int | None = None) -> Rows:
    """Without the columns that are padding in every row.

    At least one of the prompts stays, and two of the completions: TRL takes what has one column for one value a row,
    and would then count fillers.

    Args:
        rows: whose widths are multiples of ``multiple`` where one is given (TRL's ``pad_to_multiple_of``).
        multiple: that the widths stay multiples of.
    """
    step = multiple or 1
    first = int(rows["prompt_mask"].any(0).int().argmax()) // step * step
    used = rows["completion_mask"].any(0).nonzero()
    last = -(-max(int(used[-1]) + 1 if used.numel() else 0, 2) // step) * step
    trimmed = {}
    for key, value in rows.items():
        if key in PROMPT:
            value = value[:, first:]
        elif per_token(key):
            value = value[:, :last]
        trimmed[key] = value
    return trimmed


def deal(index_N: Tensor, count: int) -> list[Tensor]:
    """``count`` contiguous shares whose sizes differ by one at most, as TRL's own even split where it divides."""
    return list(torch.tensor_split(index_N, count))


def worth_training(index_N: Tensor, advantage_N: Tensor) -> Tensor:
    """Of the rows at ``index_N`` those with an advantage; one at least, so that the optimizer steps as with all."""
    kept = index_N[advantage_N[index_N] != 0]
    return kept if len(kept) else index_N[:1]
