"""catch_up=True spends the whole budget; it is plain CERO until the round in which plain CERO would fall behind."""

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st

from cerolab import AllocationProblem, make
from tests.strategies import Luck, play, problems, success_rates


def both(problem, luck, **options):
    """(plain, catch-up) runs with the same luck."""
    return tuple(play(make("cero", problem, catch_up=on, **options), problem, luck) for on in (False, True))


def first_forced_round(problem, plain) -> int | None:
    """The first round after which plain CERO has more left than the rounds to come can execute."""
    left = problem.budget - np.cumsum(plain.units)
    later = problem.capacity * (problem.num_rounds - 1 - np.arange(problem.num_rounds))
    behind = np.flatnonzero(left > later)
    return int(behind[0]) if behind.size else None


@given(data=st.data())
def test_catch_up_spends_all_and_is_plain_until_it_is_forced(data):
    problem = data.draw(problems(max_rounds=10))
    luck = Luck(problem, data.draw(success_rates(problem.num_prompts)), data.draw(st.integers(0, 99)))
    plain, caught_up = both(problem, luck, price=data.draw(st.sampled_from([0.5, 0.0, 0.8, 1.0])))
    assert caught_up.ledger.remaining == 0
    forced = first_forced_round(problem, plain)
    event("forced" if forced is not None else "never forced")
    # Plain CERO leaves units over exactly if it was behind in some round.
    assert (plain.ledger.remaining > 0) == (forced is not None)
    if forced is None:
        assert caught_up.pairs == plain.pairs
        return
    assert caught_up.pairs[:forced] == plain.pairs[:forced]
    # In the forced round the plain allocation comes first, and no more is added than must be.
    extended, short = caught_up.pairs[forced], plain.pairs[forced]
    assert extended[: len(short)] == short
    assert len(extended) > len(short) or not short
    later = problem.capacity * (problem.num_rounds - 1 - forced)
    before = problem.budget - sum(caught_up.units[:forced])
    assert caught_up.units[forced] == before - later


@given(problem=problems(max_rounds=10))
def test_catch_up_spends_all_even_on_a_hopeless_pool_at_the_highest_price(problem):
    _, caught_up = both(problem, Luck(problem, [0.0] * problem.num_prompts), price=1.0)
    assert caught_up.ledger.remaining == 0


def test_plain_cero_leaves_units_over_in_some_runs_and_none_in_others():
    left, forced_rounds = [], 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        problem = AllocationProblem(
            num_prompts=10, num_rounds=12, budget=int(draw.integers(20, 60)), capacity=6, max_units=2
        )
        plain, caught_up = both(problem, Luck(problem, draw.random(10).tolist(), seed))
        left.append(plain.ledger.remaining)
        forced_rounds += caught_up.pairs != plain.pairs
        assert caught_up.ledger.remaining == 0
    assert sum(units > 0 for units in left) == forced_rounds
    assert 5 < forced_rounds < 55


def test_duals_step_on_the_virtual_allocation_also_when_forced():
    # Price 1: the virtual allocation is empty, the budget must be spent all the same.
    problem = AllocationProblem(num_prompts=4, num_rounds=3, budget=12, capacity=4, max_units=1)
    plain, caught_up = (make("cero", problem, price=1.0, catch_up=on) for on in (False, True))
    luck = Luck(problem, [0.5] * 4)
    play(plain, problem, luck, rounds=1)
    play(caught_up, problem, luck, rounds=1)
    assert (plain.remaining, caught_up.remaining) == (12, 8)
    assert plain.price == caught_up.price < 1.0


def test_with_the_full_budget_every_round_is_filled_to_capacity():
    problem = AllocationProblem(num_prompts=5, num_rounds=7, budget=49, capacity=7, max_units=2)
    _, caught_up = both(problem, Luck(problem, [0.0, 0.2, 0.5, 0.9, 1.0]), price=0.9)
    assert caught_up.units == [7] * 7
