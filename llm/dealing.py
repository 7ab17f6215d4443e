"""Which process trains on which of a round's rows: as many rows each, and as many tokens as can be.

The rows that are left out, those of groups that teach nothing, are spread unevenly over the processes that generated
them; the fullest process would let the others wait. Axis suffixes: _N responses of the round over all processes, _K
rows of a step, _S optimizer steps, _P processes, _W rows of a process in a step, _B TRL's micro-batches of a step.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import torch
from torch import Tensor

from llm.batches import deal, worth_training

NOBODY = -1  # no row


@dataclass(frozen=True)
class Plan:
    """Of a round, the same in all processes.

    Attributes:
        rows_SPW: int64, the rows that each process trains on in each step, then -1. In a step no process has more than
            its even share, rounded up.
        batch_N: int64, the micro-batch of the round in which TRL would have a row; -1 for one that is not trained on.
        parts: B.
    """

    rows_SPW: Tensor
    batch_N: Tensor
    parts: int

    @classmethod
    def empty(cls, num_rows: int, trained: int, steps: int, processes: int, parts: int) -> Plan:
        """Of the shape of every plan for so many rows, with nobody in it."""
        width = -(-len(deal(torch.arange(trained), steps)[0]) // processes)
        return cls(torch.full((steps, processes, width), NOBODY), torch.full((num_rows,), NOBODY), parts)

    @property
    def part_N(self) -> Tensor:
        """int64: a row's micro-batch among those of its step; -1 for none."""
        return torch.where(self.batch_N < 0, NOBODY, self.batch_N % self.parts)

    @property
    def widest_S(self) -> list[int]:
        """Rows of the fullest process."""
        widest: list[int] = (self.rows_SPW != NOBODY).sum(-1).amax(-1).tolist()
        return widest

    @property
    def total_S(self) -> list[int]:
        """Rows over all processes, those that are left out among them."""
        steps = len(self.rows_SPW)
        total: list[int] = torch.bincount(self.batch_N[self.batch_N >= 0] // self.parts, minlength=steps).tolist()
        return total

    def sums(self, value_N: Tensor) -> Tensor:
        """float32 [S, 2, B]: a value summed over all rows, and over those that are not left out."""
        all_of_them = torch.nonzero(self.batch_N >= 0).flatten()
        kept = self.rows_SPW[self.rows_SPW != NOBODY]
        shape = len(self.rows_SPW), self.parts
        sums = [
            torch.bincount(self.batch_N[rows], value_N[rows].double(), shape[0] * shape[1]).view(shape)
            for rows in (all_of_them, kept)
        ]
        return torch.stack(sums, 1).float()


def dealt(
    order: Tensor, advantage_N: Tensor, tokens_N: Tensor, steps: int, processes: int, parts: int, leave_out: bool
) -> Plan:
    """The plan of a round.

    Args:
        order: the rows to train on, shuffled.
        advantage_N, tokens_N: of every row; tokens of prompt and response together.
        steps, processes, parts: S, P and B.
        leave_out: leave out rows without an advantage.
    """
    plan = Plan.empty(len(advantage_N), len(order), steps, processes, parts)
    for step, share in enumerate(deal(order, steps)):
        for part, chunk in enumerate(deal(share, parts)):
            plan.batch_N[chunk] = step * parts + part
        kept = worth_training(share, advantage_N) if leave_out else share
        for process, rows in enumerate(balanced(kept, tokens_N, processes)):
            plan.rows_SPW[step, process, : len(rows)] = torch.tensor(rows, dtype=torch.int64)
    return plan


def balanced(row_K: Tensor, tokens_N: Tensor, processes: int) -> list[list[int]]:
    """The rows of each process; one process has them in the order given, several each from the longest to the shortest.

    Longest first, each to the process with the fewest tokens so far that has room (Graham 1969, with equal numbers), so
    that the first micro-batches of all processes have the longest rows, and so on.
    """
    if processes == 1:
        return [row_K.tolist()]
    room = -(-len(row_K) // processes)
    rows: list[list[int]] = [[] for _ in range(processes)]
    loads = [(0, process) for process in range(processes)]  # tokens of each process that has room
    order = torch.argsort(tokens_N[row_K], descending=True, stable=True)
    for row, tokens in zip(row_K[order].tolist(), tokens_N[row_K[order]].tolist(), strict=True):
        load, process = heapq.heappop(loads)
        rows[process].append(row)
        if len(rows[process]) < room:
            heapq.heappush(loads, (load + tokens, process))
    return rows
