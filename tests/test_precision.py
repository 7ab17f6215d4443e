"""Single precision: what it is kept in, that it is saved as it is, and how far it is from double."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab import AllocationProblem, available, make
from cerolab.allocators._posterior import PosteriorAllocator
from cerolab.errors import InvalidValueError, StateError
from cerolab.registry import allocator_class
from tests.strategies import Luck, as_pairs, few_examples, one_wave, options_for, play, same_state, through_a_file
from tests.strategies import scenarios as any_scenario

NAMES = [name for name in available() if issubclass(allocator_class(name), PosteriorAllocator)]
PROBLEM = AllocationProblem(
    num_prompts=400, num_rounds=150, budget=20_000, capacity=140, max_units=2, responses_per_unit=4
)
RATES = np.random.default_rng(0).beta(0.5, 0.5, PROBLEM.num_prompts)


def each():
    return pytest.mark.parametrize("name", NAMES)


def made(name, precision="single", problem=PROBLEM, **options):
    return make(name, problem, seed=1, precision=precision, **{**options_for(name, problem, RATES), **options})


def kept(allocator):
    """Every array of real numbers that has an entry a prompt, by name."""
    parts = [vars(allocator), {slot: getattr(allocator.posterior, slot) for slot in allocator.posterior.__slots__}]
    return {
        key: value
        for part in parts
        for key, value in part.items()
        if isinstance(value, np.ndarray) and value.shape == (allocator.problem.num_prompts,) and value.dtype.kind == "f"
    }


@each()
@pytest.mark.parametrize("value", ["half", "float32", 32, None, np.float32])
def test_an_unknown_precision_is_refused(name, value):
    with pytest.raises(InvalidValueError, match=r"precision=.* is not known; give \"double\" or \"single\""):
        made(name, precision=value)


@each()
@pytest.mark.parametrize(("precision", "kind"), [("double", np.float64), ("single", np.float32)])
@pytest.mark.parametrize("graded", [False, True])
def test_all_numbers_of_prompts_are_kept_in_it(name, precision, kind, graded):
    allocator = made(name, precision, forgetting=0.9)
    luck = Luck(PROBLEM, RATES, 3, graded)

    def check():
        arrays = kept(allocator)
        assert len(arrays) >= 2
        assert {key: array.dtype for key, array in arrays.items()} == dict.fromkeys(arrays, np.dtype(kind))
        assert allocator.predicted_success().dtype == allocator.predicted_value().dtype == np.float64

    check()
    play(allocator, PROBLEM, luck, rounds=5)
    check()
    allocator.load_state_dict(through_a_file(allocator.state_dict()))
    check()
    allocator.extend(3)
    check()


@each()
@few_examples
@given(data=st.data())
def test_a_single_state_loads_back_to_the_last_bit(name, data):
    scenario = data.draw(any_scenario(name, graded=None))
    scenario = replace(scenario, options={**scenario.options, "precision": "single"})
    allocator, resumed = scenario.make(), scenario.make()
    play(allocator, scenario.problem, scenario.luck, rounds=data.draw(st.integers(0, scenario.problem.num_rounds)))
    resumed.load_state_dict(through_a_file(allocator.state_dict()))
    assert same_state(allocator.state_dict(), resumed.state_dict())
    assert np.array_equal(allocator.predicted_value(), resumed.predicted_value())
    while allocator.round_index < scenario.problem.num_rounds:
        wave = one_wave(allocator, scenario.luck)
        assert resumed.allocate().matches(wave.allocation)
        resumed.observe(*wave)


@each()
def test_states_of_the_two_do_not_mix_and_double_says_nothing_new(name):
    single, double = made(name), made(name, "double")
    for one, other in ((single, double), (double, single)):
        with pytest.raises(StateError, match="options"):
            one.load_state_dict(other.state_dict())
    assert "precision" not in double.options_dict()  # states and records from before there was a choice
    assert single.options_dict()["precision"] == "single"
    assert same_state(double.state_dict(), make(name, PROBLEM, 1, **options_for(name, PROBLEM, RATES)).state_dict())


@pytest.mark.parametrize("name", ["resolve", "mopps", "vip"])
def test_whole_sums_are_exact_in_both_and_so_are_the_decisions(name):
    allocators = [made(name, precision) for precision in ("double", "single")]
    results = [play(allocator, PROBLEM, Luck(PROBLEM, RATES, 3)) for allocator in allocators]
    waves = [[as_pairs(allocation) for allocation in result.allocations] for result in results]
    assert waves[0] == waves[1]
    for field in ("num_responses", "reward_sum"):
        assert np.array_equal(*(getattr(allocator.posterior, field) for allocator in allocators))


@pytest.mark.parametrize("name", ["cero", "cero_fixed", "dual_mirror_descent"])
@pytest.mark.parametrize("options", [{}, {"forgetting": 0.9}])
def test_on_the_same_decisions_slopes_and_price_stay_close(name, options):
    double, single = (made(name, precision, **options) for precision in ("double", "single"))
    luck, largest = Luck(PROBLEM, RATES, 3), 0.0
    while double.round_index < PROBLEM.num_rounds:
        single._pending = double.allocate()
        wave = one_wave(double, luck)
        single.observe(*wave)
        largest = max(largest, float(np.abs(double.slope_M - single.slope_M).max()))
        np.testing.assert_allclose(single.predicted_value(), double.predicted_value(), rtol=1e-5)
    assert 0.0 < largest < 3e-6
    assert single.remaining == double.remaining
    if not options:  # the virtual allocation of the last rounds is each one's own
        assert single.price == pytest.approx(double.price, abs=0.02)


def test_the_slope_step_works_in_the_precision_of_the_slopes():
    for precision, kind in (("double", np.float64), ("single", np.float32)):
        assert made("cero", precision)._slope_step._buffer.dtype == kind


def test_on_its_own_decisions_cero_spends_and_earns_the_same():
    curvature = 4 * PROBLEM.max_slope * RATES * (1 - RATES)
    spent, value = [], []
    for precision in ("double", "single"):
        result = play(made("cero", precision), PROBLEM, Luck(PROBLEM, RATES, 3))
        spent.append(result.ledger.units)
        value.append(float(-np.expm1(-curvature * result.ledger.exposure_M).sum()))
    assert spent[1] == pytest.approx(spent[0], rel=2e-3)
    assert value[1] == pytest.approx(value[0], rel=2e-3)
