"""Rows are dealt over steps and processes once each, evenly in number and nearly so in tokens, and arrive whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation
from cerolab.integrations.trl.rows.batches import deal
from cerolab.integrations.trl.rows.dealing import NOBODY, balanced, dealt, empty_plan, rows_of_steps, slots, widths
from cerolab.integrations.trl.rows.exchange import exchanged, owners
from cerolab.integrations.trl.rows.layout import Layout, local_rows
from tests.llm.test_batches import content, wave_of


@given(data=st.data(), processes=st.integers(1, 5), steps=st.integers(1, 3), leave_out=st.booleans())
def test_each_row_that_teaches_is_dealt_once(data, processes, steps, leave_out):
    advantage = torch.tensor(data.draw(st.lists(st.sampled_from([0.0, 1.0, -0.5]), min_size=1, max_size=30)))
    tokens = torch.tensor(data.draw(st.lists(st.integers(1, 99), min_size=len(advantage), max_size=len(advantage))))
    order = torch.tensor(data.draw(st.permutations(range(len(advantage)))))
    plan = dealt(order, advantage, tokens, steps, processes, leave_out)
    assert plan.shape == empty_plan(len(order), steps, processes).shape
    for share, of_step, widest, size in zip(
        deal(order, steps), plan, widths(plan), rows_of_steps(len(order), steps), strict=True
    ):
        rows = of_step[of_step != NOBODY]
        teaching = share[advantage[share] != 0] if leave_out else share
        assert size == len(share)
        if leave_out and len(share) and not len(teaching):
            assert len(rows) == 1  # the optimizer steps as with all
        else:
            assert sorted(rows.tolist()) == sorted(teaching.tolist())
        assert widest == -(-len(rows) // processes)
        assert bool((of_step[:, widest:] == NOBODY).all())


def test_one_process_has_its_rows_in_the_order_of_the_shuffle():
    order = torch.tensor([3, 0, 2, 1])
    assert balanced(order, torch.arange(4), 1) == [[3, 0, 2, 1]]


@pytest.mark.parametrize("processes", [2, 4, 8])
def test_processes_have_nearly_as_many_tokens(processes):
    """Half of the groups teach; lengths as uneven as responses are. Where rows stay, the fullest has a third more."""
    generator = np.random.default_rng(0)
    dealt_anew, as_generated = [], []
    for _ in range(20):
        tokens = torch.tensor(100 + generator.geometric(1 / 300, 128 * processes))
        teaching = np.repeat(generator.random(16 * processes) < 0.5, 8)
        kept = torch.from_numpy(np.flatnonzero(teaching))
        rows = balanced(kept[torch.randperm(len(kept))], tokens, processes)
        loads = np.array([int(tokens[mine].sum()) for mine in rows])
        dealt_anew.append(loads.max() / loads.mean())
        homes = (tokens.numpy() * teaching).reshape(processes, -1).sum(1)
        as_generated.append(homes.max() / homes.mean())
    assert np.mean(dealt_anew) < 1.01
    assert np.mean(as_generated) > 1.1


def test_the_first_rows_of_all_processes_are_the_longest():
    tokens = torch.tensor([5, 90, 7, 80, 60, 6, 70, 8])
    rows = balanced(torch.arange(8), tokens, 2)
    assert all(tokens[mine].tolist() == sorted(tokens[mine].tolist(), reverse=True) for mine in rows)


def test_slots_are_the_micro_batches_that_trl_would_cut():
    order = torch.tensor([4, 0, 5, 1, 3])
    assert slots(order, 2, 2, 7).tolist() == [0, 2, NOBODY, 3, 0, 1, NOBODY]  # 4, 0 | 5 || 1 | 3
    assert [share.tolist() for share in deal(order, 2)] == [[4, 0, 5], [1, 3]]


ROW = st.tuples(
    st.lists(st.integers(1, 9), min_size=1, max_size=5), st.lists(st.integers(1, 9), min_size=1, max_size=5)
)


@given(data=st.data(), processes=st.integers(1, 4), steps=st.integers(1, 2))
def test_rows_arrive_whole_at_the_process_that_trains_on_them(data, processes, steps):
    rows = data.draw(st.lists(ROW, min_size=1, max_size=9))
    layouts = [Layout(Allocation([0], [len(rows)]), 1, processes)]
    made = []
    for process in range(processes):
        places = local_rows(layouts, process).clamp(max=len(rows) - 1)
        mine = wave_of([rows[place] if place >= 0 else ([1], [2]) for place in places.tolist()])
        mine["advantages"] = torch.where(places >= 0, places + 1.0, 0.0)
        mine.pop("num_items_in_batch")
        made.append(mine)
    whole = {place: (*rows[place], place + 1.0) for place in range(len(rows))}
    order = torch.tensor(data.draw(st.permutations(range(len(rows)))))
    plan = dealt(order, torch.tensor([float(i % 3) for i in range(len(rows))]), torch.arange(len(rows)), steps,
                 processes, data.draw(st.booleans()))  # fmt: skip
    used = plan[plan != NOBODY].tolist()
    longest = max(len(rows[row][0]) for row in used), max(len(rows[row][1]) for row in used)
    parcels = [[] for _ in range(processes)]
    for process in range(processes):  # what each sends, in order
        exchanged(
            made[process], layouts, process, plan, longest, lambda sent, to=parcels[process]: _note(sent, to, processes)
        )
    for process in range(processes):
        found, index = exchanged(made[process], layouts, process, plan, longest, _Replay(parcels))
        assert found.keys() == made[process].keys()
        assert all(found[key].dtype == made[process][key].dtype for key in found)
        if processes > 1:
            assert (found["prompt_ids"].size(1), found["completion_ids"].size(1)) == longest
        there = content(found)
        for places, indices in zip(plan[:, process].tolist(), index.tolist(), strict=True):
            for place, at in zip(places, indices, strict=True):
                assert (at == NOBODY) == (place == NOBODY)
                if place != NOBODY:
                    prompt, completion, logps, advantage = there[at]
                    assert (prompt, completion, advantage) == whole[place]
                    assert logps == pytest.approx([-token / 7 for token in completion])
        assert len(there) >= 1  # fillers stand on a row that is somebody's
        assert all(prompt for prompt, *_ in there)


def _note(sent, parcels, processes):
    parcels.append(sent)
    return torch.cat([sent] * processes)


class _Replay:
    """Gathers what the processes have sent in their turn before."""

    def __init__(self, parcels):
        self._parcels, self._next = parcels, 0

    def __call__(self, sent):
        self._next += 1
        return torch.cat([mine[self._next - 1] for mine in self._parcels])


@given(units=st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=5), min_size=1, max_size=3),
       processes=st.integers(1, 4))  # fmt: skip
def test_owners_are_who_the_layout_says(units, processes):
    layouts = [Layout(Allocation(range(len(wave)), wave), 2, processes) for wave in units]
    owner, index = owners(layouts, processes)
    for place, (process, at) in enumerate(zip(owner.tolist(), index.tolist(), strict=True)):
        assert local_rows(layouts, process)[at] == place
