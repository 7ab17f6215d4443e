"""Rows of all processes stand for each response once; what is left over are fillers, at the end."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cerolab import Allocation
from cerolab.integrations.trl.rows.layout import Layout, local_rows

WAVES = st.lists(st.integers(1, 4), min_size=1, max_size=8)  # units of each group


def layout(units, responses_per_unit, processes, first_prompt=10):
    prompts = first_prompt + np.random.default_rng(len(units)).permutation(len(units))
    return Layout(Allocation(prompts, np.array(units)), responses_per_unit, processes)


@given(units=WAVES, responses_per_unit=st.integers(1, 5), processes=st.integers(1, 5))
def test_each_response_has_one_row(units, responses_per_unit, processes):
    wave = layout(units, responses_per_unit, processes)
    assert wave.size == sum(units) * responses_per_unit
    assert 0 <= wave.fillers < processes
    rows = [wave.prompts_of(process) for process in range(processes)]
    assert {len(mine) for mine in rows} == {wave.per_process}
    true = [wave.true_rows_of(process) for process in range(processes)]
    assert sum(true) == wave.size
    made = np.concatenate([mine[:count] for mine, count in zip(rows, true, strict=True)])
    expected = np.repeat(wave.allocation.prompts, wave.allocation.units * responses_per_unit)
    assert made.tolist() == expected.tolist()
    assert made.tolist() == wave.allocation.prompts[wave.entry_N].tolist()
    fillers = np.concatenate([mine[count:] for mine, count in zip(rows, true, strict=True)])
    assert set(fillers.tolist()) <= {int(wave.allocation.prompts[-1])}


@given(waves=st.lists(WAVES, min_size=1, max_size=4), responses_per_unit=st.integers(1, 5), processes=st.integers(1, 5))
def test_places_of_all_processes_cover_the_round_once(waves, responses_per_unit, processes):
    layouts = [layout(units, responses_per_unit, processes) for units in waves]
    places = [local_rows(layouts, process).tolist() for process in range(processes)]
    assert sorted(place for mine in places for place in mine if place >= 0) == list(
        range(sum(wave.size for wave in layouts))
    )
    assert sum(mine.count(-1) for mine in places) == sum(wave.fillers for wave in layouts)
    prompt_N = np.concatenate([wave.allocation.prompts[wave.entry_N] for wave in layouts])
    for process, mine in enumerate(places):
        prompts = np.concatenate([wave.prompts_of(process) for wave in layouts])
        assert len(mine) == len(prompts)
        for place, prompt in zip(mine, prompts, strict=True):
            assert place == -1 or prompt_N[place] == prompt


def test_a_process_may_have_fillers_only():
    wave = layout([1], 1, 2)
    assert [wave.true_rows_of(process) for process in (0, 1)] == [1, 0]
    assert wave.prompts_of(1).tolist() == wave.prompts_of(0).tolist()
    assert local_rows([wave], 1).tolist() == [-1]
    assert [layout([2], 2, 3).true_rows_of(process) for process in (0, 1, 2)] == [2, 2, 0]
