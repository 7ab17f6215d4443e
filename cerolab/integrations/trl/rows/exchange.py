"""Rows of a round brought from the processes that generated them to those that train on them.

Only rows that somebody trains on travel, without the padding that none of them needs. Axis suffixes: as in
``cerolab.integrations.trl.rows.dealing``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from cerolab.integrations.trl.processes.gather import Gather
from cerolab.integrations.trl.rows.batches import PROMPT, Rows, per_token
from cerolab.integrations.trl.rows.dealing import NOBODY
from cerolab.integrations.trl.rows.layout import Layout, local_rows


def exchanged(
    rows: Rows, layouts: Sequence[Layout], process: int, plan: Tensor, sizes: tuple[int, int], gather: Gather
) -> tuple[Rows, Tensor]:
    """The rows that a process trains on, and where.

    Args:
        rows: generated here.
        layouts: of the round's waves.
        process: this one.
        plan: int64 [S, P, W], the rows of each process in each step; the same in all.
        sizes: tokens of the longest prompt and of the longest response among the plan's rows.
        gather: over processes.

    Returns:
        the rows; int64 [S, W], index of the plan's rows among them, -1 for none.
    """
    processes = plan.size(1)
    if processes == 1:  # they are all here, in their places
        return rows, plan[:, 0]
    used = torch.unique(plan[plan != NOBODY])
    owner_N, index_N = owners(layouts, processes)
    sent_P = [used[owner_N[used] == owner] for owner in range(processes)]
    most = max(map(len, sent_P))
    table = {key: gather(_parcel(rows, key, index_N[sent_P[process]], most, sizes)) for key in sorted(rows)}
    slot_N = torch.full((len(owner_N),), NOBODY)  # where a row lies in the table
    for owner, sent in enumerate(sent_P):
        slot_N[sent] = owner * most + torch.arange(len(sent))
    mine = plan[:, process]
    own = torch.unique(mine[mine != NOBODY])
    own = own if len(own) else used[:1]  # something for fillers to stand on
    place_N = torch.full_like(slot_N, NOBODY)
    place_N[own] = torch.arange(len(own))
    device = rows["prompt_ids"].device
    kept = {key: value[slot_N[own].to(device)].to(rows[key].dtype) for key, value in table.items()}
    return kept, torch.where(mine == NOBODY, NOBODY, place_N[mine.clamp(min=0)])


def owners(layouts: Sequence[Layout], processes: int) -> tuple[Tensor, Tensor]:
    """int64 [N] twice: the process that generated each row, and its index there."""
    size = sum(layout.size for layout in layouts)
    owner_N, index_N = torch.empty(size, dtype=torch.int64), torch.empty(size, dtype=torch.int64)
    for process in range(processes):
        place = local_rows(layouts, process)
        here = torch.nonzero(place >= 0).flatten()
        owner_N[place[here]], index_N[place[here]] = process, here
    return owner_N, index_N


def _parcel(rows: Rows, key: str, index: Tensor, most: int, sizes: tuple[int, int]) -> Tensor:
    """A column of the rows at ``index``, of one shape in all processes; whole numbers travel in 4 bytes."""
    value = rows[key][index.to(rows[key].device)]
    if key in PROMPT:
        value = _columns(value, sizes[0], left=True)
    elif per_token(key):
        value = _columns(value, sizes[1])
    value = pad(value, (0, 0) * (value.dim() - 1) + (0, most - len(value)))
    return value.to(torch.int32) if value.dtype == torch.int64 else value


def _columns(value: Tensor, width: int, left: bool = False) -> Tensor:
    """``width`` columns; what is cut or added is padding, whose content nobody reads."""
    missing = width - value.size(1)
    if left:
        return pad(value, (missing, 0)) if missing > 0 else value[:, -missing:]
    return pad(value, (0, missing)) if missing > 0 else value[:, :width]
