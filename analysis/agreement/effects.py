"""What each allocator gains over uniform and how its accuracy rises: measured in training, predicted by the replica."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.data.load import Runs
from analysis.data.methods import in_order
from analysis.stats.heldout import BASELINE, Comparison, accuracy_points, compare_to_uniform, mean_curve
from analysis.stats.intervals import NO_INTERVAL, Interval, combined


@dataclass(frozen=True, eq=False)
class Effect:
    """One allocator in both sources.

    Attributes:
        method: the allocator.
        measured, predicted: beside uniform; None where there is nothing to compare.
        excess: predicted minus measured difference to uniform, percentage points, with its t-interval; without one
            where a source has fewer than two seeds, and for uniform.
        curve_misfit: root mean square of predicted minus measured gain of accuracy since the start, percentage points,
            over the evaluations of the training.
    """

    method: str
    measured: Comparison | None
    predicted: Comparison | None
    excess: Interval
    curve_misfit: float


def find_effects(training: Runs, replica: Runs) -> list[Effect]:
    """Every allocator that both sources ran, in the order of legends."""
    ours, theirs = accuracy_points(training), accuracy_points(replica)
    measured, predicted = compare_to_uniform(training), compare_to_uniform(replica)
    return [
        Effect(
            method,
            measured.get(method),
            predicted.get(method),
            _excess(measured.get(method), predicted.get(method)),
            _curve_misfit(ours, theirs, method),
        )
        for method in in_order(set(ours["method"]) & set(theirs["method"]))
    ]


def _excess(measured: Comparison | None, predicted: Comparison | None) -> Interval:
    """Predicted minus measured difference to uniform; the seeds of the two sources have nothing in common."""
    if measured is None or predicted is None:
        return NO_INTERVAL
    return combined([*predicted.terms, *((-factor, values) for factor, values in measured.terms)])


def _curve_misfit(ours: pd.DataFrame, theirs: pd.DataFrame, method: str) -> float:
    measured, predicted = mean_curve(ours, method), mean_curve(theirs, method)
    foretold = np.interp(measured.x, predicted.x, predicted.mean - predicted.mean[0])
    return float(np.sqrt(np.mean((foretold - (measured.mean - measured.mean[0])) ** 2)))


def is_baseline(effect: Effect) -> bool:
    """Whether it is uniform, to which the replica was fitted: no prediction."""
    return effect.method == BASELINE
