"""The verdict on the runs of a setting: which allocator is ahead, by how much and how sure, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.data.load import Runs, refuse_twice
from analysis.data.methods import in_order, method_name
from analysis.stats.contrast import Contrast, Standing, best_first, compare, corrected, in_sentences, listed
from analysis.stats.heldout import BASELINE, compare_to_uniform
from analysis.stats.scores import Score, find_scores

_TOLD = "oracle"


@dataclass(frozen=True, eq=False)
class Verdict:
    """What one setting says.

    Attributes:
        headline: the claim in a few short sentences.
        sentences: every allocator against the baseline, with its numbers.
        disagreements: allocators that are better in the score that decides and worse in another, or the reverse.
        contrasts: in the score that decides, every allocator against the baseline, in the order of legends.
        disagreeing: of each disagreement, the contrast that decides and the other one.
    """

    headline: str
    sentences: Sequence[str] = ()
    disagreements: Sequence[str] = ()
    contrasts: Sequence[Contrast] = ()
    disagreeing: Sequence[tuple[Contrast, Contrast]] = ()


@dataclass(frozen=True, eq=False)
class Case:
    """What one setting is judged by.

    Attributes:
        scores: see ``find_scores``; the first decides.
        methods: the allocators, in the order of legends.
        needed: a sentence more on an allocator that has two or more seeds.
    """

    scores: Sequence[Score]
    methods: Sequence[str]
    needed: Mapping[str, str] = field(default_factory=dict)

    @property
    def comparable(self) -> bool:
        """Whether there is anything to compare."""
        return bool(self.scores) and len(self.methods) > 1


def find_case(runs: Runs) -> Case:
    """The numbers of the runs of one setting.

    Raises:
        RecordError: two runs have the same method and seed, or a record lacks a number that it must have.
    """
    refuse_twice(runs)
    methods = in_order(runs.frame["method"])
    scores = find_scores(runs) if len(methods) > 1 else []
    return Case(scores, methods, responses_needed(runs) if scores else {})


def judge(cases: Sequence[Case]) -> list[Verdict]:
    """The verdicts on settings of one world, corrected together: for all that they say of a score, in every setting."""
    compared = [_compare(case) if case.comparable else _Compared([], None, []) for case in cases]
    families: dict[str, list[Contrast]] = {}
    for one in compared:
        for contrast in one.all:
            families.setdefault(contrast.score.name, []).append(contrast)
    found: dict[int, Contrast] = {}
    for family in families.values():
        found |= {id(alone): together for alone, together in zip(family, corrected(family), strict=True)}
    return [_verdict(case, one, found) for case, one in zip(cases, compared, strict=True)]


@dataclass(frozen=True, eq=False)
class _Compared:
    """The contrasts of a case, corrected for nothing.

    Attributes:
        against: in the score that decides, every allocator that can be compared with the baseline.
        lead: the best two that anybody can use, against each other.
        minor: as ``against``, in every other score.
    """

    against: list[Contrast]
    lead: Contrast | None
    minor: list[list[Contrast]]

    @property
    def all(self) -> list[Contrast]:
        return [*self.against, *([self.lead] if self.lead else []), *(one for score in self.minor for one in score)]


def _compare(case: Case) -> _Compared:
    main, *minor = case.scores
    against = _against(main, case.methods, main.baseline)
    return _Compared(against, _lead_of(against), [_against(score, case.methods, main.baseline) for score in minor])


def _verdict(case: Case, compared: _Compared, found: Mapping[int, Contrast]) -> Verdict:
    """The words for contrasts; ``found``: corrected, by the identity of what they were before."""
    if len(case.methods) < 2:
        return Verdict(f"Only {method_name(case.methods[0])} ran: there is nothing to compare.")
    if not case.scores:
        return Verdict("Nothing was recorded that allocators could be compared by.")
    main, base = case.scores[0], case.scores[0].baseline
    of_main = {one.method: found[id(one)] for one in compared.against}
    of_minor = [{one.method: found[id(one)] for one in score} for score in compared.minor]
    sentences, disagreeing = [], []
    for method in case.methods:
        if method == base:
            continue
        if method not in of_main:
            what = "have no seed in common" if main.paired else "do not both have a seed"
            sentences.append(f"{method_name(method)} and {method_name(base)} {what} with a {main.name}: not compared.")
            continue
        contrast = of_main[method]
        beside = [of_score[method] for of_score in of_minor if method in of_score]
        more = case.needed.get(method, "") if contrast.standing is not Standing.ONE_SEED else ""
        also = f"Also: {'; '.join(other.aside() for other in beside)}." if beside else ""
        sentences.append(" ".join(filter(None, [contrast.sentence(), more, also])))
        disagreeing += [(contrast, other) for other in beside if contrast.disagrees(other)]
    contrasts = list(of_main.values())
    lead = found[id(compared.lead)] if compared.lead else None
    disagreements = [_disagreement(*pair) for pair in disagreeing]
    return Verdict(_headline(main, contrasts, lead), sentences, disagreements, contrasts, disagreeing)


def _against(score: Score, methods: Sequence[str], base: str) -> list[Contrast]:
    """Every allocator that can be compared with ``base``."""
    return [found for method in methods if method != base and (found := compare(score, method, base))]


def _lead_of(against: Sequence[Contrast]) -> Contrast | None:
    """Of the allocators that anybody can use, the best beside the next, both measured against the baseline."""
    usable = [one for one in against if not is_told(one.method) and one.num_seeds > 1]
    best = sorted(usable, key=lambda one: -one.advantage)[:2]
    return compare(best[0].score, best[0].method, best[1].method) if len(best) > 1 else None


def responses_needed(runs: Runs) -> dict[str, str]:
    """By method, what it needs to reach uniform's final accuracy; empty without evaluations or uniform."""
    compared = compare_to_uniform(runs) if runs.kept("evals") else {}
    uniform, found = method_name(BASELINE), {}
    for method, comparison in compared.items():
        share, count, reached = comparison.reach.scaled(100.0), comparison.own.size, comparison.reached
        if method == BASELINE or np.isnan(share.estimate):
            continue
        if not reached:
            found[method] = f"None of its seeds reaches {uniform}'s final accuracy."
            continue
        interval = "" if np.isnan(share.low) else f" (95 % interval {share.low:.0f} to {share.high:.0f} %)"
        needed = f"{share.estimate:.0f} % of {uniform}'s responses{interval}"
        if reached == count:
            found[method] = f"It reaches {uniform}'s final accuracy after {needed}."
        else:
            reach = (
                f"{reached} of its {count} seeds {'reaches' if reached == 1 else 'reach'} {uniform}'s final accuracy"
            )
            found[method] = f"{reach}: counting the others as 100 %, after {needed}."
    return found


def is_told(method: str) -> bool:
    """Whether an allocator is told the success rates: it shows the headroom, and nobody can use it."""
    return method.partition("(")[0] == _TOLD


def _headline(score: Score, contrasts: Sequence[Contrast], lead: Contrast | None) -> str:
    """Who is ahead of whom; allocators that are told the success rates stand apart."""
    usable = [contrast for contrast in contrasts if not is_told(contrast.method)]
    told = [contrast for contrast in contrasts if is_told(contrast.method)]
    parts = [*_claims(score, usable, lead), *(_headroom(contrast) for contrast in told)]
    if not parts:
        return f"No two allocators have a seed in common with a {score.name}: nothing can be compared."
    return in_sentences(score.name, parts)


def _claims(score: Score, contrasts: Sequence[Contrast], lead: Contrast | None) -> list[str]:
    """Sentences without capital and full stop."""
    base = method_name(score.baseline)
    of = {standing: best_first(contrasts, standing) for standing in Standing}
    ahead, behind, single = of[Standing.AHEAD], of[Standing.BEHIND], of[Standing.ONE_SEED]
    parts = []
    if ahead:
        parts.append(f"{_amounts(ahead)} {'is' if len(ahead) == 1 else 'are'} ahead of {base}")
    elif len(behind) + len(single) < len(contrasts):
        parts.append(f"no allocator is ahead of {base}")
    if lead is not None and {lead.method, lead.other} <= {one.method for one in ahead}:
        parts.append(_lead(lead))
    if behind:
        parts.append(f"{base} is ahead of {_amounts(behind)}")
    if same := of[Standing.NOT_SHOWN]:
        parts.append(f"there is no difference that {_seeds(same)} can show between {base} and {_names(same)}")
    if single:
        parts.append(f"one seed: no claim about {_names(single)}")
    return parts


def _lead(first: Contrast) -> str:
    """The best allocator against the next."""
    name, following = first.name, method_name(first.other)
    by = first.score.amount(first.mean.estimate)
    if first.standing is Standing.AHEAD:
        return f"first is {name}, ahead of the next, {following}, by {by}"
    return f"which of {name} and {following} is first, {_seeds([first])} cannot show"


def _headroom(contrast: Contrast) -> str:
    base = method_name(contrast.other)
    standing = {
        Standing.BEHIND: f"is behind {base} by",
        Standing.AHEAD: f"is ahead of {base} by",
    }.get(contrast.standing)
    claim = f"{standing} {contrast.score.amount(contrast.mean.estimate)}"
    if standing is None:
        single = contrast.standing is Standing.ONE_SEED
        claim = "has one seed: no claim" if single else f"shows no difference from {base} with {_seeds([contrast])}"
    return f"headroom: {contrast.name}, which is told the success rates, {claim}"


def _disagreement(main: Contrast, minor: Contrast) -> str:
    claim = {Standing.BEHIND: "behind", Standing.AHEAD: "ahead of"}[main.standing]
    return (
        f"The measures disagree on {main.name}: {claim} {method_name(main.other)} in {main.score.name} "
        f"({main.difference}), but {minor.way} in {minor.score.name} ({minor.difference})."
    )


def _amounts(contrasts: Sequence[Contrast]) -> str:
    return listed([contrast.by for contrast in contrasts])


def _names(contrasts: Sequence[Contrast]) -> str:
    return listed([contrast.name for contrast in contrasts])


def _seeds(contrasts: Sequence[Contrast]) -> str:
    counts = sorted({contrast.num_seeds for contrast in contrasts})
    return f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
