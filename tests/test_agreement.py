"""Agreement of a training and its replica: rank correlations by hand, pairs, effects, and the command."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.agreement.__main__ import main
from analysis.agreement.effects import Effect, find_effects
from analysis.agreement.findings import effect_lines, score_lines
from analysis.agreement.page import find_agreement
from analysis.agreement.pairs import Kind, find_pairs
from analysis.agreement.ranks import rank_agreement
from analysis.data.load import load_setting
from analysis.stats.heldout import Comparison
from analysis.stats.intervals import Interval
from analysis.stats.scores import Score
from cerolab import AllocationProblem
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.runs import run_method
from tests.replicas import train

PROBLEM = AllocationProblem(num_prompts=200, num_rounds=40, budget=1600, capacity=42, max_units=2, responses_per_unit=4)
METHODS = ("uniform", "cero", "random_matched", "oracle(recovery=4)")
ABCD = ("cero", "uniform", "random_matched", "cero_fixed")


def table(*columns, seeds=4, noise=0.0):
    """A row a seed: the means, and noise that differs from method to method but has mean zero."""
    values = np.tile(np.array(columns, float), (seeds, 1))
    values += noise * np.array([[(-1) ** (s + (s // 2) * a) for a in range(len(columns))] for s in range(seeds)])
    return pd.DataFrame(values, columns=list(ABCD[: len(columns)]))


def test_rank_correlations_by_hand():
    ranks = rank_agreement(table(1, 2, 3, 4), table(10, 30, 20, 40), ABCD)
    assert ranks.spearman.all_seeds == pytest.approx(1 - 6 * 2 / (4 * 15))  # two places exchanged
    assert ranks.kendall.all_seeds == pytest.approx((5 - 1) / 6)
    assert ranks.p_value == pytest.approx(2 * (1 + 3) / 24)  # orders with at most one inversion, of 4! and both ways
    assert ranks.same_by_chance == pytest.approx(1 / 24)
    assert (ranks.spearman.least, ranks.spearman.most) == pytest.approx((0.8, 0.8))  # seeds without noise
    tied = rank_agreement(table(1, 2, 2, 4), table(10, 30, 20, 40), ABCD)
    assert tied.spearman.all_seeds == pytest.approx(stats.spearmanr([1, 2, 2, 4], [1, 3, 2, 4]).statistic)
    assert tied.kendall.all_seeds == pytest.approx(stats.kendalltau([1, 2, 2, 4], [1, 3, 2, 4]).statistic)
    reverse = rank_agreement(table(1, 2, 3, 4), table(4, 3, 2, 1), ABCD)
    assert (reverse.spearman.all_seeds, reverse.kendall.all_seeds) == pytest.approx((-1, -1))


def test_the_range_says_what_a_single_seed_moves():
    # Means 1, 2.5, 3, 4; without the last seed the second allocator has 3.2 and is third.
    noisy = pd.DataFrame([[1, 3.2, 3, 4], [1, 3.2, 3, 4], [1, 1.1, 3, 4]], columns=list(ABCD), dtype=float)
    ranks = rank_agreement(table(1, 2, 3, 4), noisy, ABCD)
    assert (ranks.spearman.all_seeds, ranks.spearman.most) == pytest.approx((1, 1))
    assert ranks.spearman.least == pytest.approx(0.8)
    assert ranks.kendall.least == pytest.approx(4 / 6)
    assert ranks.spearman.text() == "1.00 (0.80 to 1.00 without single seeds)"


def test_what_cannot_be_ranked_is_nan():
    for predicted in (table(1, 2), table(3, 3, 3)):
        ranks = rank_agreement(table(1, 2, 3), predicted, list(predicted))
        assert np.isnan([ranks.spearman.all_seeds, ranks.kendall.all_seeds, ranks.kendall.least]).all()


def test_seeds_that_an_allocator_lacks_are_left_out_of_its_mean():
    holes = table(1, 2, 3, 4)
    holes.iloc[0, 3] = -100.0
    assert rank_agreement(holes, table(1, 2, 3, 4), ABCD).kendall.all_seeds < 1
    holes.iloc[0, 3] = np.nan
    found = rank_agreement(holes, table(1, 2, 3, 4), ABCD)
    assert found.kendall.all_seeds == pytest.approx(1)
    holes.iloc[1:, 3] = np.nan  # one seed: without it there is no mean
    holes.iloc[0, 3] = 4.0
    assert np.isnan(rank_agreement(holes, table(1, 2, 3, 4), ABCD).kendall.least)


def score(values):
    return Score("final held-out accuracy", values)


def test_pairs_are_reversed_only_where_both_sources_are_sure():
    measured = score(table(10, 12, 12.01, 15, noise=0.1))
    predicted = score(table(13, 12, 12.02, 12.01, noise=0.01))
    kinds = {(pair.measured.method, pair.measured.other): pair.kind for pair in find_pairs(measured, predicted, ABCD)}
    assert kinds[("cero", "uniform")] is Kind.REVERSED
    assert kinds[("cero", "cero_fixed")] is Kind.REVERSED
    assert kinds[("uniform", "random_matched")] in (Kind.UNKNOWN, Kind.PREDICTED)
    assert kinds[("random_matched", "cero_fixed")] is Kind.MEASURED
    assert len(kinds) == 6
    lines = score_lines(measured, predicted)
    assert any(
        line.startswith("Reversed, sure in both: CERO with Uniform, measured \N{MINUS SIGN}2.00 points")
        for line in lines
    )
    assert any("Of 6 pairs of allocators" in line for line in lines)
    assert "1 in 24" in lines[0]
    same = find_pairs(measured, measured, ABCD)
    assert {pair.kind for pair in same} <= {Kind.SAME, Kind.UNKNOWN}


def test_an_allocator_with_one_seed_is_named_and_not_ranked():
    single = table(1, 2, 3, 4)
    single.iloc[1:, 1] = np.nan
    lines = score_lines(score(single), score(table(1, 2, 3, 4)))
    assert lines[0].startswith("Rank correlation over 3 allocators")
    assert lines[1] == "Not ranked, for want of a second seed: Uniform."
    single.iloc[1:, 2] = np.nan
    assert "it takes three" in score_lines(score(single), score(table(1, 2, 3, 4)))[0]


def test_the_oracle_is_left_out_once():
    tables = [table(1, 2, 3, 4).rename(columns={"cero_fixed": "oracle"}) for _ in range(2)]
    lines = score_lines(*map(score, tables))
    assert "over 4 allocators" in lines[0]
    assert "over the 3 that are not told the success rates: Spearman 1.00" in lines[1]


def comparison(*differences):
    return Comparison(pd.Series(differences, dtype=float), pd.Series([0.0] * len(differences)), paired=True)


def test_a_wrong_prediction_is_named_with_its_sign():
    def effect(method, excess, ours=(1.0, 2.0), theirs=(3.0, 4.0)):
        return Effect(method, comparison(*ours), comparison(*theirs), excess, 0.1)

    lines = effect_lines(
        [
            effect("uniform", Interval(0.0, -1.0, 1.0, 2, 1.0)),
            effect("cero_fixed", Interval(0.5, float("nan"), float("nan"), 1)),
            effect("random_matched", Interval(0.5, 0.1, 0.9, 2, 0.03)),  # 0.06 after correction
            effect("cero", Interval(2.0, 1.0, 3.0, 2, 0.012)),
            effect("oracle", Interval(-2.0, -3.0, -1.0, 2, 0.002)),
            effect("mopps", Interval(0.1, -0.9, 1.1, 2, 0.8)),
        ]
    )
    assert lines[0].startswith("CERO is held for better than it is: measured 1.50 [")
    assert lines[0].endswith("predicted minus measured 2.00 [1.00, 3.00] points, p = 0.036 after correction.")
    assert lines[1].startswith("Oracle is held for worse than it is")
    assert lines[2].startswith("Random-matched: no disagreement that 2 seeds can show")
    assert lines[3].startswith("MoPPS: no disagreement")
    assert lines[4].startswith("CERO-fixed, 1 seed: no claim")
    assert len(lines) == 5


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A training and, as its replica, the same world without the relabelling; other seeds."""
    folder = tmp_path_factory.mktemp("results")
    train(folder / "study-toy", METHODS, seeds=3, problem=PROBLEM)
    for seed in range(10, 13):
        world = Scenario(population="0.7*beta(0.4, 4) + 0.3*beta(20, 10)", dynamics="learning(1.5, 0.9, 0.5, 0.6)")
        for method in METHODS:
            cell = Cell(world, PROBLEM, seed)
            run_method(cell, Method.parse(method), folder / "replica-toy", ("rounds", "evals"), {})
    return folder / "study-toy", folder / "replica-toy"


def test_the_excess_is_welchs_interval_and_curves_are_compared_where_the_training_was_evaluated(pair):
    training, replica = map(load_setting, pair)
    for effect in find_effects(training, replica):
        if effect.method == "uniform":
            continue
        assert (effect.measured.paired, effect.predicted.paired) == (False, True)  # only simulated runs share luck
        ours, baseline = effect.measured.own.to_numpy(), effect.measured.uniform.to_numpy()
        theirs = (effect.predicted.own - effect.predicted.uniform).to_numpy()
        parts = np.array([sample.var(ddof=1) / 3 for sample in (ours, baseline, theirs)])
        assert effect.excess.estimate == pytest.approx(theirs.mean() - ours.mean() + baseline.mean())
        quantile = stats.t.ppf(0.975, 2 * parts.sum() ** 2 / (parts**2).sum())
        assert effect.excess.half == pytest.approx(quantile * np.sqrt(parts.sum()))
        assert effect.excess.num_seeds == 3
        assert 0 < effect.curve_misfit < 5
    itself = find_effects(training, training)
    assert [effect.curve_misfit for effect in itself] == [0.0] * 4
    assert all(effect.excess.estimate == 0 for effect in itself)


def test_the_page_holds_table_ranks_and_every_allocator(pair):
    found = find_agreement(*map(load_setting, pair))
    text = found.markdown()
    assert list(found.sections) == [
        "Final accuracy against Uniform's",
        "Ranking by final held-out accuracy",
        "Ranking by pass@16",
        "Ranking by effective-group rate",
    ]
    assert found.table["seeds"].tolist() == ["3 | 3"] * 4
    assert found.table["allocator"].tolist() == ["CERO", "Uniform", "Random-matched", "Oracle (recovery=4)"]
    assert "# Training: toy, tiny and its replica" in text
    assert "says little" in text
    ends = load_setting(pair[0]).infos.values()
    uniform = np.mean([info["results"]["heldout_end"] for info in ends if info["method"] == "uniform"])
    assert found.table["accuracy at end, %"][1].startswith(f"{100 * uniform:.2f} | ")


def test_the_command_writes_page_and_figure_beside_the_replica(pair, tmp_path, capsys):
    assert main(*pair, out=tmp_path) == 0
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["agreement.png", "agreement.svg"]
    printed = capsys.readouterr().out
    assert "measured in training | predicted by the replica" in printed
    assert "Rank correlation over 4 allocators" in printed
    assert "Rank correlation over 4 allocators" in (tmp_path / "agreement.md").read_text()


def test_what_is_no_training_and_its_replica_is_refused(pair, tmp_path, capsys):
    assert main(pair[1], pair[0]) == 1
    assert "its runs are of source 'sim', not 'llm'; give the folder of a training, then" in capsys.readouterr().err
    assert main(pair[0], pair[0]) == 1
    assert "its runs are of source 'llm', not 'sim'" in capsys.readouterr().err
    other = AllocationProblem(**(PROBLEM.to_dict() | {"budget": 800}))
    for name, problem, message in (
        ("study-other", other, "differ in budget (800 and 1600); give the replica of this training"),
        ("study-few", PROBLEM, "fewer than two allocators in common"),
    ):
        train(tmp_path / name, ("cero",) if name == "study-few" else METHODS, seeds=1, problem=problem)
        assert main(tmp_path / name, pair[1]) == 1
        assert message in capsys.readouterr().err
    assert main(tmp_path / "nowhere", pair[1]) == 1
