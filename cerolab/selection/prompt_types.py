"""Prompts that are alike: of a million prompts with whole-number states, few hundred states differ.

What a method works out from a prompt's state alone it can work out once a kind, and look up for the pool.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cerolab.types import IntArray


class Kinds:
    """The distinct rows of whole numbers that describe prompts, and which prompt has which.

    A kind that no prompt is of any more stays in the list, with count 0.

    Args:
        columns: int64 [M] each; a prompt's row is made of them.

    Attributes:
        kind_M: int32 [M], each prompt's kind.
        rows: int64 [C, number of columns].
        count: int64 [C], prompts of the kind.
    """

    def __init__(self, *columns: IntArray):
        if all(not column.any() for column in columns):  # a fresh pool, which need not be sorted
            num_prompts = columns[0].size
            self.rows: IntArray = np.zeros((1, len(columns)), np.int64)
            self.kind_M: npt.NDArray[np.int32] = np.zeros(num_prompts, np.int32)
            self.count: IntArray = np.array([num_prompts])
        else:
            self.rows, kind_M = _distinct(columns)
            self.kind_M, self.count = kind_M.astype(np.int32), np.bincount(kind_M)
        self._known = {tuple(row): kind for kind, row in enumerate(self.rows.tolist())}

    def move(self, prompts: IntArray, *columns: IntArray) -> None:
        """Give these prompts [A], each named once, new rows: the columns int64 [A]."""
        if not prompts.size:
            return
        rows, of_row = _distinct(columns)
        fresh = [row for row in rows.tolist() if tuple(row) not in self._known]
        if fresh:
            self._known |= {tuple(row): len(self.rows) + at for at, row in enumerate(fresh)}
            self.rows = np.concatenate([self.rows, np.array(fresh, np.int64)])
            self.count = np.append(self.count, np.zeros(len(fresh), np.int64))
        kinds = np.array([self._known[tuple(row)] for row in rows.tolist()], np.int32)
        new, size = kinds[of_row], self.count.size
        self.count += np.bincount(new, minlength=size) - np.bincount(self.kind_M[prompts], minlength=size)
        self.kind_M[prompts] = new


def _distinct(columns: tuple[IntArray, ...]) -> tuple[IntArray, IntArray]:
    """(distinct rows, which of them each row is) of columns of numbers >= 0; sorts one packed number a row."""
    packed = np.zeros(columns[0].size, np.int64)
    for column in columns:
        packed = packed * (int(column.max()) + 1) + column
    _, first, which = np.unique(packed, return_index=True, return_inverse=True)
    return np.stack([column[first] for column in columns], axis=1), which
