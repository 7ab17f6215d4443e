"""Processes that come to different decisions are told, before a reward goes to a wrong prompt."""

import numpy as np
import pytest
import torch

from cerolab import Allocation
from cerolab.integrations.trl.processes.agreement import Agreement, DivergedError
from tests.llm.small import pool, problem


def compare(*processes):
    """What each process raises, or None: one (problem, dataset, (round, wave, allocation)) a process."""
    rows = []

    class Seen(Exception):
        pass

    def note(row):
        rows.append(row)
        raise Seen

    for given, dataset, wave in processes:
        with pytest.raises(Seen):
            Agreement(given, dataset, note).check(*wave)
    errors = []
    for given, dataset, wave in processes:
        try:
            Agreement(given, dataset, lambda _: torch.cat(rows)).check(*wave)
            errors.append(None)
        except DivergedError as error:
            errors.append(str(error))
    return errors


def wave(prompts=(3, 9, 1), units=(1, 2, 1), round_index=4, number=0, last=True):
    return round_index, number, Allocation(list(prompts), list(units), last_wave=last)


SAME = problem(max_units=2), pool(), wave()


def test_processes_that_agree_go_on():
    assert compare(SAME, SAME, SAME) == [None] * 3
    empty = (*SAME[:2], wave((), ()))
    assert compare(empty, empty) == [None] * 2


def changed_row(row):
    rows = pool().to_list()
    rows[row]["prompt"] += " "
    return rows


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ((problem(max_units=2, num_rounds=21), pool(), wave()), "problem"),
        ((*SAME[:2], wave(prompts=(3, 9, 2))), "prompts, rows of train_dataset"),
        ((*SAME[:2], wave(prompts=(9, 3, 1))), "prompts, rows of train_dataset"),
        ((*SAME[:2], wave(units=(1, 1, 1))), "units"),
        ((*SAME[:2], wave(last=False)), "place in the round"),
        ((*SAME[:2], wave(round_index=5)), "place in the round"),
        ((SAME[0], changed_row(9), wave()), "rows of train_dataset"),
    ],
    ids=["problem", "prompts", "order", "units", "last wave", "round", "row"],
)
def test_every_process_learns_who_differs_in_what(other, what):
    for error in compare(SAME, SAME, other):
        assert f"(process 2: {what});" in error
        assert "process 1" not in error
    for error in compare(other, SAME):
        assert f"(process 1: {what});" in error


def test_rows_that_are_not_used_are_not_read():
    class Counting(list):
        read = 0

        def __getitem__(self, row):
            self.read += 1
            return super().__getitem__(row)

    rows = Counting(pool().to_list())
    agreement = Agreement(SAME[0], rows, lambda row: row)
    for _ in range(3):
        agreement.check(*wave())
    assert rows.read == 3
    assert compare(SAME, (SAME[0], changed_row(8), SAME[2])) == [None, None]


def test_rows_are_compared_by_what_they_say_not_by_where_they_lie():
    class Thing:
        pass

    def rows():
        row = {"prompt": "1+1=", "thing": Thing(), "part": {"b": np.arange(2), "a": (1.5, None, b"x", True)}}
        return [dict(reversed(row.items())) if len(made) % 2 else row for made in [[0] * i for i in range(24)]]

    assert compare((SAME[0], rows(), SAME[2]), (SAME[0], [dict(sorted(row.items())) for row in rows()], SAME[2])) == [
        None,
        None,
    ]
