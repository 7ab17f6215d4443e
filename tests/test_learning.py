"""The learning dynamics beyond a rate: what goes to the whole pool, who loses, and how learning slows down."""

import numpy as np
import pytest
from scipy.special import expit, logit

from cerolab import Allocation, AllocationProblem, Feedback, Wave
from cerolab.errors import CerolabError
from cerolab.groups import whole_groups
from cerolab.records import read_run
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.runs import run_method
from sim.worlds.dynamics import make_path

PROBLEM = AllocationProblem(num_prompts=200, num_rounds=40, budget=4000, capacity=103, max_units=2)
START = np.random.default_rng(0).uniform(0.02, 0.98, 200)
HELDOUT = np.random.default_rng(1).uniform(0.02, 0.98, 50)
PER_GROUP = 8 * 0.25  # contrast of 4 successes in 8 responses, g = 1


def path(text):
    return make_path(text, START, HELDOUT, PROBLEM, seed=0)


def mixed(prompts):
    allocation = Allocation(np.asarray(prompts), np.full(len(prompts), 2))
    return Wave(allocation, Feedback(np.full(len(prompts), 8), np.full(len(prompts), 4)))


def risen(learning, prompts, rounds=1):
    """Logits that every prompt gains."""
    before = logit(np.concatenate([learning.success_M, learning.heldout_success]))
    for _ in range(rounds):
        learning.advance(mixed(prompts))
    return logit(np.concatenate([learning.success_M, learning.heldout_success])) - before


def test_left_out_numbers_are_no_transfer_no_sharpening_and_no_slowing_down():
    short, long = path("learning(2)"), path("learning(2, 0, 0, 1)")
    for _ in range(5):
        for learning in (short, long):
            learning.advance(mixed([1, 7, 30]))
    assert np.array_equal(short.success_M, long.success_M)
    assert np.array_equal(short.heldout_success, long.heldout_success)


def test_what_is_transferred_reaches_everybody_evenly_and_nothing_is_lost():
    assert risen(path("learning(10, 1)"), [7, 8]) == pytest.approx(np.full(250, 10 * 2 * PER_GROUP / 250))
    half, local = risen(path("learning(10, 0.5)"), [7, 8]), risen(path("learning(10)"), [7, 8])
    assert half == pytest.approx(0.5 * local + 0.5 * 10 * 2 * PER_GROUP / 250, abs=1e-9)
    assert half.sum() == pytest.approx(local.sum(), rel=1e-6)


def test_sharpening_lifts_the_strong_and_drops_the_weak():
    learning = path("learning(10, 1, 0.5)")
    before = np.concatenate([learning.success_M, learning.heldout_success])
    gain = risen(learning, [7, 8])
    assert gain == pytest.approx(10 * 2 * PER_GROUP / 250 * (1 + 0.5 * logit(before)))
    pivot = expit(-1 / 0.5)
    assert (gain[before > pivot + 1e-6] > 0).all()
    assert (gain[before < pivot - 1e-6] < 0).all()
    assert (before < pivot).sum() > 10


@pytest.mark.parametrize("text", ["learning(1, 1, 0, 0.5)", "learning(1, 0.3, 0, 0.5)"])
def test_progress_is_a_power_of_all_contrast_so_far(text):
    total = [risen(path(text), [7, 8], rounds).sum() for rounds in (1, 4, 16)]
    assert np.divide(total[1:], total[:-1]) == pytest.approx([2.0, 2.0], rel=1e-6)
    assert total[0] / 250 == pytest.approx((2 * PER_GROUP / 250) ** 0.5, rel=1e-6)


def test_rounds_without_contrast_leave_everything_where_it_was():
    learning = path("learning(10, 0.5, 0.5, 0.5)")
    before = learning.success_M.copy()
    nothing = Allocation(np.array([3]), np.array([2]))
    learning.advance(Wave(nothing, Feedback(np.array([8]), np.array([8]))))
    learning.advance(whole_groups([]))
    assert np.array_equal(learning.success_M, before)
    assert learning.round_index == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning", "has 0 arguments; give 1 to 4"),
        ("learning(1, 1, 1, 1, 1)", "has 5 arguments; give 1 to 4"),
        ("learning(-1)", "rate=-1.0 is not a finite number >= 0"),
        ("learning(1, 1.5)", r"transfer=1.5 is outside \[0, 1\]; give the second number of learning"),
        ("learning(1, 0, -1)", "sharpening=-1.0 is not a finite number >= 0"),
        ("learning(1, 0, 0, 0)", r"power=0.0 is outside \(0, 1\]"),
        ("learning(1, 0, 0, 2)", r"power=2.0 is outside \(0, 1\]"),
    ],
)
def test_a_number_that_cannot_be_is_named(text, message):
    with pytest.raises(CerolabError, match=message):
        path(text)


def test_evaluations_run_from_before_the_first_round_to_after_the_last_and_know_pass_at_16(tmp_path):
    problem = AllocationProblem(num_prompts=80, num_rounds=120, budget=1200, capacity=11, responses_per_unit=4)
    cell = Cell(Scenario(population="beta(0.3, 1)", dynamics="learning(20, 0.9, 0.4, 0.6)"), problem, 0)
    results = run_method(cell, Method(name="uniform"), tmp_path / "tests", ("evals",), {})
    (folder,) = (tmp_path / "tests").iterdir()
    evals = read_run(folder).table("evals")
    assert evals["round"].tolist() == list(range(0, 121, 2))
    assert evals["responses_spent"].tolist() == (evals["round"] * 40).tolist()
    assert evals["avg_at_n"].iloc[[0, -1]].tolist() == pytest.approx(
        [results["heldout_start"], results["heldout_end"]], rel=1e-11
    )
    heldout = cell.path().heldout_success
    assert evals["pass_at_n"].iloc[0] == pytest.approx(np.mean(1 - (1 - heldout) ** 16))
    assert (evals["pass_at_n"] > evals["avg_at_n"]).all()


def test_an_oracle_that_looks_seldom_decides_on_old_rates_and_has_a_run_id_of_its_own(tmp_path):
    world = {"population": "beta(0.5, 0.5)", "dynamics": "learning(3, 0.5)"}
    problem = AllocationProblem(num_prompts=80, num_rounds=30, budget=600, capacity=21, responses_per_unit=4)
    oracle = Method(name="oracle", options={"recovery": 2})
    rates, ids = {}, {}
    for every in (1, 7):
        cell = Cell(Scenario(**world, oracle_every=every), problem, 0)
        ids[every] = cell.settings("x", oracle, ()).run_id
        rates[every] = run_method(cell, oracle, tmp_path / str(every), (), {})["effective_group_rate"]
        path, rewards = cell.path(), cell.rewards()
        allocator, seen = cell.allocator(oracle, path, rewards), []
        for _ in range(14):
            seen.append(allocator.predicted_value())
            path.advance(mixed(np.arange(40)))
        fresh = [k for k in range(1, 14) if not np.array_equal(seen[k], seen[k - 1])]
        assert fresh == [k for k in range(1, 14) if k % every == 0]
    assert rates[7] < rates[1]
    assert ids[1] != ids[7]
    assert "oracle_every" not in Scenario(**world).to_dict()
    with pytest.raises(CerolabError, match="oracle_every=0 is not positive"):
        Scenario(oracle_every=0)
