"""How success rates and the pool move over the rounds: static, drift, abrupt shift, learning, growing.

Text form: ``static``, ``drift(V)``, ``shift(fraction)``, ``learning(rate, transfer, sharpening, power)``,
``growing(start, batches)``. The path of drift and shift is fixed by the seed, so every allocator meets the same; under
learning it is of the allocator's own making.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy.special import expit, logit

from cerolab import seeding
from cerolab.allocation import Wave
from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.optimum.value import path_variation
from cerolab.problem import AllocationProblem
from cerolab.tools.spec import parse_call
from cerolab.types import FloatArray
from sim.worlds.growing import GrowingPath, Growth
from sim.worlds.policy_learning import LOGIT_CAP, Learning, LearningPath
from sim.worlds.success_path import Path

KNOWN = ("static", "drift", "shift", "learning", "growing")
_MOST_PATH_ENTRIES = 50_000_000


class StaticPath(Path):
    """Rates that never move."""

    def __init__(self, success_M: FloatArray):
        self.success_M = success_M

    @property
    def fixed(self) -> bool:
        """True."""
        return True

    def _move(self, trained: Wave) -> None:
        """Nothing moves."""


class GivenPath(Path):
    """Rates along a path [K, M] that is known beforehand."""

    def __init__(self, success_KM: FloatArray):
        self._success_KM = success_KM
        self.success_M = success_KM[0]

    @property
    def known_success_KM(self) -> FloatArray:
        """The path."""
        return self._success_KM

    def _move(self, trained: Wave) -> None:
        """The next row; the last one stays."""
        self.success_M = self._success_KM[min(self.round_index, len(self._success_KM) - 1)]


def make_path(text: str, success_M: FloatArray, heldout: FloatArray, problem: AllocationProblem, seed: int) -> Path:
    """The path behind a text form.

    Args:
        text: ``static``; ``drift(V)``: a random walk in the logit, its step chosen so that V_K = V;
            ``shift(f)``: half-way, a share f of the prompts swap their success rates among each other;
            ``learning(rate)`` with up to three more numbers: see ``sim.worlds.policy_learning``;
            ``growing(start, batches)``: see ``sim.worlds.growing``.
        success_M: success rates at the start, or on arrival.
        heldout: success rates of the held-out prompts, used by learning.

    Raises:
        InvalidValueError, UnknownNameError: names the text and what would be right.
    """
    call = parse_call("dynamics", text)
    if call.name == "static":
        call.numbers("dynamics", 0, 0)
        return StaticPath(success_M)
    if call.name not in KNOWN:
        raise UnknownNameError("dynamics", call.name, KNOWN)
    if call.name == "learning":
        learning = Learning(*call.numbers("dynamics", 1, 4))
        return LearningPath(success_M, heldout, learning, problem.responses_per_unit, seed)
    if call.name == "growing":
        growth = Growth.of(*call.numbers("dynamics", 2, 2))
        return GrowingPath(success_M, growth.arrivals(problem))
    (amount,) = call.numbers("dynamics", 1, 1)
    if not 0 <= amount < np.inf:
        raise InvalidValueError("dynamics", text, "has a negative or infinite argument", "give a number >= 0")
    shape = (problem.num_rounds, success_M.size)
    if shape[0] * shape[1] > _MOST_PATH_ENTRIES:
        raise InvalidValueError(
            "dynamics", text, f"needs a path of {shape[0]} x {shape[1]} rates", "use fewer rounds or prompts"
        )
    if call.name == "drift":
        return GivenPath(_random_walk(success_M, shape, amount, seed))
    if amount > 1:
        raise InvalidValueError("dynamics", text, "is no share of prompts", "give a number in [0, 1]")
    rng = seeding.generator("shift", success_M.size, seed)
    moved = rng.permutation(success_M.size)[: round(amount * success_M.size)]
    after = success_M.copy()
    after[moved] = success_M[np.roll(moved, 1)]
    path = np.broadcast_to(success_M, shape).copy()
    path[shape[0] // 2 :] = after
    return GivenPath(path)


def _random_walk(success_M: FloatArray, shape: tuple[int, int], variation: float, seed: int) -> FloatArray:
    """A path [K, M] with V_K = sum_k max_i |q_i,k+1 - q_ik| equal to ``variation``."""
    steps = seeding.generator("drift", *shape, seed).standard_normal((shape[0] - 1, shape[1]))
    walk = np.concatenate([np.zeros((1, shape[1])), np.cumsum(steps, axis=0)])
    start = np.clip(logit(success_M), -LOGIT_CAP, LOGIT_CAP)

    def path(scale: float) -> FloatArray:
        # Reflect at the caps, so that no prompt gets stuck.
        free = start + scale * walk + LOGIT_CAP
        folded = np.abs((free + 2 * LOGIT_CAP) % (4 * LOGIT_CAP) - 2 * LOGIT_CAP)
        return expit(folded - LOGIT_CAP)

    def excess(log_scale: float) -> float:
        p = path(float(np.exp(log_scale)))
        return path_variation(p * (1 - p)) - variation

    if variation == 0 or shape[0] == 1:
        if variation > 0:
            raise InvalidValueError("dynamics", f"drift({variation:g})", "cannot be had in one round", "use drift(0)")
        return path(0.0)
    low, high = np.log(1e-9), np.log(3.0)
    if excess(high) < 0:
        most = excess(high) + variation
        raise InvalidValueError(
            "dynamics", f"drift({variation:g})", f"is more than {shape[0]} rounds can vary", f"at most {most:.3g}"
        )
    return path(float(np.exp(optimize.brentq(excess, low, high, xtol=1e-6))))
