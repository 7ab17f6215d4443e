"""TRL's clip ratios where rows without an advantage are left out of the update: such rows are never clipped.

TRL takes them over the rows at hand, micro-batch by micro-batch. Here each row that is trained on notes in which
micro-batch TRL would have it, so that the means are over all rows of that one. Source of the formulas: TRL 1.16,
``GRPOTrainer._compute_loss``. Axis suffixes: _N rows at hand, _T tokens, _B TRL's micro-batches of an optimizer step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cerolab.integrations.trl.processes.gather import Gather

TWO_SIDED = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")  # clipped below and above; "cispo" above only
NAMES = ("low_mean", "high_mean", "region_mean", "low_min", "high_max")


@dataclass(frozen=True)
class ClipRange:
    """When a token, or a whole response, counts as clipped.

    Attributes:
        loss_type, low, high, delta: TRL's ``loss_type``, ``epsilon``, ``epsilon_high`` and ``delta``.
        by_sequence: the importance ratio is one a response.
    """

    loss_type: str
    low: float
    high: float
    delta: float | None
    by_sequence: bool

    @property
    def known(self) -> bool:
        """Whether TRL logs clip ratios for this loss."""
        return self.loss_type in (*TWO_SIDED, "cispo")

    def sizes(self, mask_NT: Tensor) -> Tensor:
        """float [N]: what of a row can be clipped, its tokens or itself."""
        return torch.ones(len(mask_NT)) if self.by_sequence else mask_NT.sum(1).float().cpu()

    def sizes_of_parts(self, token_N: Tensor, slot_N: Tensor, trained: Tensor, slots: int) -> Tensor:
        """float32 [2, slots]: of each of the round's micro-batches, what can be clipped, and what of it is trained on.

        Args:
            token_N: int64, tokens of each of the round's responses that count.
            slot_N: int64, its micro-batch, -1 for none.
            trained: int64, the responses that are trained on.
            slots: number of micro-batches.
        """
        size_N = torch.ones(len(token_N)) if self.by_sequence else token_N.float()
        in_some = torch.nonzero(slot_N >= 0).flatten()
        return torch.stack([torch.bincount(slot_N[rows], size_N[rows], slots) for rows in (in_some, trained)])

    def clipped(self, log_ratio_NT: Tensor, advantage_N: Tensor, mask_NT: Tensor) -> tuple[Tensor, Tensor]:
        """float [N] each: how much of a row is clipped below and above."""
        if self.by_sequence:
            log_ratio_NT = (log_ratio_NT * mask_NT).sum(1, keepdim=True) / mask_NT.sum(1, keepdim=True).clamp(min=1.0)
            mask_NT = torch.ones_like(log_ratio_NT)
        ratio_NT, sign_N1 = torch.exp(log_ratio_NT), advantage_N[:, None]
        if self.loss_type == "cispo":
            low_NT, high_NT = torch.zeros_like(ratio_NT), (ratio_NT > self.high) & (sign_N1 > 0)
        else:
            if self.delta is not None:
                ratio_NT = ratio_NT.clamp(max=self.delta)
            low_NT = (ratio_NT < 1 - self.low) & (sign_N1 < 0)
            high_NT = (ratio_NT > 1 + self.high) & (sign_N1 > 0)
        return (low_NT * mask_NT).sum(1).float().cpu(), (high_NT * mask_NT).sum(1).float().cpu()


class ClipLog:
    """Of one optimizer step, collected over the micro-batches that are trained on."""

    def __init__(self) -> None:
        self._seen: list[Tensor] = []

    def add(self, part_N: Tensor, low_N: Tensor, high_N: Tensor, size_N: Tensor) -> None:
        """Rows of a micro-batch; ``part_N`` is TRL's micro-batch, -1 for a filler."""
        self._seen.append(torch.stack([part_N.float().cpu(), low_N, high_N, size_N], 1))

    def take(self, size_B: Tensor, whole_B: Tensor, gather: Gather) -> dict[str, list[float]]:
        """TRL's entries of the step by name, one a micro-batch of TRL's.

        Args:
            size_B: what of all rows could be clipped, over all processes.
            whole_B: bool, whether no row of it was left out.
            gather: from a tensor of this process to those of all, one after another.
        """
        parts = len(size_B)
        rows = torch.cat(self._seen)
        self._seen.clear()
        sums_B2, least_B, most_B = torch.zeros(parts, 2), torch.full((parts,), torch.inf), torch.zeros(parts)
        for part in range(parts):
            low_N, high_N, size_N = rows[rows[:, 0] == part][:, 1:].unbind(1)
            sums_B2[part] = torch.stack([low_N.sum(), high_N.sum()])
            some = size_N > 0
            if some.any():
                least_B[part], most_B[part] = (low_N / size_N)[some].min(), (high_N / size_N)[some].max()
        found_PB4 = gather(torch.cat([sums_B2, least_B[:, None], most_B[:, None]], 1)[None]).cpu()
        mean_B2 = found_PB4[:, :, :2].sum(0) / size_B.clamp(min=1.0)[:, None]
        least_B = torch.where(whole_B, found_PB4[:, :, 2].amin(0), 0.0)  # a row that was left out has none clipped
        least_B = least_B.masked_fill(torch.isinf(least_B), torch.nan)  # no row with a token
        columns: Sequence[Tensor] = (*mean_B2.unbind(1), mean_B2.sum(1), least_B, found_PB4[:, :, 3].amax(0))
        return {name: column.tolist() for name, column in zip(NAMES, columns, strict=True)}
