"""Learning: success rates that rise with the contrast of the groups that prompts get, and help each other.

Text form ``learning(rate, transfer, sharpening, power)``; left out, the last three are 0, 0 and 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import expit, logit

from cerolab import seeding
from cerolab.allocation import Wave
from cerolab.checks import real_number
from cerolab.types import FloatArray, IntArray
from sim.worlds.success_path import Path

LOGIT_CAP = 6.0  # success rates stay within 0.0025 .. 0.9975 where they move
_WIDE_CAP = 15.0  # with sharpening, which spreads logits far
_WIDTH = 4.0  # standard deviation of the local spread, in places of the ring
_TOPIC = 100  # prompts of a topic


@dataclass(frozen=True, slots=True)
class Learning:
    """How a policy learns.

    Attributes:
        rate: logits, over all prompts together, that a unit of contrast adds; see ``LearningPath``.
        transfer: share of them that goes to all prompts evenly, in [0, 1]; the rest stays with the prompt's neighbours.
        sharpening: a prompt at logit x gets 1 + sharpening * x times the even share. Prompts below logit
            -1 / sharpening lose: a policy that grows surer of its answers gives up those that it rarely gave.
        power: a contrast of A a prompt, summed over the rounds, adds rate * A^power logits, in (0, 1]; below 1 learning
            slows down, as in the power law of practice.
    """

    rate: float
    transfer: float = 0.0
    sharpening: float = 0.0
    power: float = 1.0

    def __post_init__(self) -> None:
        real_number("rate", self.rate, 0.0, math.inf, "give the first number of learning(...) as 0.2, say")
        real_number("transfer", self.transfer, 0.0, 1.0, "give the second number of learning(...) as a share")
        real_number("sharpening", self.sharpening, 0.0, math.inf, "give the third number of learning(...) as 0.5, say")
        real_number(
            "power", self.power, 0.0, 1.0, "give the fourth number of learning(...) as 1 or below", low_open=True
        )


class LearningPath(Path):
    """Prompts are learned, and help others, where groups show contrast.

    Prompts lie on a ring, sorted by difficulty within topics, so that neighbours are alike. A group of n responses with
    S successes has the contrast n * S (n - S) / n^2 / g and adds rate * contrast logits: spread around its prompt by a
    Gaussian kernel, but for the share ``transfer``, which goes to all prompts. A held-out part of the ring, never
    trained on, learns by what reaches it: its mean success rate is the accuracy.
    """

    def __init__(self, success_M: FloatArray, heldout: FloatArray, learning: Learning, group_unit: int, seed: int):
        rng = seeding.generator("learning ring", success_M.size, seed)
        every = np.concatenate([success_M, heldout])
        topics = max(1, every.size // _TOPIC)
        topic = rng.integers(topics, size=every.size)
        ring = np.lexsort((every, topic))  # prompt at each place of the ring
        place = np.empty_like(ring)
        place[ring] = np.arange(every.size)
        self._place_M: IntArray = place[: success_M.size]
        self._place_H: IntArray = place[success_M.size :]
        self._cap = _WIDE_CAP if learning.sharpening else LOGIT_CAP
        self._logit = np.clip(logit(every[ring]), -self._cap, self._cap)
        self._learning = learning
        self._group_unit = group_unit
        self._contrast = 0.0  # a prompt, summed over the rounds; kept where the power is below 1
        self._refresh()

    def _refresh(self) -> None:
        self._success = expit(self._logit)
        self.success_M = self._success[self._place_M]

    def _move(self, trained: Wave) -> None:
        """Logits rise around the prompts whose groups had mixed rewards, and everywhere by the even share."""
        rate, transfer = self._learning.rate, self._learning.transfer
        n = np.asarray(trained.feedback.num_responses, np.float64)
        s = np.asarray(trained.feedback.reward_sum, np.float64)
        push = np.zeros(self._logit.size)
        push[self._place_M[trained.allocation.prompts]] = rate / self._group_unit * s * (n - s) / n
        if not push.any():
            return
        if self._learning.power < 1.0:
            push *= self._slowed(push.mean() / rate)
        if transfer < 1.0:
            self._logit += (1.0 - transfer) * ndimage.gaussian_filter1d(push, _WIDTH, mode="wrap", truncate=3.0)
        if transfer:
            self._logit += transfer * push.mean() * (1.0 + self._learning.sharpening * self._logit)
        np.clip(self._logit, -self._cap, self._cap, out=self._logit)
        self._refresh()

    def _slowed(self, contrast: float) -> float:
        """What a round's mean contrast adds to (all contrast so far)^power, as a multiple of it."""
        before, power = self._contrast, self._learning.power
        self._contrast += contrast
        return (self._contrast**power - before**power) / contrast

    @property
    def heldout_success(self) -> FloatArray:
        """[H] of the prompts that are never trained on."""
        return self._success[self._place_H]
