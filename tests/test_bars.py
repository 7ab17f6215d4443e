"""The table of what `resolve` was to reach: its numbers are those of the records."""

import math

import numpy as np
import pytest

from analysis.data.load import load_runs
from analysis.data.results import results_frame
from analysis.tables.resolve_targets import bars_table
from cerolab.errors import RecordError
from sim.experiment.engine import run_experiment
from sim.leaderboard_settings import LeaderboardSettings


@pytest.fixture(scope="module")
def runs_of_K(tmp_path_factory):
    out, found = tmp_path_factory.mktemp("results"), {}
    for rounds in (10, 30):
        settings = LeaderboardSettings(
            name=f"bars_K{rounds}", out=out, num_rounds=rounds, num_prompts=40, seeds=2,
            allocators=("cero", "resolve", "uniform"), scenarios=("beta(1, 1)", "beta(2, 2)"),
        )  # fmt: skip
        run_experiment(settings, workers=1, quiet=True)
        found[rounds] = load_runs(settings.directory)
    return found


def test_regrets_thirds_and_slopes_are_those_of_the_records(runs_of_K):
    lines = bars_table(runs_of_K).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    row = next(row for row in cells if "Beta(1, 1)" in row[0])
    regret = {}
    for rounds, runs in runs_of_K.items():
        data = results_frame(runs)
        data = data[data["population"] == "beta(1, 1)"]
        regret[rounds] = data.groupby("method")["regret_per_prompt"].mean()
        by_seed = data.pivot_table(index="method", columns="seed", values="regret_per_prompt")  # of K = 30 at last
    expected = [regret[10]["cero"], regret[10]["resolve"], regret[30]["cero"], regret[30]["cero"] / 3]
    expected.append(regret[30]["resolve"])
    assert [cell.partition(" ± ")[0] for cell in row[1:6]] == [f"{value:.5f}" for value in expected]
    # Of two seeds: half of the difference, times t(0.975, 1).
    spread = abs(np.subtract(*by_seed.loc["cero"])) / 2 * 12.7062
    assert row[3] == f"{regret[30]['cero']:.5f} ± {spread:.5f}"
    assert row[4] == f"{regret[30]['cero'] / 3:.5f} ± {spread / 3:.5f}"
    slopes = [math.log(regret[30][method] / regret[10][method]) / math.log(3) for method in ("cero", "resolve")]
    assert [cell.partition(" [")[0] for cell in row[7:]] == [
        f"{slope:.2f}".replace("-", "\N{MINUS SIGN}") for slope in slopes
    ]


def test_a_missing_method_or_scenario_is_named(runs_of_K):
    short, long = runs_of_K[10], runs_of_K[30]
    for key, message in (("method", "no run of 'resolve'"), ("scenario", r"K = 30: no runs of .*2, 2")):
        first = next(iter(long.infos.values()))[key]  # of CERO, on Beta(1, 1)
        kept = [run_id for run_id, info in long.infos.items() if info[key] == first]
        with pytest.raises(RecordError, match=message):
            bars_table({10: short, 30: long.only(kept)})
