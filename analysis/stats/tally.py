"""Verdicts of several settings together: in how many of them each allocator is ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from analysis.data.methods import method_name
from analysis.stats.contrast import Contrast, Standing, in_sentences, listed
from analysis.stats.verdict import Verdict, is_told

_Item = TypeVar("_Item")
_Key = TypeVar("_Key", bound=Hashable)

_WORDS = {
    Standing.AHEAD: "ahead",
    Standing.NOT_SHOWN: "no difference shown",
    Standing.BEHIND: "behind",
    Standing.ONE_SEED: "one seed: no claim",
}


def headline(verdicts: Sequence[Verdict]) -> str:
    """Who is ahead of whom in how many settings."""
    parts = []
    for (score, _), contrasts in _grouped(_contrasts(verdicts), lambda one: (one.score.name, one.other)).items():
        usable = [one for one in contrasts if not is_told(one.method)]
        told = [one for one in contrasts if is_told(one.method)]
        claims = [*_claims(usable), *(f"headroom: {claim}" for claim in _claims(told))]
        parts.append(in_sentences(score, claims))
    return " ".join(parts) or f"There is nothing to compare in these {_settings(verdicts)}."


def lines(verdicts: Sequence[Verdict]) -> list[str]:
    """How often each allocator is the best, how each stands with the range of its differences, and disagreements."""
    judged = [verdict for verdict in verdicts if verdict.contrasts]
    by_score = _grouped(judged, lambda verdict: verdict.contrasts[0].score.name)
    best = [line for of_score in by_score.values() for line in _best(of_score)]
    pairs = _grouped(_contrasts(judged), lambda one: (one.score.name, one.other, one.method))
    return [*best, *map(_standing, pairs.values()), *_disagreements(verdicts)]


def _claims(found: Sequence[Contrast]) -> list[str]:
    """Sentences without capital and full stop on allocators against one other; those that stand alike together."""
    if not found:
        return []
    other = method_name(found[0].other)
    alike: dict[tuple[Standing, int], list[str]] = {}
    mixed = []
    for contrasts in _grouped(found, lambda one: one.method).values():
        standings = {one.standing for one in contrasts}
        if len(standings) == 1:
            standing = standings.pop()
            name = contrasts[0].name if standing in (Standing.NOT_SHOWN, Standing.ONE_SEED) else _named(contrasts)
            alike.setdefault((standing, len(contrasts)), []).append(name)
        else:
            mixed.append(f"{contrasts[0].name} against {other}: {_counts(contrasts)}")
    parts = []
    for (standing, count), methods in sorted(alike.items(), reverse=True):
        names, are = listed(methods), "is" if len(methods) == 1 else "are"
        where = "in 1 setting" if count == 1 else f"in all {count} settings"
        parts.append(
            {
                Standing.AHEAD: f"{names} {are} ahead of {other} {where}",
                Standing.NOT_SHOWN: f"no difference between {other} and {names} is shown {where}",
                Standing.BEHIND: f"{other} is ahead of {names} {where}",
                Standing.ONE_SEED: f"one seed: no claim about {names} {where}",
            }[standing]
        )
    return [*parts, *mixed]


def _named(contrasts: Sequence[Contrast]) -> str:
    """``CERO (by 0.00146 to 0.00589)``, the smallest and the largest difference."""
    one, ends = contrasts[0], sorted(abs(contrast.mean.estimate) for contrast in contrasts)
    amounts = dict.fromkeys(one.score.amount(end) for end in (ends[0], ends[-1]))
    return f"{one.name} (by {' to '.join(amounts)})"


def _best(verdicts: Sequence[Verdict]) -> list[str]:
    """Which allocator has the best mean how often, where most allocators ran with several seeds."""
    sure = [found for found in verdicts if all(one.standing is not Standing.ONE_SEED for one in found.contrasts)]
    most = max((len(verdict.contrasts) for verdict in sure), default=0)
    full = [verdict for verdict in sure if len(verdict.contrasts) == most]
    if len(full) < 2:
        return []
    counts = Counter(map(_first, full))
    score = full[0].contrasts[0].score
    names = listed([f"{method_name(method)} in {count}" for method, count in counts.most_common()])
    extreme = "Highest" if score.higher_is_better else "Lowest"
    return [f"{extreme} mean {score.name}: {names} of {len(full)} settings with {most + 1} allocators."]


def _first(verdict: Verdict) -> str:
    usable = [one for one in verdict.contrasts if not is_told(one.method)]
    best = max(usable, key=lambda one: one.advantage, default=None)
    return best.method if best is not None and best.advantage > 0 else verdict.contrasts[0].other


def _standing(contrasts: Sequence[Contrast]) -> str:
    one, ends = contrasts[0], sorted(contrast.mean.estimate for contrast in contrasts)
    spread = " to ".join(one.score.difference(end) for end in (ends[0], ends[-1]))
    return (
        f"{one.name} against {method_name(one.other)} in {one.score.name}: {_counts(contrasts)} (difference {spread})."
    )


def _disagreements(verdicts: Sequence[Verdict]) -> list[str]:
    pairs = [pair for verdict in verdicts for pair in verdict.disagreeing]
    found = _grouped(pairs, lambda pair: (pair[0].method, pair[0].other, pair[1].score.name, pair[0].advantage > 0))
    texts = []
    for (method, other, minor, better), of_method in sorted(found.items()):
        main = of_method[0][0].score.name
        way, but = ("better", "lower") if better else ("worse", "higher")
        texts.append(
            f"The measures disagree on {method_name(method)} in {len(of_method)} of {_settings(verdicts)}: {way} than "
            f"{method_name(other)} in {main}, but {but} in {minor}."
        )
    return texts


def _counts(contrasts: Sequence[Contrast]) -> str:
    """``ahead in 3, behind in 1 of 4 settings``."""
    counts = Counter(one.standing for one in contrasts)
    found = [f"{word} in {counts[standing]}" for standing, word in _WORDS.items() if counts[standing]]
    return f"{', '.join(found)} of {_settings(contrasts)}"


def _settings(items: Sequence[object]) -> str:
    return "1 setting" if len(items) == 1 else f"{len(items)} settings"


def _contrasts(verdicts: Sequence[Verdict]) -> list[Contrast]:
    return [contrast for verdict in verdicts for contrast in verdict.contrasts]


def _grouped(items: Iterable[_Item], key: Callable[[_Item], _Key]) -> dict[_Key, list[_Item]]:
    """In the order in which the keys are met."""
    found: dict[_Key, list[_Item]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
