"""Whether all processes of a training decide the same, by checksums that are compared at every wave.

The allocator runs in each process, and nothing else sees to it that they agree: where they do not, the rewards of one
process's responses are credited to the prompts of another.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from cerolab import Allocation, AllocationProblem
from cerolab.errors import CerolabError
from cerolab.integrations.trl.processes.gather import Gather

_PARTS = ("problem", "place in the round", "prompts", "units", "rows of train_dataset")  # what is compared


class DivergedError(CerolabError):
    """The processes of a training do not decide the same."""


class Agreement:
    """Compares what this process is about to do with what the others are.

    Args:
        problem: of the allocator.
        dataset: row i is prompt i; each row that is used is read and hashed once.
        gather: int64 [1, parts] of each process to [processes, parts] in all.
    """

    def __init__(self, problem: AllocationProblem, dataset: Any, gather: Gather):
        self._problem = zlib.crc32(_text(problem.to_dict()).encode())
        self._dataset, self._gather = dataset, gather
        self._row_M = np.full(problem.num_prompts, -1, np.int64)  # checksum of each row; -1: not read yet

    def check(self, round_index: int, wave: int, allocation: Allocation) -> None:
        """Take part in the comparison; every process does.

        Raises:
            DivergedError: in all processes; names those that differ from the first one, and in what.
        """
        place = np.array([round_index, wave, allocation.last_wave])
        arrays = place, allocation.prompts, allocation.units, self._rows(allocation)
        mine = [self._problem, *(zlib.crc32(np.ascontiguousarray(array, np.int64).tobytes()) for array in arrays)]
        all_P = self._gather(torch.tensor([mine])).numpy()
        differ_P = all_P != all_P[0]
        if differ_P.any():
            others = [
                f"process {process}: {', '.join(np.array(_PARTS)[parts])}"
                for process, parts in enumerate(differ_P)
                if parts.any()
            ]
            raise DivergedError(
                f"round {round_index}: processes decide differently from process 0 ({'; '.join(others)}); make "
                "allocator and train_dataset the same way in each: same problem, seed, options and order of rows"
            )

    def _rows(self, allocation: Allocation) -> np.ndarray:
        prompts = allocation.prompts
        for prompt in prompts[self._row_M[prompts] < 0].tolist():
            self._row_M[prompt] = zlib.crc32(_text(self._dataset[prompt]).encode())
        return self._row_M[prompts]


def _text(value: Any) -> str:
    """A value as text that is the same in every process; what has no such text is its type's name."""
    if value is None or isinstance(value, str | bytes | bool | int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return f"{{{','.join(sorted(f'{_text(key)}:{_text(item)}' for key, item in value.items()))}}}"
    if hasattr(value, "tolist"):  # an array
        return _text(value.tolist())
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_text, value))}]"
    return type(value).__name__
