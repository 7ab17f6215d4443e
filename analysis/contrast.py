"""One allocator against another: the paired difference over seeds, and what may be claimed from it.

A claim needs two or more seeds that both have. "Ahead" and "behind" are said where both the paired-bootstrap interval
and Student's t-interval of the mean difference exclude zero, "leaning" where only one of them does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from analysis.curves import ROUNDING
from analysis.scores import Score
from analysis.statistics import Interval, mean_interval, paired_difference
from analysis.style import look

RULE = (
    "Ahead and behind: over the seeds that both have, the 95 % paired-bootstrap interval and the 95 % t-interval of "
    "the mean difference both exclude zero. Leaning: only one of them does, a weak sign: with few seeds the "
    "bootstrap's interval is too narrow, so that two seeds of equals lean half of the time, and three a quarter. One "
    "seed: no claim. Nothing is corrected for making several comparisons."
)


class Standing(IntEnum):
    """Of one allocator against another, from worst to best."""

    BEHIND = -2
    LEANS_BEHIND = -1
    NOT_SHOWN = 0
    LEANS_AHEAD = 1
    AHEAD = 2
    ONE_SEED = 9


@dataclass(frozen=True, eq=False)
class Contrast:
    """One allocator against another in one score, over the seeds that both have.

    Attributes:
        score: what is compared.
        method, other: the allocators.
        own, others: their means over these seeds.
        mean: mean difference, own minus others, with Student's t-interval.
        bootstrapped: the same with the paired-bootstrap interval.
    """

    score: Score
    method: str
    other: str
    own: float
    others: float
    mean: Interval
    bootstrapped: Interval

    @property
    def standing(self) -> Standing:
        """How sure it is which of the two is better."""
        if self.num_seeds < 2:
            return Standing.ONE_SEED
        if abs(self.advantage) < ROUNDING:
            return Standing.NOT_SHOWN
        sure = sum(interval.low > 0 or interval.high < 0 for interval in (self.mean, self.bootstrapped))
        return Standing(sure if self.advantage > 0 else -sure)

    @property
    def advantage(self) -> float:
        """The mean difference, positive where ``method`` is better."""
        return self.mean.estimate if self.score.higher_is_better else -self.mean.estimate

    @property
    def num_seeds(self) -> int:
        """Seeds that both have."""
        return self.mean.num_seeds

    @property
    def name(self) -> str:
        """What ``method`` is called."""
        return look(self.method).name

    @property
    def by(self) -> str:
        """``CERO (by 2.86 points)``."""
        return f"{self.name} (by {self.score.amount(self.mean.estimate)})"

    @property
    def values(self) -> str:
        """``17.16 % against 14.30 %``."""
        return f"{self.score.value(self.own)} against {self.score.value(self.others)}"

    @property
    def difference(self) -> str:
        """``+2.86 points``."""
        return self.score.difference(self.mean.estimate)

    def sentence(self) -> str:
        """The claim with its numbers."""
        name, other, score = self.name, look(self.other).name, self.score
        if self.standing is Standing.ONE_SEED:
            return f"{name} against {other} in {score.name}: one seed: no claim ({self.values})."
        seeds = f"{self.num_seeds} seeds"
        claim = {
            Standing.BEHIND: f"{name} is behind {other} in {score.name}",
            Standing.LEANS_BEHIND: f"{name} leans behind {other} in {score.name}",
            Standing.NOT_SHOWN: f"{name} and {other}: no difference in {score.name} that {seeds} can show",
            Standing.LEANS_AHEAD: f"{name} leans ahead of {other} in {score.name}",
            Standing.AHEAD: f"{name} is ahead of {other} in {score.name}",
        }[self.standing]
        intervals = f"t-interval {score.span(self.mean)}, bootstrap {score.span(self.bootstrapped)}"
        return f"{claim}: {self.values}, difference {self.difference} ({intervals}; {seeds})."

    def aside(self) -> str:
        """The same in few words, higher or lower and not better or worse, for a score that does not decide."""
        text = f"{self.score.name} {self.values}"
        return text if self.standing is Standing.ONE_SEED else f"{text} ({self.way})"

    @property
    def way(self) -> str:
        """``higher``, ``leaning lower``, ``no difference shown``."""
        if self.standing is Standing.NOT_SHOWN:
            return "no difference shown"
        way = "higher" if self.mean.estimate > 0 else "lower"
        return way if abs(self.standing) == abs(Standing.AHEAD) else f"leaning {way}"

    def disagrees(self, other: Contrast) -> bool:
        """Whether ``method`` is better in one of two scores and worse in the other, leaning at least."""
        return Standing.ONE_SEED not in (self.standing, other.standing) and self.standing * other.standing < 0


def compare(score: Score, method: str, other: str) -> Contrast | None:
    """Two allocators over the seeds that both have; None where there is no such seed."""
    if not {method, other} <= set(score.values.columns):
        return None
    pairs = score.values[[method, other]].dropna()
    if pairs.empty:
        return None
    own, others = (pairs[name].to_numpy() for name in (method, other))
    mean, bootstrapped = mean_interval(own - others), paired_difference(own, others)
    return Contrast(score, method, other, float(own.mean()), float(others.mean()), mean, bootstrapped)


def best_first(contrasts: Iterable[Contrast], standing: Standing) -> list[Contrast]:
    """Those of a standing, the largest advantage first; an order that says nothing where nothing may be claimed."""
    found = [one for one in contrasts if one.standing is standing]
    unclaimed = standing in (Standing.NOT_SHOWN, Standing.ONE_SEED)
    return found if unclaimed else sorted(found, key=lambda one: -one.advantage)


def in_sentences(score: str, claims: Sequence[str]) -> str:
    """Claims without capital and full stop, one after the other: ``In regret per prompt, a is ahead. B leans``."""
    later = [f" {claim[0].upper()}{claim[1:]}." for claim in claims[1:]]
    return f"In {score}, {claims[0]}.{''.join(later)}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
