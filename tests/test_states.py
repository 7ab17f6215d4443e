"""States that could not be: whatever is done to an array of a saved one, it is refused by name, or plays to the end."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

from cerolab import BudgetLedger, available, make
from cerolab.errors import StateError
from tests.strategies import Luck, moment, options_for, same_state
from tests.test_contract import PROBLEM, RATES

VARIANTS = {
    **{name: {} for name in available()},
    "cero, learned prior": {"prior": "pool"},
    "cero, single": {"precision": "single"},
    "cero, fading": {"forgetting": 0.8},
    "dual_mirror_descent, slopes too": {"mirror_slopes": True},
    "oracle, recovery": {"recovery": 4.0},
    "oracle, tokens": {},
    "uniform, tokens": {},
    "dapo, tokens": {},
    "renew, given prior": {"prior": (1.0, 2.0)},
    "vip, process": {"estimator": "gp", "embeddings": [[float(i)] for i in range(7)]},
    "resolve, tokens": {},
}
# No value of an array: whatever an array holds, these are outside of it.
IMPOSSIBLE = (2**63 - 1, -(2**63), -2, 2**64 - 1, np.nan, np.inf, -np.inf, 1e300)


def fresh(variant, graded=False):
    """An allocator, and the world that it plays in: (allocator, function from round and wave to feedback)."""
    name = variant.partition(",")[0]
    problem = PROBLEM
    if "tokens" in variant:
        problem = replace(problem, token_budget=26 * 3 * 40, max_tokens=50)
    options = options_for(name, problem, RATES, schedule_of="cero") | VARIANTS[variant]
    return make(name, problem, 1, **options), Luck(problem, RATES, 5, graded=graded)


def turn(allocator, ledger, luck, wave):
    """One wave as a loop does it; the ledger refuses what the problem does not allow."""
    allocation = allocator.allocate()
    ledger.spend(allocation)
    feedback = luck(moment(allocator.problem, allocator.round_index, wave), allocation)
    if feedback.num_tokens is not None:
        ledger.count_tokens(int(np.sum(feedback.num_tokens)))
    allocator.observe(allocation, feedback)
    if allocation.last_wave:
        ledger.end_round(bool(allocation.num_groups))
        return 0
    return wave + 1


def stages(variant, graded=False):
    """(state, state of the ledger, wave) at the start, at each wave and at the end."""
    allocator, luck = fresh(variant, graded)
    ledger, wave = BudgetLedger(allocator.problem), 0
    while True:
        yield allocator.state_dict(), ledger.state_dict(), wave
        if ledger.round_index == allocator.problem.num_rounds:
            return
        wave = turn(allocator, ledger, luck, wave)


def arrays_of(state):
    return {key: value for key, value in state.items() if isinstance(value, np.ndarray)}


def plays_to_its_end(variant, state, books, wave, graded):
    """What is taken must work, without a warning, within capacity, caps and budget."""
    allocator, luck = fresh(variant, graded)
    ledger = BudgetLedger(allocator.problem)
    ledger.load_state_dict(books)
    allocator.load_state_dict(state)
    while ledger.round_index < allocator.problem.num_rounds:
        assert np.isfinite(list(allocator.metrics().values())).all()
        success = allocator.predicted_success()
        assert (np.isnan(success) | ((success >= 0) & (success <= 1))).all()
        wave = turn(allocator, ledger, luck, wave)
    allocator.metrics()


def refused(variant, state, names, books, wave, graded):
    """Whether the allocator refuses the state, naming one of these arrays; else it must play it."""
    allocator, _ = fresh(variant, graded)
    before = allocator.state_dict()
    try:
        allocator.load_state_dict(state)
    except StateError as error:
        said = str(error)
    else:
        plays_to_its_end(variant, state, books, wave, graded)
        return False
    assert any(name in said for name in names), (names, said)
    assert same_state(allocator.state_dict(), before)
    return True


REWARDS = [pytest.param(False, id="binary"), pytest.param(True, id="graded", marks=pytest.mark.slow)]  # seconds each


@pytest.mark.parametrize("graded", [False, True], ids=["binary", "graded"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_states_of_a_run_are_all_taken(variant, graded):
    for state, books, wave in stages(variant, graded):
        plays_to_its_end(variant, state, books, wave, graded)


def unlike(array):
    """The array with other types and shapes."""
    yield np.append(array.ravel(), array.ravel()[:1])
    yield np.zeros((2, 3, 4), array.dtype)
    yield np.zeros(0, array.dtype)
    yield array.astype(np.complex128)
    yield array.astype(str)
    yield array.astype("datetime64[s]") if array.dtype.kind == "i" else array.astype(object)
    yield array.astype(np.bool_)
    if array.dtype.kind == "i":
        yield array + 0.5


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_types_and_shapes_are_refused(variant):
    for state, books, wave in list(stages(variant))[::4]:
        for key, array in arrays_of(state).items():
            for other in unlike(array):
                assert refused(variant, {**state, key: other}, [key], books, wave, False), (
                    key,
                    other.dtype,
                    other.shape,
                )


def with_entry(array, at, value):
    """The array with one entry replaced, in a type that can hold it."""
    kind = np.float64 if isinstance(value, float) else np.uint64 if value > 2**63 - 1 else np.int64
    if array.dtype.kind == "f":
        kind = np.float64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        changed = array.astype(kind)
    changed[np.unravel_index(at, changed.shape)] = value
    return changed


@pytest.mark.parametrize("graded", REWARDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_entry_that_could_not_be_is_refused_by_the_name_of_its_array(variant, graded):
    for state, books, wave in list(stages(variant, graded))[::3]:
        for key, array in arrays_of(state).items():
            for at in range(min(array.size, 8)):
                for value in IMPOSSIBLE:
                    if ignored(variant, state, key, value, at):
                        continue
                    changed = {**state, key: with_entry(array, at, value)}
                    assert refused(variant, changed, [key], books, wave, graded), (key, at, value)


def ignored(variant, state, key, value, at):
    """Entries that may be so: negative runs of failures."""
    return key == "run" and value == -2


@pytest.mark.parametrize("graded", REWARDS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_whatever_else_is_changed_is_refused_or_plays_on(variant, graded):
    rng = np.random.default_rng(0)
    taken = tried = 0
    for state, books, wave in list(stages(variant, graded))[::2]:
        for key, array in arrays_of(state).items():
            for _ in range(4):
                changed = np.array(array)
                what = rng.integers(6)
                at = np.unravel_index(rng.integers(array.size), array.shape) if array.size else ()
                if what == 0:
                    changed = rng.permutation(changed.ravel()).reshape(array.shape)
                elif what == 1:
                    changed[at] += 1
                elif what == 2:
                    changed[at] -= 1
                elif what == 3:
                    changed[...] = 0
                elif what == 4:
                    changed[...] = changed.max(initial=0)
                else:
                    changed[at] = rng.integers(0, 30)
                tried += 1
                taken += not refused(variant, {**state, key: changed}, state, books, wave, graded)
    assert taken < tried or not tried


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("round_index", 0),
        ("remaining", 0),
        ("remaining", 26),
        ("round_index", 2**63 - 1),
        ("remaining", np.uint64(2**64 - 1)),
    ],
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_counts_that_do_not_fit_the_arrays_or_one_another_are_refused_or_play_on(variant, key, value):
    state, books, wave = list(stages(variant))[3]
    if key == "remaining" and value == 26:  # as where tokens ran short: budget that can no longer be spent
        books = {**books, "units": 0, "responses": 0, "exposure": 0 * books["exposure"]}
        books |= {"round_exposure": books["exposure"], "updates": 0}
    refused(variant, {**state, key: value}, state, books, wave, False)


# --- the ledger -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["uniform", "dapo", "resolve, tokens"])
def test_a_ledgers_state_that_could_not_be_is_refused(variant):
    for _, books, _ in stages(variant):
        for key, value in books.items():
            if key in ("problem", "schema_version"):
                continue
            for at in range(np.size(value)):
                for bad in IMPOSSIBLE:
                    changed = with_entry(np.asarray(value), at if np.ndim(value) else 0, bad)
                    ledger = BudgetLedger(fresh(variant)[0].problem)
                    before = ledger.state_dict()
                    if key == "tokens" and bad == 2**63 - 1 and ledger.problem.token_budget is None:
                        continue  # without a token budget any number may have been generated
                    with pytest.raises(StateError):
                        ledger.load_state_dict({**books, key: changed})
                    assert same_state(ledger.state_dict(), before)


def test_exposures_whose_sum_overflows_to_the_right_one_are_refused():
    ledger = BudgetLedger(PROBLEM)
    books = ledger.state_dict()
    wrapped = np.array([2**62, 2**62, 2**62, 2**62, 0, 0, 0])  # 0 modulo 2**64
    with pytest.raises(StateError, match="exposure"):
        ledger.load_state_dict({**books, "exposure": wrapped})
    allocator = make("cero_greedy", PROBLEM, 1)
    with pytest.raises(StateError, match="exposure"):
        allocator.load_state_dict({**allocator.state_dict(), "exposure": wrapped})
