"""Rules of chance: decisions follow from seed and feedback alone."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from cerolab.registry import allocator_class
from cerolab.testing.play import Play, Scenario, differing, one_round, pairs_of, play
from cerolab.testing.rules.rule import require, rule

_OTHER_PROCESS = """
import importlib, pickle, sys
module, scenario = pickle.load(sys.stdin.buffer)
importlib.import_module(module)
from cerolab.testing.rules.chance import decisions
print(decisions(scenario))
"""


@rule()
def seeded(scenario: Scenario) -> None:
    """Every random number is drawn from the seed."""
    one, again, other = _under_global_seeds(scenario, (1, 1, 2))
    for result, how in ((again, "the second time"), (other, "with another state of the global generators")):
        require(one.pairs == result.pairs, f"same seed, same feedback: it decides otherwise {how}; see cerolab.seeding")
        state = differing(one.allocator.state_dict(), result.allocator.state_dict())
        require(not state, f"same seed, same feedback: {', '.join(state)} of the state is another {how}")


@rule(once=True)
def same_in_another_process(scenario: Scenario) -> None:
    """Decisions are the same in another process, whatever the order of its sets and hashes."""
    import pickle

    module = allocator_class(scenario.name).__module__
    if module == "__main__" or find_spec(module) is None:  # made in an interactive session: no other process has it
        return
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    seeds = {"1", "2"} - {os.environ.get("PYTHONHASHSEED", "random")}
    here = decisions(scenario)
    for seed in sorted(seeds):
        done = subprocess.run(
            [sys.executable, "-c", _OTHER_PROCESS],
            input=pickle.dumps((module, scenario)),
            capture_output=True,
            env={**environment, "PYTHONHASHSEED": seed},
        )
        if b"unknown allocator" in done.stderr:
            return  # nor this one, which is registered by other code than its module
        require(done.returncode == 0, f"another process could not run it: {done.stderr.decode()[-300:]}")
        require(
            done.stdout.decode().strip() == here,
            f"another process (PYTHONHASHSEED={seed}) decides otherwise: is the order of a set or of hashes used?",
        )


@rule()
def independent(scenario: Scenario) -> None:
    """Two allocators at once do not disturb each other."""
    alone = play(scenario.make(), scenario.problem, scenario.luck).pairs
    one, other = scenario.make(), replace(scenario, seed=scenario.seed + 1).make()
    pairs = []
    for k in range(scenario.problem.num_rounds):
        pairs += pairs_of(one_round(one, scenario.luck))
        one_round(other, scenario.luck)
        require(pairs == alone[: len(pairs)], f"with another one beside it, it decides otherwise in round {k}")


def decisions(scenario: Scenario) -> str:
    """Digest of all that is decided over a horizon."""
    return hashlib.sha256(repr(play(scenario.make(), scenario.problem, scenario.luck).pairs).encode()).hexdigest()


def _under_global_seeds(scenario: Scenario, seeds: tuple[int, ...]) -> list[Play]:
    results = []
    for seed in seeds:
        with _global_seed(seed):
            before = random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
            results.append(play(scenario.make(), scenario.problem, scenario.luck))
            require(before[0] == random.getstate(), "it draws from Python's global generator; see cerolab.seeding")
            require(
                np.array_equal(before[1], np.random.get_state()[1]),  # type: ignore[index]  # noqa: NPY002
                "it draws from NumPy's global generator; see cerolab.seeding",
            )
    return results


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
