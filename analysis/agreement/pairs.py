"""Every pair of allocators: whether training orders them as its replica does, and how sure either is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations

from analysis.data.methods import method_name
from analysis.stats.contrast import Contrast, Standing, compare, corrected
from analysis.stats.scores import Score


class Kind(Enum):
    """What the two sources say of a pair; sure: a difference is shown after correction for all pairs."""

    SAME = "in the same order, sure in both"
    REVERSED = "reversed, sure in both"
    MEASURED = "sure in training, not in the replica"
    PREDICTED = "sure in the replica, not in training"
    UNKNOWN = "sure in neither"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two allocators in one score, as measured in training and as predicted by the replica."""

    measured: Contrast
    predicted: Contrast

    @property
    def kind(self) -> Kind:
        """Agreement of the two sources."""
        ours, theirs = self.measured.standing, self.predicted.standing
        if _sure(ours) and _sure(theirs):
            return Kind.SAME if ours == theirs else Kind.REVERSED
        if _sure(ours):
            return Kind.MEASURED
        return Kind.PREDICTED if _sure(theirs) else Kind.UNKNOWN

    @property
    def names(self) -> str:
        """``CERO with Uniform``."""
        return f"{self.measured.name} with {method_name(self.measured.other)}"

    def text(self) -> str:
        """``CERO with Uniform, measured -0.93 points (-1.76 to -0.11), predicted +0.35 points (+0.20 to +0.51)``."""
        measured, predicted = (
            f"{one.difference} ({one.score.span(one.mean)})" for one in (self.measured, self.predicted)
        )
        return f"{self.names}, measured {measured}, predicted {predicted}"

    def prediction(self) -> str:
        """``CERO with Uniform +0.35 points``."""
        return f"{self.names} {self.predicted.difference}"


def find_pairs(measured: Score, predicted: Score, methods: Sequence[str]) -> list[Pair]:
    """All pairs of ``methods`` that can be compared in both sources, each source corrected for all of its pairs."""
    found = []
    for one, other in combinations(methods, 2):
        ours, theirs = compare(measured, one, other), compare(predicted, one, other)
        if ours is not None and theirs is not None:
            found.append((ours, theirs))
    in_training = corrected(ours for ours, _ in found)
    in_replica = corrected(theirs for _, theirs in found)
    return [Pair(*pair) for pair in zip(in_training, in_replica, strict=True)]


def _sure(standing: Standing) -> bool:
    return standing in (Standing.AHEAD, Standing.BEHIND)
