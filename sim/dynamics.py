"""How success rates move over the rounds: static, drift, abrupt shift, learning.

Text form: ``static``, ``drift(V)``, ``shift(fraction)``, ``learning(rate)``. The path of drift and shift is fixed by
the seed, so every allocator meets the same; under learning the path is of the allocator's own making.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy import ndimage, optimize
from scipy.special import expit, logit

from cerolab import seeding
from cerolab.allocation import FloatArray, IntArray, Wave
from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.problem import AllocationProblem
from cerolab.spec import parse_call
from cerolab.value import path_variation

KNOWN = ("static", "drift", "shift", "learning")
_MOST_PATH_ENTRIES = 50_000_000
_LOGIT_CAP = 6.0  # success rates stay within 0.0025 .. 0.9975 where they move


class Path(ABC):
    """Success rates over one run: ``success_M`` is the present one, ``advance`` goes to the next round."""

    success_M: FloatArray

    @abstractmethod
    def advance(self, waves: Sequence[Wave]) -> None:
        """Move to the next round, after this round's waves."""

    @property
    def fixed(self) -> bool:
        """Whether the rates never move."""
        return False

    @property
    def known_success_KM(self) -> FloatArray | None:
        """Success rates [K, M] of the whole path where they move without the allocator's doing, else None."""
        return None

    def heldout_accuracy(self) -> float:
        """Mean success rate of the held-out part of the population; nan where there is none."""
        return float("nan")


class StaticPath(Path):
    """Rates that never move."""

    def __init__(self, success_M: FloatArray):
        self.success_M = success_M

    @property
    def fixed(self) -> bool:
        """True."""
        return True

    def advance(self, waves: Sequence[Wave]) -> None:
        """Nothing moves."""


class GivenPath(Path):
    """Rates along a path [K, M] that is known beforehand."""

    def __init__(self, success_KM: FloatArray):
        self._success_KM = success_KM
        self._round = 0
        self.success_M = success_KM[0]

    @property
    def known_success_KM(self) -> FloatArray:
        """The path."""
        return self._success_KM

    def advance(self, waves: Sequence[Wave]) -> None:
        """The next row; the last one stays."""
        self._round = min(self._round + 1, len(self._success_KM) - 1)
        self.success_M = self._success_KM[self._round]


class LearningPath(Path):
    """Prompts are learned, and help their neighbours, where groups show contrast.

    Prompts lie on a ring, sorted by difficulty within topics, so that neighbours are alike. A group of n responses with
    S successes adds rate * n * S (n - S) / n^2 / g to the logits around its prompt, spread by a Gaussian kernel. A
    held-out part of the ring, never trained on, learns by that spread alone: its mean success rate is the accuracy.
    """

    def __init__(self, success_M: FloatArray, heldout: FloatArray, rate: float, group_unit: int, seed: int):
        rng = seeding.generator("learning ring", success_M.size, seed)
        every = np.concatenate([success_M, heldout])
        topics = max(1, every.size // 100)
        topic = rng.integers(topics, size=every.size)
        ring = np.lexsort((every, topic))  # prompt at each place of the ring
        place = np.empty_like(ring)
        place[ring] = np.arange(every.size)
        self._place_M: IntArray = place[: success_M.size]
        self._place_H: IntArray = place[success_M.size :]
        self._logit = np.clip(logit(every[ring]), -_LOGIT_CAP, _LOGIT_CAP)
        self._rate = rate / group_unit
        self._width = 4.0
        self._refresh()

    def _refresh(self) -> None:
        self._success = expit(self._logit)
        self.success_M = self._success[self._place_M]

    def advance(self, waves: Sequence[Wave]) -> None:
        """Logits rise around the prompts whose groups had mixed rewards."""
        push = np.zeros(self._logit.size)
        for allocation, feedback in waves:
            n = np.asarray(feedback.num_responses, np.float64)
            s = np.asarray(feedback.reward_sum, np.float64)
            push[self._place_M[allocation.prompts]] += self._rate * s * (n - s) / n
        if push.any():
            self._logit += ndimage.gaussian_filter1d(push, self._width, mode="wrap", truncate=3.0)
            np.minimum(self._logit, _LOGIT_CAP, out=self._logit)
            self._refresh()

    def heldout_accuracy(self) -> float:
        """Mean success rate of the prompts that are never trained on."""
        return float(self._success[self._place_H].mean())


def make_path(text: str, success_M: FloatArray, heldout: FloatArray, problem: AllocationProblem, seed: int) -> Path:
    """The path behind a text form.

    Args:
        text: ``static``; ``drift(V)``: a random walk in the logit, its step chosen so that V_K = V;
            ``shift(f)``: half-way, a share f of the prompts swap their success rates among each other;
            ``learning(rate)``: see ``LearningPath``.
        success_M: success rates at the start.
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
    (amount,) = call.numbers("dynamics", 1, 1)
    if not 0 <= amount < np.inf:
        raise InvalidValueError("dynamics", text, "has a negative or infinite argument", "give a number >= 0")
    if call.name == "learning":
        return LearningPath(success_M, heldout, amount, problem.responses_per_unit, seed)
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
    start = np.clip(logit(success_M), -_LOGIT_CAP, _LOGIT_CAP)

    def path(scale: float) -> FloatArray:
        # Reflect at the caps, so that no prompt gets stuck.
        free = start + scale * walk + _LOGIT_CAP
        folded = np.abs((free + 2 * _LOGIT_CAP) % (4 * _LOGIT_CAP) - 2 * _LOGIT_CAP)
        return expit(folded - _LOGIT_CAP)

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
