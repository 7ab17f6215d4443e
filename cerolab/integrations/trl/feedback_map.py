"""Rewards of any size as the numbers in [0, 1] that an allocator learns from: increasing maps, set up as rewards come.

An allocator takes a reward for a share of success: its posterior is a Beta law, CERO's value of a prompt is at most
1/4. Rewards in the field are lengths, penalties, sums, scores of reward models. Two rewards that differ are told apart
after each of these maps, equal ones stay equal. What was observed earlier was mapped by what had been seen by then and
is not mapped again; as the range grows it fades like all old evidence, by new visits to the prompt and by forgetting.

The maps see the rewards of all processes, hence are the same on each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cerolab.errors import InvalidValueError, StateError, UnknownNameError, shown

FloatArray = npt.NDArray[np.float64]
_WINDOW = 4096  # rewards that ranks are taken among
_ROUNDING = 1e-6  # relative: rewards of float32 that differ by less are one value


class FeedbackMap:
    """``feedback_map="none"``: rewards are in [0, 1] and stay what they are.

    Attributes:
        kind: its name.
        state: float64 vector, all that a checkpoint needs.
    """

    kind: ClassVar[str] = "none"

    def __init__(self) -> None:
        self.state: FloatArray = np.empty(0)

    @property
    def active(self) -> bool:
        """Whether rewards are changed."""
        return False

    def __call__(self, reward_N: FloatArray) -> FloatArray:
        """The rewards [N], all finite, in [0, 1].

        Raises:
            InvalidValueError: the first reward outside [0, 1], where that is not mended.
        """
        outside = (reward_N < 0.0) | (reward_N > 1.0)
        if outside.any():
            raise InvalidValueError(
                "reward",
                float(reward_N[outside][0]),
                "is outside [0, 1], and the allocator learns from it as it is (feedback_map='none')",
                "leave feedback_map at 'range', or change what the allocator learns from",
            )
        return reward_N

    def metrics(self) -> dict[str, float]:
        """Numbers to log."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Kind and state."""
        return {"kind": np.array(self.kind), "state": self.state.copy()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue where ``state_dict`` was taken.

        Args:
            saved: empty for checkpoints of earlier versions, which knew rewards in [0, 1] only.

        Raises:
            StateError: a state of another map, or one that cannot be; nothing is changed.
        """
        if not saved:
            self.state = self._before()
            return
        kind, state = str(saved.get("kind")), np.asarray(saved.get("state"))
        if kind != self.kind:
            raise StateError(f"it was saved with feedback_map={shown(kind)}, this training has {self.kind!r}")
        if state.dtype != np.float64 or state.ndim != 1 or not self._possible(state):
            raise StateError(f"the state of feedback_map={self.kind!r} is damaged")
        self.state = state.copy()

    def _before(self) -> FloatArray:
        """The state after rewards in [0, 1] of which nothing else is known."""
        return np.empty(0)

    def _possible(self, state: FloatArray) -> bool:
        return not state.size


class RangeMap(FeedbackMap):
    """``feedback_map="range"``: rewards as they are while all are in [0, 1]; else the range seen so far on [0, 1].

    The lowest reward seen so far becomes 0, the highest 1. While all rewards are one value outside [0, 1], it becomes
    the nearer end. Rewards that differ by less than about 1/30,000 of the range are the same to the allocator
    (``cerolab.groups.contrast``). The state is (lowest, highest), empty before the first reward.
    """

    kind = "range"

    @property
    def active(self) -> bool:
        """Whether a reward outside [0, 1] was seen."""
        return bool(self.state.size) and not 0.0 <= self.state[0] <= self.state[1] <= 1.0

    def __call__(self, reward_N: FloatArray) -> FloatArray:
        """The rewards [N], all finite, in [0, 1]; these count as seen."""
        if reward_N.size:
            seen = np.concatenate([self.state, reward_N])
            self.state = np.array([seen.min(), seen.max()])
        if not self.active:
            return reward_N
        low, high = self.state
        one_value = high - low <= _ROUNDING * max(-low, high)
        return np.clip(reward_N, 0.0, 1.0) if one_value else (reward_N - low) / (high - low)

    def metrics(self) -> dict[str, float]:
        """The range seen so far."""
        return dict(zip(("feedback/lowest", "feedback/highest"), self.state.tolist(), strict=False))

    def _before(self) -> FloatArray:
        return np.array([0.0, 1.0])

    def _possible(self, state: FloatArray) -> bool:
        return state.size == 0 or (state.size == 2 and bool(np.isfinite(state).all()) and bool(state[0] <= state[1]))


class RankMap(FeedbackMap):
    """``feedback_map="rank"``: ranks among the last 4,096 rewards, the lowest of them on 0 and the highest on 1.

    Equal rewards share their mean rank; rewards of two values become 0 and 1. A reward that is far from the others does
    not press them together, as it does in a range. Ranks within a group would not do: every group's mean is 1/2 then,
    and a hopeless prompt looks like one that is solved half the time. The state is those rewards, oldest first.
    """

    kind = "rank"

    @property
    def active(self) -> bool:
        """Always."""
        return True

    def __call__(self, reward_N: FloatArray) -> FloatArray:
        """The rewards [N], all finite, in [0, 1]; these are among the last ones."""
        recent = np.concatenate([self.state, reward_N])
        self.state = recent[-_WINDOW:]
        if not reward_N.size:
            return reward_N
        ordered = np.sort(recent)

        def rank(values: FloatArray) -> FloatArray:  # twice the mean rank
            return (np.searchsorted(ordered, values) + np.searchsorted(ordered, values, "right")).astype(np.float64)

        least, most = rank(ordered[[0, -1]])
        return np.clip(reward_N, 0.0, 1.0) if least == most else (rank(reward_N) - least) / (most - least)

    def metrics(self) -> dict[str, float]:
        """The middle of the last rewards."""
        return {"feedback/median": float(np.median(self.state))} if self.state.size else {}

    def _possible(self, state: FloatArray) -> bool:
        return state.size <= _WINDOW and bool(np.isfinite(state).all())


FEEDBACK_MAPS: Mapping[str, type[FeedbackMap]] = {kind.kind: kind for kind in (RangeMap, RankMap, FeedbackMap)}


def make_map(kind: str) -> FeedbackMap:
    """A fresh map by its name.

    Raises:
        UnknownNameError: no such map; lists the known ones.
    """
    if kind not in FEEDBACK_MAPS:
        raise UnknownNameError("feedback_map", kind, FEEDBACK_MAPS)
    return FEEDBACK_MAPS[kind]()
