"""The verdict on the runs of one setting: which allocator is ahead, by how much and how sure, in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.contrast import Contrast, Standing, best_first, compare, in_sentences, listed
from analysis.heldout import BASELINE, accuracy_points, compare_to_uniform
from analysis.load import Runs, refuse_twice
from analysis.scores import Score, find_scores
from analysis.style import in_order, look

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


def judge(runs: Runs) -> Verdict:
    """The verdict on the runs of one setting.

    Raises:
        RecordError: two runs have the same method and seed, or a record lacks a number that it must have.
    """
    refuse_twice(runs)
    methods = in_order(runs.frame["method"])
    if len(methods) < 2:
        return Verdict(f"Only {look(methods[0]).name} ran: there is nothing to compare.")
    scores = find_scores(runs)
    if not scores:
        return Verdict("Nothing was recorded that allocators could be compared by.")
    return judge_scores(scores, methods, responses_needed(runs))


def judge_scores(scores: Sequence[Score], methods: Sequence[str], needed: Mapping[str, str] | None = None) -> Verdict:
    """The verdict from the numbers alone.

    Args:
        scores: see ``find_scores``; the first decides.
        methods: the allocators, in the order of legends.
        needed: a sentence more on an allocator that has two or more seeds.
    """
    main, *minor = scores
    contrasts, sentences, disagreeing = [], [], []
    for method in methods:
        if method == main.baseline:
            continue
        contrast = compare(main, method, main.baseline)
        if contrast is None:
            name, base = look(method).name, look(main.baseline).name
            sentences.append(f"{name} and {base} have no seed in common with a {main.name}: not compared.")
            continue
        beside = [other for score in minor if (other := compare(score, method, main.baseline))]
        more = (needed or {}).get(method, "") if contrast.standing is not Standing.ONE_SEED else ""
        also = f"Also: {'; '.join(other.aside() for other in beside)}." if beside else ""
        sentences.append(" ".join(filter(None, [contrast.sentence(), more, also])))
        contrasts.append(contrast)
        disagreeing += [(contrast, other) for other in beside if contrast.disagrees(other)]
    disagreements = [_disagreement(*pair) for pair in disagreeing]
    return Verdict(_headline(main, contrasts), sentences, disagreements, contrasts, disagreeing)


def responses_needed(runs: Runs) -> dict[str, str]:
    """By method, what it needs to reach uniform's final accuracy; empty without evaluations or uniform."""
    compared = compare_to_uniform(accuracy_points(runs)) if runs.kept("evals") else {}
    found = {}
    for method, comparison in compared.items():
        if method == BASELINE or np.isnan(comparison.share):
            continue
        uniform = look(BASELINE).name
        found[method] = (
            f"Its mean curve does not reach {uniform}'s final accuracy."
            if np.isinf(comparison.share)
            else f"Its mean curve reaches {uniform}'s final accuracy after {comparison.responses:,.0f} responses, "
            f"{100 * comparison.share:.0f} % of {uniform}'s."
        )
    return found


def is_told(method: str) -> bool:
    """Whether an allocator is told the success rates: it shows the headroom, and nobody can use it."""
    return method.partition("(")[0] == _TOLD


def _headline(score: Score, contrasts: Sequence[Contrast]) -> str:
    """Who is ahead of whom; allocators that are told the success rates stand apart."""
    usable = [contrast for contrast in contrasts if not is_told(contrast.method)]
    told = [contrast for contrast in contrasts if is_told(contrast.method)]
    parts = [*_claims(score, usable), *(_headroom(contrast) for contrast in told)]
    if not parts:
        return f"No two allocators have a seed in common with a {score.name}: nothing can be compared."
    return in_sentences(score.name, parts)


def _claims(score: Score, contrasts: Sequence[Contrast]) -> list[str]:
    """Sentences without capital and full stop."""
    base = look(score.baseline).name
    of = {standing: best_first(contrasts, standing) for standing in Standing}
    ahead, behind, single = of[Standing.AHEAD], of[Standing.BEHIND], of[Standing.ONE_SEED]
    parts = []
    if ahead:
        parts.append(f"{_amounts(ahead)} {'is' if len(ahead) == 1 else 'are'} ahead of {base}")
    elif len(behind) + len(single) < len(contrasts):
        parts.append(f"no allocator is ahead of {base}")
    if len(ahead) > 1 and (lead := compare(score, ahead[0].method, ahead[1].method)):
        parts.append(_lead(lead))
    if leaning := of[Standing.LEANS_AHEAD]:
        parts.append(f"{_amounts(leaning)} {'leans' if len(leaning) == 1 else 'lean'} ahead")
    if behind:
        parts.append(f"{base} is ahead of {_amounts(behind)}")
    if leaning := of[Standing.LEANS_BEHIND]:
        parts.append(f"{_amounts(leaning)} {'leans' if len(leaning) == 1 else 'lean'} behind")
    if same := of[Standing.NOT_SHOWN]:
        parts.append(f"there is no difference that {_seeds(same)} can show between {base} and {_names(same)}")
    if single:
        parts.append(f"one seed: no claim about {_names(single)}")
    return parts


def _lead(first: Contrast) -> str:
    """The best allocator against the next."""
    name, following = first.name, look(first.other).name
    by = first.score.amount(first.mean.estimate)
    if first.standing is Standing.AHEAD:
        return f"first is {name}, ahead of the next, {following}, by {by}"
    if first.standing is Standing.LEANS_AHEAD:
        return f"first is {name}, leaning ahead of the next, {following}, by {by}"
    return f"which of {name} and {following} is first, {_seeds([first])} cannot show"


def _headroom(contrast: Contrast) -> str:
    base = look(contrast.other).name
    standing = {
        Standing.BEHIND: f"is behind {base} by",
        Standing.LEANS_BEHIND: f"leans behind {base} by",
        Standing.LEANS_AHEAD: f"leans ahead of {base} by",
        Standing.AHEAD: f"is ahead of {base} by",
    }.get(contrast.standing)
    claim = f"{standing} {contrast.score.amount(contrast.mean.estimate)}"
    if standing is None:
        single = contrast.standing is Standing.ONE_SEED
        claim = "has one seed: no claim" if single else f"shows no difference from {base} with {_seeds([contrast])}"
    return f"headroom: {contrast.name}, which is told the success rates, {claim}"


def _disagreement(main: Contrast, minor: Contrast) -> str:
    claim = {
        Standing.BEHIND: "behind",
        Standing.LEANS_BEHIND: "leaning behind",
        Standing.LEANS_AHEAD: "leaning ahead of",
        Standing.AHEAD: "ahead of",
    }[main.standing]
    return (
        f"The measures disagree on {main.name}: {claim} {look(main.other).name} in {main.score.name} "
        f"({main.difference}), but {minor.way} in {minor.score.name} ({minor.difference})."
    )


def _amounts(contrasts: Sequence[Contrast]) -> str:
    return listed([contrast.by for contrast in contrasts])


def _names(contrasts: Sequence[Contrast]) -> str:
    return listed([contrast.name for contrast in contrasts])


def _seeds(contrasts: Sequence[Contrast]) -> str:
    counts = sorted({contrast.num_seeds for contrast in contrasts})
    return f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
