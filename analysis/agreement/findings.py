"""Where a training and its replica agree and where they do not, in plain sentences made from the numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.agreement.effects import Effect, is_baseline
from analysis.agreement.pairs import Kind, Pair, find_pairs
from analysis.agreement.ranks import Ranks, rank_agreement
from analysis.data.methods import in_order, method_name
from analysis.stats.contrast import FAMILY_LEVEL, listed, probability
from analysis.stats.intervals import holm
from analysis.stats.scores import Score
from analysis.stats.verdict import is_told

CAUTION = (
    "Sure, and held for better or worse: shown by a t-test on the means over seeds, at 5 % after Holm's correction for "
    "all pairs of a score in one source, and for all allocators; trainings by Welch's test, simulated runs paired by "
    "seed. Brackets: 95 % t-intervals, each by itself. Ranges of rank correlations say how far a single seed moves "
    "them and are no intervals: over so few allocators a rank correlation says little."
)


def score_lines(measured: Score, predicted: Score) -> list[str]:
    """Rank correlation and pairs in one score, over the allocators with two or more seeds in both sources."""
    seeds = {
        str(method): min(int(score.values[method].notna().sum()) for score in (measured, predicted))
        for method in set(measured.values) & set(predicted.values)
    }
    ranked = in_order(method for method, count in seeds.items() if count > 1)
    single = in_order(method for method, count in seeds.items() if count == 1)
    found = [_ranks(rank_agreement(measured.values, predicted.values, ranked), f"{len(ranked)} allocators")]
    usable = [method for method in ranked if not is_told(method)]
    if 2 < len(usable) < len(ranked):
        without = f"the {len(usable)} that are not told the success rates"
        found.append(_ranks(rank_agreement(measured.values, predicted.values, usable), without))
    if single:
        found.append(f"Not ranked, for want of a second seed: {listed([method_name(method) for method in single])}.")
    return [*found, *_pairs(find_pairs(measured, predicted, ranked))]


def effect_lines(effects: Sequence[Effect]) -> list[str]:
    """Which allocators the replica holds for better or worse than they are, against uniform."""
    wrong, right, unknown = [], [], []
    judged = [
        (effect, effect.measured.mean, effect.predicted.mean)
        for effect in effects
        if not is_baseline(effect) and effect.measured is not None and effect.predicted is not None
    ]
    p_values = holm(effect.excess.p_value for effect, _, _ in judged)
    for (effect, measured, predicted), p_value in zip(judged, p_values, strict=True):
        name, excess = method_name(effect.method), effect.excess
        numbers = (
            f"measured {measured.text()}, predicted {predicted.text()}, predicted minus measured {excess.text()} points"
        )
        tested = f"{numbers}, {probability(p_value)} after correction"
        if np.isnan(p_value):
            unknown.append(f"{name}, {excess.num_seeds} seed: no claim ({numbers}).")
        elif p_value <= FAMILY_LEVEL:
            wrong.append(f"{name} is held for {'better' if excess.estimate > 0 else 'worse'} than it is: {tested}.")
        else:
            right.append(f"{name}: no disagreement that {excess.num_seeds} seeds can show ({tested}).")
    return [*wrong, *right, *unknown]


def _ranks(ranks: Ranks, what: str) -> str:
    if len(ranks.methods) < 3:
        return f"No rank correlation over {what} with two or more seeds in both sources: it takes three."
    if np.isnan(ranks.spearman.all_seeds):
        return f"No rank correlation over {what}: in one source they are all equal."
    return (
        f"Rank correlation over {what}: Spearman {ranks.spearman.text()}, Kendall {ranks.kendall.text()}; were the "
        f"order random, p = {ranks.p_value:.2g} (the same order has a chance of 1 in {1 / ranks.same_by_chance:,.0f})."
    )


def _pairs(pairs: Sequence[Pair]) -> list[str]:
    """How many pairs are of each kind; those on which training is sure and the replica errs, one by one."""
    of = {kind: [pair for pair in pairs if pair.kind is kind] for kind in Kind}
    counts = [f"{len(found)} {kind.value}" for kind, found in of.items() if found]
    lines = [f"Of {len(pairs)} pairs of allocators: {'; '.join(counts)}."] if pairs else []
    for kind in (Kind.REVERSED, Kind.MEASURED):
        lines += [f"{kind.value[0].upper()}{kind.value[1:]}: {pair.text()}." for pair in of[kind]]
    if of[Kind.PREDICTED]:
        claims = listed([pair.prediction() for pair in of[Kind.PREDICTED]])
        lines.append(f"Predicted, and not to be told from noise in training: {claims}.")
    if of[Kind.UNKNOWN]:
        lines.append(f"Not to be told apart in either: {listed([pair.names for pair in of[Kind.UNKNOWN]])}.")
    return lines
