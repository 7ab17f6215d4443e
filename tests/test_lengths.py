"""Lengths of simulated responses: paired, keyed by prompt and response, with exact means, counted and recorded."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cerolab import Allocation, AllocationProblem, available
from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.records import read_run
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.runs import run_method
from sim.worlds.lengths import Lengths, make_lengths

TEXT = "lognormal(60, 0.5, 2)"
PROBLEM = AllocationProblem(
    num_prompts=60, num_rounds=40, budget=1200, capacity=31, max_units=2, responses_per_unit=4,
    token_budget=120_000, max_tokens=256,
)  # fmt: skip
PLAIN = replace(PROBLEM, token_budget=None, max_tokens=None)
ROOT = Path(__file__).resolve().parents[1]


def lengths(text=TEXT, success=(0.5,) * 5, g=4, most=256, seed=0) -> Lengths:
    return Lengths(text, np.array(success), g, most, seed)


def test_the_same_responses_are_as_long_however_they_are_asked_for():
    one, other = lengths(), lengths()
    together = one.draw(Allocation([3, 1], [2, 1]))
    first, second = other.draw(Allocation([3], [1])), other.draw(Allocation([1, 3], [1, 1]))
    assert together.tolist() == [first[0] + second[1], second[0]]
    assert lengths(seed=1).draw(Allocation([3, 1], [2, 1])).tolist() != together.tolist()
    assert one.draw(Allocation([3, 1], [2, 1])).tolist() != together.tolist()


def test_an_empty_wave_has_no_tokens():
    assert lengths().draw(Allocation.empty()).tolist() == []


@pytest.mark.parametrize("text", [TEXT, "lognormal(60)", "lognormal(60, 0, 1, 0)", "lognormal(3, 2, 9, 2)"])
def test_the_expected_length_is_the_mean_of_those_drawn(text):
    source = lengths(text, success=(0.0, 0.3, 0.5, 0.9, 1.0), g=1, most=128)
    expected = source.expected()
    drawn = np.array([source.draw(Allocation(np.arange(5), np.full(5, 1))) for _ in range(4000)])
    assert drawn.min() >= 1
    assert drawn.max() <= 128
    error = drawn.std(axis=0) / np.sqrt(4000)
    assert (np.abs(drawn.mean(axis=0) - expected) <= 4.5 * error + 1e-9).all()


def test_rare_success_makes_long_responses_by_the_factor_that_is_named():
    mean = lengths("lognormal(1000, 0, 3)", success=(0.0, 0.5, 1.0), most=1 << 17).expected() - 0.5  # rounded up
    assert mean == pytest.approx([3000.0, 1000.0, 1000.0 / 3.0], rel=1e-3)


@pytest.mark.parametrize("arguments", ["", "0", "9, -1", "9, 1, 0", "a"])
def test_lengths_that_cannot_be_are_refused(arguments):
    with pytest.raises(InvalidValueError, match="lengths="):
        make_lengths(f"lognormal({arguments})", np.zeros(3), PROBLEM, 0)


def test_unknown_lengths_and_a_token_budget_without_lengths_are_refused():
    with pytest.raises(UnknownNameError, match="lognormal"):
        make_lengths("normal(3)", np.zeros(3), PLAIN, 0)
    with pytest.raises(InvalidValueError, match="lengths='none' counts no tokens of token_budget=120000"):
        make_lengths("none", np.zeros(3), PROBLEM, 0)
    assert make_lengths("none", np.zeros(3), PLAIN, 0) is None
    with pytest.raises(InvalidValueError, match="max_tokens"):
        lengths(most=None).expected()


# --- in the loop -----------------------------------------------------------------------------------------------


def test_a_scenario_without_lengths_has_the_run_ids_that_it_had():
    assert "lengths" not in Scenario().to_dict()
    assert Scenario(lengths="lognormal( 60 )").to_dict()["lengths"] == "lognormal(60)"
    run_id = Cell(Scenario(), PLAIN, 0).settings("x", Method(name="cero"), ()).run_id
    assert run_id == "cero-M60-K40-s0-c21ea0c79d"


def cell(problem=PROBLEM, seed=0) -> Cell:
    return Cell(Scenario(population="beta(0.5, 0.5)", lengths=TEXT), problem, seed)


@pytest.mark.parametrize("name", available())
def test_every_method_keeps_to_the_tokens_and_its_record_counts_them(name, tmp_path):
    results = run_method(cell(), Method(name=name), tmp_path, ("rounds", "groups", "pool"), {})
    (folder,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    record = read_run(folder)
    groups, rounds = record.table("groups"), record.table("rounds")
    assert groups["tokens"].sum() == rounds["tokens"].sum() == results["tokens"] <= PROBLEM.token_budget
    assert (groups["tokens"] >= groups["responses"]).all()
    assert results["tokens"] + results["unspent_tokens"] == PROBLEM.token_budget
    assert results["optimum_kind"] == "static upper bound at expected tokens"
    assert results["regret"] == pytest.approx(results["optimum"] - results["value"])
    assert results["unspent_tokens"] < 0.1 * PROBLEM.token_budget or results["unspent_units"] < 0.1 * PROBLEM.budget


def test_without_a_budget_tokens_are_counted_and_change_nothing(tmp_path):
    quiet = Cell(Scenario(population="beta(0.5, 0.5)"), PLAIN, 0)
    with_lengths = run_method(cell(PLAIN), Method(name="resolve"), tmp_path / "a", (), {})
    without = run_method(quiet, Method(name="resolve"), tmp_path / "b", (), {})
    assert with_lengths["tokens"] > 0
    assert with_lengths["unspent_tokens"] is None
    assert "tokens" not in without
    assert with_lengths["value"] == without["value"]
    assert with_lengths["optimum_kind"] == "static exact"


# --- what planning on tokens is worth ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("token_budget", ROOT / "examples" / "token_budget.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.BY_RESPONSES = replace(module.BY_RESPONSES, num_prompts=80, num_rounds=60, budget=1600, capacity=30)
    return module


def test_at_equal_tokens_planning_on_tokens_gets_more_than_on_responses_where_lengths_differ(example):
    found = [example.compare("beta(0.5, 0.5)", "lognormal(200, 0.5, 2)", seed) for seed in range(3)]
    for one in found:
        assert one["bound"] > one["resolve by tokens"] > 1.04 * one["resolve by responses"]
        assert one["resolve by responses"] > 1.05 * one["uniform"]
        assert 0.0 <= one["unspent share"] < 0.05


def test_and_loses_little_where_they_do_not(example):
    found = example.compare("beta(0.5, 0.5)", "lognormal(200, 0, 1)", 0)
    assert found["resolve by tokens"] == pytest.approx(found["resolve by responses"], rel=0.03)
