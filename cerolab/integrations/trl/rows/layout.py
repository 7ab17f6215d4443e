"""How the responses of a wave are laid out over processes: each gets as many rows, fillers come last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cerolab import Allocation
from cerolab.types import IntArray


@dataclass(frozen=True)
class Layout:
    """A wave's responses as rows, group after group in the allocation's order.

    Attributes:
        allocation: the wave.
        responses_per_unit: g.
        num_processes: P.
        entry_N: int64 [N], index of each response's group in the allocation (derived).
        size: N, responses of the wave (derived).
        per_process: rows of each process, ceil(N / P) (derived).
    """

    allocation: Allocation
    responses_per_unit: int
    num_processes: int
    entry_N: IntArray = field(init=False)
    size: int = field(init=False)
    per_process: int = field(init=False)

    def __post_init__(self) -> None:
        responses_A = self.allocation.units * self.responses_per_unit
        object.__setattr__(self, "entry_N", np.repeat(np.arange(self.allocation.num_groups), responses_A))
        object.__setattr__(self, "size", int(responses_A.sum()))
        object.__setattr__(self, "per_process", -(-self.size // self.num_processes))

    @property
    def fillers(self) -> int:
        """Rows that stand for no response."""
        return self.per_process * self.num_processes - self.size

    def prompts_of(self, process: int) -> IntArray:
        """int64 [per_process]: prompt of each row of a process; fillers repeat the wave's last prompt."""
        rows = np.arange(process * self.per_process, (process + 1) * self.per_process)
        return self.allocation.prompts[self.entry_N[np.minimum(rows, self.size - 1)]]

    def true_rows_of(self, process: int) -> int:
        """Rows of a process that are no fillers; they come first."""
        return int(np.clip(self.size - process * self.per_process, 0, self.per_process))


def local_rows(layouts: Sequence[Layout], process: int) -> Tensor:
    """int64 [rows of the process]: place among the responses of all waves, all processes; -1 for a filler."""
    places, start = [], 0
    for layout in layouts:
        place = torch.arange(process * layout.per_process, (process + 1) * layout.per_process)
        places.append(torch.where(place < layout.size, place + start, -1))
        start += layout.size
    return torch.cat(places)
