"""One allocator against another: the difference of their means over seeds, and what may be claimed from it.

Runs that share their luck are compared seed by seed, others by Welch's t, see ``Score.paired``. "Ahead" and "behind"
are said where the p-value is at most 5 % after Holm's correction for all contrasts of a family (``corrected``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from analysis.data.methods import method_name
from analysis.stats.curves import ROUNDING
from analysis.stats.intervals import Interval, holm, paired_difference, welch_difference
from analysis.stats.scores import Score

FAMILY_LEVEL = 0.05  # chance of any false claim among the contrasts of a family
RULE = (
    "Ahead and behind: a t-test shows a difference of the means over seeds, at 5 % for all that stands under one "
    "heading in one score together (every allocator against the baseline in every setting, and in the score that "
    "decides the best two against each other): p-values are those after Holm's correction. Simulated runs of a seed "
    "share prompts and coins and are paired; trainings share no luck and are compared by Welch's test. Intervals are "
    "95 % t-intervals, each by itself and corrected for nothing: one may exclude zero where nothing is claimed. No "
    "difference shown is not shown to be equal: the interval says how large a difference may be. One seed: no claim. "
    "Each heading is corrected by itself: of twenty without any difference one has a false claim, on average."
)


class Standing(IntEnum):
    """Of one allocator against another, from worst to best."""

    BEHIND = -1
    NOT_SHOWN = 0
    AHEAD = 1
    ONE_SEED = 9


@dataclass(frozen=True, eq=False)
class Contrast:
    """One allocator against another in one score.

    Attributes:
        score: what is compared.
        method, other: the allocators.
        own, others: their means, over the seeds that both have where they are paired.
        mean: difference of the means, own minus others, with its t-interval and p-value.
        adjusted: the p-value after correction for the family that the contrast belongs to; alone, its own. nan: one
            seed.
    """

    score: Score
    method: str
    other: str
    own: float
    others: float
    mean: Interval
    adjusted: float

    @property
    def standing(self) -> Standing:
        """How sure it is which of the two is better."""
        if np.isnan(self.adjusted):
            return Standing.ONE_SEED
        if self.adjusted > FAMILY_LEVEL:
            return Standing.NOT_SHOWN
        return Standing.AHEAD if self.advantage > 0 else Standing.BEHIND

    @property
    def advantage(self) -> float:
        """The mean difference, positive where ``method`` is better."""
        return self.mean.estimate if self.score.higher_is_better else -self.mean.estimate

    @property
    def num_seeds(self) -> int:
        """Seeds behind the difference: that both have; of trainings, the fewer."""
        return self.mean.num_seeds

    @property
    def name(self) -> str:
        """What ``method`` is called."""
        return method_name(self.method)

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
        name, other, score = self.name, method_name(self.other), self.score
        if self.standing is Standing.ONE_SEED:
            return f"{name} against {other} in {score.name}: one seed: no claim ({self.values})."
        seeds = f"{self.num_seeds} seeds"
        claim = {
            Standing.BEHIND: f"{name} is behind {other} in {score.name}",
            Standing.NOT_SHOWN: f"{name} and {other}: no difference in {score.name} that {seeds} can show",
            Standing.AHEAD: f"{name} is ahead of {other} in {score.name}",
        }[self.standing]
        told = f"95 % t-interval {score.span(self.mean)}; {probability(self.adjusted)} after correction; {seeds}"
        return f"{claim}: {self.values}, difference {self.difference} ({told})."

    def aside(self) -> str:
        """The same in few words, higher or lower and not better or worse, for a score that does not decide."""
        text = f"{self.score.name} {self.values}"
        return text if self.standing is Standing.ONE_SEED else f"{text} ({self.way})"

    @property
    def way(self) -> str:
        """``higher``, ``lower``, ``no difference shown``."""
        if self.standing is Standing.NOT_SHOWN:
            return "no difference shown"
        return "higher" if self.mean.estimate > 0 else "lower"

    def disagrees(self, other: Contrast) -> bool:
        """Whether ``method`` is better in one of two scores and worse in the other."""
        return Standing.ONE_SEED not in (self.standing, other.standing) and self.standing * other.standing < 0


def compare(score: Score, method: str, other: str) -> Contrast | None:
    """Two allocators, corrected for no other contrast; None where one has no seed, or where pairs share none."""
    if not {method, other} <= set(score.values.columns):
        return None
    values = score.values[[method, other]]
    own, others = (values.dropna()[name] if score.paired else values[name].dropna() for name in (method, other))
    if own.empty or others.empty:
        return None
    mean = (paired_difference if score.paired else welch_difference)(own.to_numpy(), others.to_numpy())
    # What is zero up to rounding has no spread to test it against.
    p_value = 1.0 if abs(mean.estimate) < ROUNDING and mean.num_seeds > 1 else mean.p_value
    return Contrast(score, method, other, float(own.mean()), float(others.mean()), mean, p_value)


def corrected(family: Iterable[Contrast]) -> list[Contrast]:
    """The contrasts of a family with p-values after Holm's correction: any false claim among them has a chance of 5 %.

    A family is what one table, or the verdicts on a world, say of one score. That the best two were chosen by the same
    numbers asks for no correction of its own: between equals the contrast of the largest mean with the next is
    significant no more often than that of two alone (Gutmann & Maymin 1987).
    """
    found = list(family)
    adjusted = holm(one.adjusted for one in found)
    return [replace(one, adjusted=float(value)) for one, value in zip(found, adjusted, strict=True)]


def best_first(contrasts: Iterable[Contrast], standing: Standing) -> list[Contrast]:
    """Those of a standing, the largest advantage first; an order that says nothing where nothing may be claimed."""
    found = [one for one in contrasts if one.standing is standing]
    unclaimed = standing in (Standing.NOT_SHOWN, Standing.ONE_SEED)
    return found if unclaimed else sorted(found, key=lambda one: -one.advantage)


def in_sentences(score: str, claims: Sequence[str]) -> str:
    """Claims without capital and full stop, as sentences: ``In regret per prompt, a is ahead. B is behind`` ..."""
    later = [f" {claim[0].upper()}{claim[1:]}." for claim in claims[1:]]
    return f"In {score}, {claims[0]}.{''.join(later)}"


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def probability(p_value: float) -> str:
    """``p = 0.013``, with two significant digits down to ``p < 0.001``."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"
