import pytest

from cerolab import available
from tests import golden


@pytest.mark.parametrize("name", available())
def test_allocations_are_those_of_the_golden_file(name):
    expected, actual = golden.stored(name), golden.computed(name)
    for round_index, (was, now) in enumerate(zip(expected["waves"], actual["waves"], strict=True)):
        assert now == was, f"{name}, wave {round_index}: if this is meant, run `make golden` and say why in the commit"
    assert actual == expected


@pytest.mark.parametrize("name", available())
def test_a_golden_run_spends_units_on_many_prompts(name):
    waves = golden.stored(name)["waves"]
    assert sum(sum(wave["units"]) for wave in waves) > golden.PROBLEM.budget // 2
    assert len({prompt for wave in waves for prompt in wave["prompts"]}) >= 8


def test_no_golden_file_is_left_over_from_a_method_that_is_gone():
    assert {file.stem for file in golden.FOLDER.glob("*.json")} == set(available())


def test_goldens_tell_the_methods_apart():
    waves = {name: golden.stored(name)["waves"] for name in available()}
    names = sorted(waves)
    same = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if waves[a] == waves[b]]
    assert not same
