"""Which process trains on which of a round's rows: as many rows each, and as many tokens as can be.

The rows that are left out, those of groups that teach nothing, are spread unevenly over the processes that generated
them; the fullest process would let the others wait. Axis suffixes: _N responses of the round over all processes, _K
rows of a step, _S optimizer steps, _P processes, _W rows of a process in a step.
"""

from __future__ import annotations

import heapq

import torch
from torch import Tensor

from cerolab.integrations.trl.rows.batches import deal, worth_training

NOBODY = -1  # in a plan: no row


def rows_of_steps(rows: int, steps: int) -> list[int]:
    """How many of the round's rows each optimizer step gets, those that are left out among them."""
    return [len(share) for share in deal(torch.arange(rows), steps)]


def empty_plan(rows: int, steps: int, processes: int) -> Tensor:
    """int64 [S, P, W] with nobody in it, of the shape of every plan for so many rows."""
    return torch.full((steps, processes, -(-max(rows_of_steps(rows, steps)) // processes)), NOBODY)


def dealt(order: Tensor, advantage_N: Tensor, tokens_N: Tensor, steps: int, processes: int, leave_out: bool) -> Tensor:
    """The plan of a round.

    Args:
        order: the rows to train on, shuffled.
        advantage_N, tokens_N: of every row; tokens of prompt and response together.
        steps, processes: S and P.
        leave_out: leave out rows without an advantage.

    Returns:
        int64 [S, P, W]: rows, then -1. In a step no process has more than its even share, rounded up.
    """
    plan = empty_plan(len(order), steps, processes)
    for step, share in enumerate(deal(order, steps)):
        kept = worth_training(share, advantage_N) if leave_out else share
        for process, rows in enumerate(balanced(kept, tokens_N, processes)):
            plan[step, process, : len(rows)] = torch.tensor(rows, dtype=torch.int64)
    return plan


def slots(order: Tensor, steps: int, parts: int, rows: int) -> Tensor:
    """int64 [N]: in which of the round's ``steps * parts`` micro-batches TRL would have a row; -1 for rows of none."""
    slot_N = torch.full((rows,), NOBODY)
    for step, share in enumerate(deal(order, steps)):
        for part, chunk in enumerate(deal(share, parts)):
            slot_N[chunk] = step * parts + part
    return slot_N


def widths(plan: Tensor) -> list[int]:
    """Of each step the rows of its fullest process."""
    widest: list[int] = (plan != NOBODY).sum(-1).amax(-1).tolist()
    return widest


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
