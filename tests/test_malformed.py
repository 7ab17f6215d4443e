"""A thousand settings that nobody should give: each works, or ends in an error of ours that names what is wrong."""

from __future__ import annotations

import random
import warnings
from dataclasses import fields
from functools import partial

import numpy as np
import pytest

from cerolab import AllocationProblem, available, make
from cerolab.errors import CerolabError
from cerolab.registry import allocator_class
from cerolab.tools.method import Method
from llm.settings import TrainSettings
from sim.experiment.cell import Scenario
from sim.leaderboard_settings import LeaderboardSettings, parse_scenario
from sim.sweep_settings import SweepSettings
from tests.strategies import options_for

PROBLEM = AllocationProblem(num_prompts=6, num_rounds=5, budget=20, capacity=5, max_units=2, responses_per_unit=2)
JUNK = (
    None, True, False, 0, -1, 1, 2, 10**30, -(10**30), 0.0, -0.0, 0.5, 1.5, -1e-300, 1e308, float("nan"), float("inf"),
    float("-inf"), "", " ", "pool", "0.5", "nan", "cero", "(1, 1)", "x" * 500, "\x00", "é", (), (1,), (1, 1), (0, 0),
    (1, 2, 3), ("a", "b"), (float("nan"), 1), [], [1, 2], {}, {"a": 1}, set(), b"1", 1j, object(), np.float64(0.5),
    np.int64(3), np.array(2), np.array([1.0, 2.0]), np.zeros((2, 2)), np.array(["a"]), int, lambda: 1,
)  # fmt: skip
WORDS = ("beta", "point", "static", "drift", "learning", "growing", "(", ")", ",", "*", "+", "0.5", "-1", "nan",
         "1e999", " ", "under", "with", "graded", "rewards", "=", "\n", "'", "[", "True", "cero",
         "__import__('os')")  # fmt: skip


def junk(rng):
    return rng.choice(JUNK)


def text(rng):
    return "".join(rng.choice(WORDS) for _ in range(rng.randint(0, 8)))


def of_an_allocator(rng):
    name = rng.choice(available())
    field = rng.choice([*(field.name for field in fields(allocator_class(name).Options)), "no_such_option"])
    given = {**options_for(name, PROBLEM, [0.5] * 6), field: junk(rng)}
    return name, field, lambda: make(name, PROBLEM, 0, **given).allocate()


def of_a_problem(rng):
    field = rng.choice([field.name for field in fields(AllocationProblem)])
    given = {**PROBLEM.to_dict(), field: junk(rng)}
    return "problem", field, lambda: AllocationProblem(**given)


def of_a_seed(rng):
    name, seed = rng.choice(available()), junk(rng)
    return name, "seed", lambda: make(name, PROBLEM, seed, **options_for(name, PROBLEM, [0.5] * 6))


def of_a_method(rng):
    given = text(rng)
    return "method", "", lambda: Method.parse(given)


def of_a_scenario(rng):
    field, given = rng.choice(("population", "dynamics", "rewards", "lengths")), text(rng)
    return "scenario", "", lambda: Scenario(**{field: given})


def of_a_leaderboard(rng):
    given = text(rng)
    return "leaderboard", "", lambda: parse_scenario(given)


KINDS = (of_an_allocator, of_an_allocator, of_a_problem, of_a_seed, of_a_method, of_a_scenario, of_a_leaderboard)


def complaint(attempt):
    """What our own error says; None where it works. Any other error, or a warning, goes on up."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            attempt()
        except CerolabError as error:
            return str(error)
    return None


@pytest.mark.parametrize("batch", range(20))
def test_it_works_or_says_what_is_wrong(batch):
    rng = random.Random(batch)
    for _ in range(50):
        what, field, attempt = rng.choice(KINDS)(rng)
        said = complaint(attempt)
        if said is None:
            continue
        assert 10 < len(said) < 3000, (what, field, said)
        if what in ("problem", *available()) and field not in ("no_such_option", "schedule"):  # whose path is named
            assert field.split("_")[0] in said, (what, field, said)


NUMBERS = (0, -1, -(10**9), float("nan"), float("inf"), float("-inf"), 1e300)


@pytest.mark.parametrize("settings", [SweepSettings, LeaderboardSettings, TrainSettings])
def test_numbers_that_cannot_be_are_refused_or_fit(settings):
    defaults = settings()
    for field in fields(settings):
        default = getattr(defaults, field.name)
        if isinstance(default, bool) or not isinstance(default, int | float):
            continue
        for number in NUMBERS:
            given = int(number) if isinstance(default, int) and np.isfinite(number) else number
            said = complaint(partial(settings, **{field.name: given}))
            assert said is None or field.name in said.replace("-", "_"), (field.name, given, said)
