"""Do intervals cover, and claims err, as often as they say? Simulated, with the functions that tables and verdicts use.

Every rate is that of thousands of made-up experiments, so it is off by chance: ``slack`` is three standard errors.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.data.types import FloatArray
from analysis.stats.board import Board
from analysis.stats.contrast import FAMILY_LEVEL, Standing, compare, corrected
from analysis.stats.curves import Curve
from analysis.stats.heldout import share_needed, smoothed
from analysis.stats.intervals import (
    LEVEL,
    Interval,
    fit_slope,
    holm,
    mean_interval,
    paired_difference,
    ratio_of_means,
    welch_difference,
)
from analysis.stats.scores import Score
from analysis.stats.verdict import Case, judge

SEEDS = (3, 5, 10)
HORIZONS = np.array([50.0, 100, 200, 500, 1000])
NAMES = ["uniform", "cero", "cero_fixed", "cero_preset", "cero_greedy", "resolve", "renew", "mopps", "greso"]


def slack(rate: float, repeats: int) -> float:
    return 3.0 * float(np.sqrt(rate * (1.0 - rate) / repeats))


def coverage(make: Callable[[], Interval], truth: float, repeats: int) -> float:
    found = [make() for _ in range(repeats)]
    return float(np.mean([one.low <= truth <= one.high for one in found]))


@pytest.mark.parametrize("seeds", SEEDS)
def test_the_interval_of_a_mean_covers_normal_data(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    covered = coverage(lambda: mean_interval(rng.normal(3.0, 2.0, seeds)), 3.0, 6_000)
    assert abs(covered - LEVEL) < slack(LEVEL, 6_000)


@pytest.mark.parametrize(("seeds", "least", "most"), [(3, 0.82, 0.86), (5, 0.80, 0.86), (10, 0.81, 0.87)])
def test_what_the_interval_of_a_mean_covers_of_skewed_data(seeds: int, least: float, most: float) -> None:
    """Lognormal with sigma = 1: short of 95 %, as the module's docstring says."""
    rng = np.random.default_rng(seeds)
    covered = coverage(lambda: mean_interval(rng.lognormal(0.0, 1.0, seeds)), float(np.exp(0.5)), 6_000)
    assert least < covered < most


@pytest.mark.parametrize(("first", "second"), [(3, 3), (5, 5), (10, 10), (3, 10)])
def test_welchs_interval_covers_with_unequal_spread(first: int, second: int) -> None:
    rng = np.random.default_rng(first)
    covered = coverage(lambda: welch_difference(rng.normal(1.0, 1.0, first), rng.normal(0.0, 3.0, second)), 1.0, 5_000)
    assert covered > 0.94 - slack(LEVEL, 3_000)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("spread", [0.1, 0.3])
def test_the_interval_of_a_ratio_of_means_covers(seeds: int, spread: float) -> None:
    """Of samples that are not paired, as seconds of trainings are."""
    rng = np.random.default_rng(seeds)

    def one() -> Interval:
        return ratio_of_means(1.2 * rng.normal(1.0, spread, seeds), rng.normal(1.0, spread, seeds))

    assert abs(coverage(one, 1.2, 3_000) - LEVEL) < 0.01 + slack(LEVEL, 3_000)


@pytest.mark.parametrize("seeds", SEEDS)
def test_the_interval_of_a_slope_covers(seeds: int) -> None:
    """Regret K^-1/2 with a seed's own level, and noise at each horizon: 15 % and 10 %, more than in the sweep."""
    rng = np.random.default_rng(seeds)

    def one() -> Interval:
        level, noise = rng.normal(0.0, 0.15, (seeds, 1)), rng.normal(0.0, 0.1, (seeds, HORIZONS.size))
        return fit_slope(HORIZONS, HORIZONS**-0.5 * np.exp(level + noise))

    assert coverage(one, -0.5, 2_000) > 0.94 - slack(LEVEL, 2_000)


RESPONSES = np.linspace(0.0, 48_000.0, 11)


def accuracy_curves(rng: np.random.Generator, seeds: int, speed: float, luck_S: FloatArray) -> list[Curve]:
    """Held-out accuracies that rise from 20 % by some 20 points, each seed at a speed of its own, smoothed as always.

    An evaluation is off by half a point, a seed's end by its luck; seeds' speeds differ by a tenth.
    """
    speed_S1 = speed * np.exp(0.1 * rng.normal(size=(seeds, 1)))
    rising_SP = (1.0 - np.exp(-speed_S1 * RESPONSES / RESPONSES[-1])) / (1.0 - np.exp(-2.0))
    rising_SP = 20.0 + 20.0 * rising_SP + 0.5 * rng.normal(size=rising_SP.shape)
    rising_SP += luck_S[:, None] * RESPONSES / RESPONSES[-1]
    runs = pd.DataFrame({"run_id": np.repeat(np.arange(seeds), RESPONSES.size), "accuracy": rising_SP.ravel()})
    smooth_SP = smoothed(runs)["accuracy"].to_numpy().reshape(rising_SP.shape)
    return [Curve(RESPONSES, row, row, row) for row in smooth_SP]


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize(
    ("speed", "truth", "least"),
    [(4.0, 0.51, (0.92, 0.92, 0.92)), (2.5, 0.81, (0.91, 0.90, 0.91)), (2.0, 0.95, (0.77, 0.81, 0.86))],
)
def test_the_interval_of_the_share_of_responses_covers(
    speed: float, truth: float, least: tuple[float, ...], joint: bool
) -> None:
    """ "Uniform's final accuracy after 50 +- 10 % of its responses", against what 4,000 seeds of each give.

    Joint: a seed's luck is the same for both. An allocator as fast as uniform has most seeds cut off at 100 %, and
    an interval that covers less, as ``share_needed`` says.
    """
    rng, many = np.random.default_rng(0), 4_000
    luck_S = 0.5 * rng.normal(size=many)
    uniform = accuracy_curves(rng, many, 2.0, luck_S)
    own = accuracy_curves(rng, many, speed, luck_S if joint else 0.5 * rng.normal(size=many))
    level = float(np.mean([line.mean[-1] for line in uniform]))
    whole = float(np.mean([min(line.first_reaches(level) / RESPONSES[-1], 1.0) for line in own]))
    assert whole == pytest.approx(truth, abs=0.02)
    for seeds, at_least in zip(SEEDS, least, strict=True):

        def one(seeds: int = seeds) -> Interval:
            first, second = rng.integers(0, many, (2, seeds))
            second = first if joint else second
            return share_needed([own[seed] for seed in first], [uniform[seed] for seed in second], joint)[0]

        assert at_least < coverage(one, whole, 400) < 0.99


def p_values(values_SA: FloatArray, paired: bool) -> list[float]:
    """Of every allocator [seeds, allocators] against the first, as ``compare`` finds them."""
    first, *others = values_SA.T
    difference = paired_difference if paired else welch_difference
    return [difference(other, first).p_value for other in others]


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("paired", [True, False])
def test_eight_equals_give_a_false_claim_in_one_of_twenty(seeds: int, paired: bool) -> None:
    """Paired: a seed's luck, twice as large as that of a run, is the same for all nine."""
    rng, repeats = np.random.default_rng(seeds), 1_500
    families = [
        p_values(rng.normal(0.0, 1.0, (seeds, 9)) + paired * rng.normal(0.0, 2.0, (seeds, 1)), paired)
        for _ in range(repeats)
    ]
    assert np.mean([min(family) <= FAMILY_LEVEL for family in families]) > 0.12  # without correction
    assert np.mean([min(holm(family)) <= FAMILY_LEVEL for family in families]) <= 0.05 + slack(0.05, repeats)


def test_a_true_difference_is_found_among_seven_that_are_none() -> None:
    rng, repeats = np.random.default_rng(0), 1_000
    shift = np.array([0.0] * 8 + [6.0])
    families = [holm(p_values(rng.normal(0.0, 1.0, (5, 9)) + shift, paired=False)) for _ in range(repeats)]
    assert np.mean([family[-1] <= FAMILY_LEVEL for family in families]) > 0.9
    assert np.mean([min(family[:-1]) <= FAMILY_LEVEL for family in families]) <= 0.05 + slack(0.05, repeats)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("paired", [True, False])
def test_the_best_of_equals_is_not_shown_to_be_ahead_of_the_next(seeds: int, paired: bool) -> None:
    """That the best two are chosen by the numbers that compare them needs no correction of its own."""
    rng, repeats, false = np.random.default_rng(seeds), 3_000, 0
    for _ in range(repeats):
        values_SA = rng.normal(0.0, 1.0, (seeds, 9)) + paired * rng.normal(0.0, 2.0, (seeds, 1))
        best = np.argsort(values_SA.mean(axis=0))[:-3:-1]
        false += p_values(values_SA[:, best], paired)[0] <= FAMILY_LEVEL
    assert false / repeats <= 0.05 + slack(0.05, repeats)


def test_a_verdict_corrects_all_that_it_says_of_a_score() -> None:
    """Eight allocators against the baseline and the best two against each other; minor scores without the latter."""
    rng = np.random.default_rng(0)
    values = pd.DataFrame(rng.normal(0.0, 1.0, (5, 9)) + 0.4 * np.arange(9), columns=NAMES)
    for paired in (True, False):
        score = Score("accuracy", values, paired=paired)
        found = judge([Case([score], NAMES)])[0].contrasts
        alone = p_values(values.to_numpy(), paired)
        top, following = values.drop(columns="uniform").mean().sort_values(ascending=False).index[:2]
        lead = compare(score, str(top), str(following))
        assert lead is not None
        assert [one.adjusted for one in found] == pytest.approx(holm([*alone, lead.adjusted])[:-1])
        assert [one.mean.p_value for one in found] == pytest.approx(alone)


def test_what_a_world_says_of_its_settings_is_false_in_one_of_twenty() -> None:
    """Five settings of three equal allocators: ahead or behind is counted over settings, and in any of them false."""
    rng, repeats = np.random.default_rng(0), 100
    false = {"together": 0, "each by itself": 0}
    for _ in range(repeats):
        values = (pd.DataFrame(rng.normal(0.0, 1.0, (5, 3)), columns=NAMES[:3]) for _ in range(5))
        cases = [Case([Score("accuracy", one)], NAMES[:3]) for one in values]
        for how, verdicts in (("together", judge(cases)), ("each by itself", [judge([case])[0] for case in cases])):
            standings = {one.standing for verdict in verdicts for one in verdict.contrasts}
            false[how] += bool(standings & {Standing.AHEAD, Standing.BEHIND})
    assert false["together"] / repeats <= 0.05 + slack(0.05, repeats)
    assert false["each by itself"] / repeats > 0.12


def test_bold_numbers_are_corrected_for_all_scenarios() -> None:
    rng = np.random.default_rng(0)
    worlds = {f"world {place}": rng.normal(0.0, 1.0, (5, 3)) + place * np.array([0, 0, 1]) for place in range(6)}
    scores = {title: Score("gain", pd.DataFrame(values, columns=NAMES[:3])) for title, values in worlds.items()}
    leads = Board("gain", scores, {}, {}).leads
    assert [one.adjusted for one in leads.values()] == pytest.approx(holm(one.mean.p_value for one in leads.values()))
    assert list(leads) == list(scores)


def test_holm_by_hand() -> None:
    # Sorted .01, .02, .03, .5: times 4, 3, 2, 1, never below the one before.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([0.02, float("nan"), 0.03]) == pytest.approx([0.04, float("nan"), 0.04], nan_ok=True)
    assert holm([]).size == 0


def test_correction_keeps_the_order_of_a_family() -> None:
    values = pd.DataFrame({"uniform": [1.0, 2, 3], "cero": [5.0, 6.2, 7], "mopps": [1.1, 1.9, 3.3]})
    score = Score("accuracy", values)
    alone = [compare(score, method, "uniform") for method in ("mopps", "cero")]
    family = corrected(one for one in alone if one is not None)
    assert [one.method for one in family] == ["mopps", "cero"]
    assert family[1].adjusted == pytest.approx(2 * family[1].mean.p_value)
