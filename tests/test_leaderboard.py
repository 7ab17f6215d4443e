"""The leaderboard: hand-made records against numbers worked out by hand, and a tiny real one as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import leaderboard as tables
from analysis import paper
from analysis.data.load import Runs, load_runs
from analysis.figures import leaderboard as figure
from analysis.leaderboard import CAUTION, LEAST, Summary, differences, table
from analysis.plotting.draw import draw
from analysis.readme import rewritten
from analysis.stats.board import EFFECTIVE, GAIN, REGRET, find_boards
from cerolab import BaseAllocator, optimum, register
from cerolab.errors import InvalidValueError, RecordError, UnknownNameError
from cerolab.records import claim_directory, pack_experiment, read_infos
from cerolab.tools.method import Method
from sim import leaderboard as command
from sim.experiment.engine import run_cells
from sim.experiment.task import RunFailedError
from sim.leaderboard_settings import FITTED, QUICK, LeaderboardSettings, parse_scenario
from sim.worlds.populations import parse_population
from tests.own_registry import own_registry
from tests.test_analysis_data import make_info, write_infos

# Regret per prompt by seed: resolve is surely first on beta(1, 1); on beta(2, 2) it only seems to be.
STATIC = {
    "resolve": (0.01, 0.012, 0.014),
    "cero": (0.02, 0.022, 0.026),
    "uniform": (0.1, 0.11, 0.12),
    "oracle": (0,) * 3,
}
UNSURE = {"resolve": (0.01, 0.04, 0.01), "cero": (0.02, 0.03, 0.02), "uniform": (0.1, 0.11, 0.12), "oracle": (0,) * 3}
RATES = {"resolve": 0.6, "cero": 0.8, "uniform": 0.5, "oracle": 0.4}
GAINS = {"resolve": (0.2, 0.21, 0.22), "cero": (0.1, 0.11, 0.12), "uniform": (0.05, 0.06, 0.07)}


def hand_made() -> list[dict[str, Any]]:
    """Two static scenarios and one of learning, three seeds."""
    infos = []
    for population, regrets, least in (("beta(1, 1)", STATIC, 0.008), ("beta(2, 2)", UNSURE, None)):
        for method, values in regrets.items():
            for seed, regret in enumerate(values):
                results = {"regret_per_prompt": regret, "effective_group_rate": RATES[method] + 0.001 * seed}
                results["least_regret_per_prompt"] = least
                infos.append(make_info(method, seed, study="leaderboard", population=population, **results))
    for method, gains in GAINS.items():
        for seed, gain in enumerate(gains):
            results = dict.fromkeys(("optimum", "optimum_kind", "regret", "regret_per_prompt", "variation"))
            results |= {"heldout_start": 0.3, "heldout_end": 0.3 + gain, "effective_group_rate": RATES[method]}
            infos.append(make_info(method, seed, study="leaderboard", dynamics="learning(0.2)", **results))
    return infos


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return load_runs(write_infos(tmp_path / "leaderboard", hand_made()))


def test_boards_by_hand(runs: Runs) -> None:
    regret, gain, effective = find_boards(runs)
    assert (regret.name, gain.name, effective.name) == (REGRET, GAIN, EFFECTIVE)
    assert list(regret.scores) == ["Beta(1, 1)", "Beta(2, 2)"]
    assert list(gain.scores) == ["Beta(1, 1), learning(0.2)"]
    assert list(effective.scores) == [*regret.scores, *gain.scores]
    assert regret.least == {"Beta(1, 1)": 0.008}
    assert regret.order == ["resolve", "cero", "uniform", "oracle"]  # told the rates: behind, and without a rank
    assert regret.mean_ranks.to_dict() == {"resolve": 1, "cero": 2, "uniform": 3}
    assert effective.mean_ranks.to_dict() == {"cero": 1, "resolve": 2, "uniform": 3}
    assert effective.overall.values["oracle"].isna().all()  # it lacks a scenario


def test_a_table_by_hand(runs: Runs) -> None:
    shown = table(find_boards(runs)[0]).set_index("allocator")
    # Thousandths; standard deviation 2, times 4.303 / sqrt(3).
    assert shown.loc["Resolve", "Beta(1, 1)"] == "**12.00 ± 4.97**"
    assert shown.loc["Uniform", "Beta(1, 1)"] == "110.00 ± 24.84"
    # Means of 20 and 23.3, but differences of 10, -10 and 10.
    assert shown.loc["Resolve", "Beta(2, 2)"] == "20.00 ± 43.03"
    assert "mean rank" not in shown  # of two scenarios: either may turn it over
    assert shown.loc[LEAST].to_dict() == dict.fromkeys(shown.columns, "") | {"Beta(1, 1)": "8.00"}
    # Over both scenarios: (0.09 + 0.09) / 2, (0.098 + 0.07) / 2, (0.106 + 0.11) / 2.
    # Differences -0.09, -0.084, -0.108: mean -0.094, standard deviation 0.01249.
    assert shown.loc["Resolve", "against Uniform"] == "−94.00 [−125.03, −62.97]"  # noqa: RUF001
    assert shown.loc["Uniform", "against Uniform"] == ""


def test_differences_by_hand(runs: Runs) -> None:
    shown = differences(find_boards(runs)[1], "cero").set_index("allocator")
    assert shown.loc["Resolve", "Beta(1, 1), learning(0.2)"] == "10.00 [10.00, 10.00]"
    assert shown.index.tolist() == ["Resolve", "Uniform"]


def test_sentences_say_who_wins_and_where_metrics_disagree(runs: Runs) -> None:
    told = Summary(runs).sentences
    assert told[:3] == [
        "Lowest regret per prompt of 2 scenarios: Resolve in 2 (ahead of the next in 1).",
        "On static rates the lowest regret is 1.50 times the least that any learner can have.",
        "Highest held-out accuracy gain of 1 scenario: Resolve in 1 (ahead of the next in 1).",
    ]
    assert (
        "The metrics disagree: better than CERO in regret per prompt, but lower in effective-group rate, "
        "Resolve in 1 of 2 scenarios."
    ) in told
    assert not any("Oracle" in one for one in told)
    assert not any("correlation" in one or "mean rank" in one for one in told)  # over two scenarios


def test_a_mean_below_the_bound_on_means_is_called_luck(tmp_path: Path) -> None:
    infos = [
        make_info(method, seed, study="leaderboard", regret_per_prompt=regret * (1 + seed),
                  least_regret_per_prompt=0.01)
        for method, regret in (("resolve", 0.006), ("uniform", 0.02))
        for seed in range(2)
    ]  # fmt: skip
    told = Summary(load_runs(write_infos(tmp_path, infos))).sentences
    assert told[1] == (
        "On static rates the lowest regret is 0.90 times the least that any learner can have. Below 1 is luck: the "
        "least bounds the average over all pools, not the mean of 2 of them."
    )


def test_over_four_scenarios_a_mean_rank_is_told_and_what_each_scenario_does_to_it(tmp_path: Path) -> None:
    regrets = {"resolve": (1, 1, 1, 3), "cero": (2, 2, 2, 1), "uniform": (3, 3, 3, 2)}
    infos = [
        make_info(method, study="leaderboard", population=f"beta({place + 1}, 1)", regret_per_prompt=0.01 * regret,
                  effective_group_rate=RATES[method])
        for method, by_world in regrets.items()
        for place, regret in enumerate(by_world)
    ]  # fmt: skip
    loaded = load_runs(write_infos(tmp_path / "four", infos))
    told = Summary(loaded).sentences
    assert told[0].endswith("Best mean rank: Resolve, 1.5, also where any one scenario is left out.")
    assert any("CERO, first in effective-group rate, is number 2 of 3 in regret per prompt" in one for one in told)
    shown = table(find_boards(loaded)[0]).set_index("allocator")
    assert shown["mean rank"].to_dict() == {"Resolve": "1.5", "CERO": "1.8", "Uniform": "2.8"}
    for info in infos:  # CERO 2, 2, 1, 1 and Resolve 1, 1, 2, 3; without the third they are equal
        if info["method"] == "cero" and info["scenario"]["population"] == "beta(3, 1)":
            info["results"]["regret_per_prompt"] = 0.001
    turned = Summary(load_runs(write_infos(tmp_path / "turned", infos))).sentences
    assert turned[0].endswith("Best mean rank: CERO, 1.5, but Resolve without Beta(4, 1).")


def test_a_budget_that_is_not_spent_is_told(tmp_path: Path) -> None:
    left = {"cero": (0, 20), "uniform": (0, 0), "greso": (100, 200)}  # of 500 units
    infos = [
        make_info(method, study="leaderboard", population=population, unspent_units=units)
        for method, by_world in left.items()
        for population, units in zip(("beta(1, 1)", "beta(2, 2)"), by_world, strict=True)
    ]
    runs = load_runs(write_infos(tmp_path, infos))
    told = Summary(runs).sentences[-1]
    assert told == "Responses are not equal where much of the budget is left, at most by GRESO 40 %."
    shown = table(find_boards(runs)[0]).set_index("allocator")
    assert shown["Beta(2, 2)"].to_dict() == {"CERO": "100.00", "Uniform": "100.00", "GRESO": "100.00 †"}


def test_the_overview_has_means_where_scenarios_are_too_few_for_ranks(runs: Runs) -> None:
    shown = Summary(runs).overview
    assert shown["allocator"].tolist() == ["Resolve", "CERO", "Uniform"]
    # By seed 60, 60.1, 60.2 in two scenarios and 60 in one: 60, 60.07, 60.13, standard deviation 1/15.
    assert shown[f"{EFFECTIVE}, %"].tolist() == ["60.1 ± 0.2", "80.1 ± 0.2", "50.1 ± 0.2"]
    assert shown[f"{GAIN}, points"].tolist() == ["21.00 ± 2.48", "11.00 ± 2.48", "6.00 ± 2.48"]


def test_above_the_gain_stands_that_it_predicts_no_training(runs: Runs) -> None:
    told = Summary(runs).markdown()
    assert f"{CAUTION}\n\nHeld-out accuracy gain, points:" in told
    assert told.count(CAUTION) == 1


def test_the_figure(runs: Runs) -> None:
    panels = draw(figure, [runs]).axes
    assert [panel.get_title("left") for panel in panels] == [
        "Beta(1, 1)",
        "Beta(2, 2)",
        "Beta(1, 1), learning(0.2)",
        "All scenarios: groups with mixed rewards",
    ]
    static, _, gain, _ = panels
    assert [label.get_text() for label in static.get_yticklabels()] == ["Resolve", "CERO", "Uniform"]
    dots = np.concatenate([line.get_xydata() for line in static.get_lines() if line.get_marker() not in ("None", "")])
    assert dots[:, 0] == pytest.approx([0.012, 0.068 / 3, 0.11])
    assert [line.get_xdata()[0] for line in static.get_lines() if line.get_linestyle() == "--"] == [0.008]
    assert [text.get_text() for text in gain.texts] == ["15.00 [15.00, 15.00]", "5.00 [5.00, 5.00]"]


def test_what_is_told_is_worked_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the terminal and for the file: the boards too, of which a leaderboard of thousands of runs has many."""
    calls: Counter[str] = Counter()

    def counting(name: str, real: Callable[[Runs], Any]) -> Callable[[Runs], Any]:
        def counted(given: Runs) -> Any:
            calls[name] += 1
            return real(given)

        return counted

    for name in ("offline_check", "find_boards"):
        monkeypatch.setattr(tables, name, counting(name, getattr(tables, name)))
    command._report(write_infos(tmp_path / "results/sim/leaderboard", hand_made()))
    assert calls == {"offline_check": 1, "find_boards": 1}


def test_readme_block_and_command(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    folder = write_infos(results / "sim/leaderboard", hand_made())
    pack_experiment(folder)
    made = rewritten("<!-- generated:leaderboard -->\n<!-- /generated -->", results)
    assert "| Resolve | **12.00 ± 4.97** | 20.00 ± 43.03 |" in made
    assert "- Lowest regret per prompt" in made
    assert tables.main(folder) == 0
    assert capsys.readouterr().out.strip() == Summary(runs).markdown()
    assert tables.main(folder, against="cero") == 0
    assert "minus that of CERO" in capsys.readouterr().out
    assert tables.main(folder, against="cer") == 1
    assert "unknown allocator of this leaderboard 'cer' (did you mean 'cero'?)" in capsys.readouterr().err


def test_the_paper_has_the_figure_where_there_is_a_leaderboard(runs: Runs, tmp_path: Path) -> None:
    sweep = write_infos(tmp_path / "sweep", [make_info(study="horizon")])
    without = [stem for stem, _, _ in paper._study_figures(load_runs(sweep))]
    both = load_runs(sweep, tmp_path / "leaderboard")
    assert [stem for stem, _, _ in paper._study_figures(both)] == [*without, "leaderboard"]
    assert "leaderboard" not in without


def test_records_of_something_else_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_infos(tmp_path / "sweep", [make_info(study="horizon")])
    assert tables.main(folder) == 1
    assert "no run of the study 'leaderboard'; make them with `python -m sim.leaderboard`" in capsys.readouterr().err
    with pytest.raises(RecordError, match="no run of the study 'leaderboard'"):
        draw(figure, [load_runs(folder)])
    with pytest.raises(RecordError, match=r"leaderboard does not exist; make it with `python -m sim\.leaderboard`"):
        rewritten("<!-- generated:leaderboard -->\n<!-- /generated -->", tmp_path)


def test_unlike_problems_in_one_scenario_are_refused(tmp_path: Path) -> None:
    infos = [make_info(study="leaderboard", num_rounds=rounds) for rounds in (10, 20)]
    with pytest.raises(RecordError, match="two problems in the same scenario"):
        find_boards(load_runs(write_infos(tmp_path, infos)))


def tiny(out: Path, **changes: Any) -> LeaderboardSettings:
    given: dict[str, Any] = {
        "name": "tiny",
        "out": out,
        "allocators": ("cero", "uniform", "oracle"),
        "scenarios": ("beta(1, 1)", "beta(0.5, 0.5) under drift(0.1)", "beta(0.3, 1) under learning(0.2)"),
        "num_prompts": 20,
        "moving_prompts": 10,
        "num_rounds": 10,
        "seeds": 2,
    }
    return LeaderboardSettings(**(given | changes))


def run(settings: LeaderboardSettings) -> int:
    claim_directory(settings.directory, settings.fixed())
    return run_cells(list(settings.cells()), settings.directory, workers=1, quiet=True)


def test_a_tiny_leaderboard_goes_on_where_it_was(tmp_path: Path) -> None:
    assert run(tiny(tmp_path, allocators=("cero", "uniform"))) == 2 * 3 * 2
    assert run(tiny(tmp_path)) == 3 * 2  # the oracle is new
    assert run(tiny(tmp_path)) == 0
    infos = read_infos(tiny(tmp_path).directory).values()
    least = {info["scenario"]["dynamics"]: info["results"]["least_regret_per_prompt"] for info in infos}
    assert least["static"] > 0
    assert least["drift(0.1)"] is least["learning(0.2)"] is None
    options = {info["scenario"]["dynamics"]: info["options"] for info in infos if info["method"] == "oracle"}
    assert options == {"static": {}, "drift(0.1)": {}, "learning(0.2)": {"recovery": 8}}
    assert len({info["problem"]["budget"] / info["problem"]["num_prompts"] for info in infos}) == 1
    assert [board.name for board in find_boards(load_runs(tiny(tmp_path).directory))] == [REGRET, GAIN, EFFECTIVE]


def test_the_command_as_a_user_starts_it(tmp_path: Path) -> None:
    arguments = ["--name", "tiny", "--out", str(tmp_path), "--seeds", "2", "--num-prompts", "20", "--num-rounds", "10"]
    arguments += ["--allocators", "cero", "uniform", "knapsack", "--scenarios", "beta(1, 1)", "--workers", "1"]
    done = subprocess.run([sys.executable, "-m", "sim.leaderboard", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "6 runs in" in done.stdout
    folder = tmp_path / "sim" / "tiny"
    assert (folder / "figures" / "leaderboard.png").exists()
    assert "| Least of any learner |" in (folder / "summary.md").read_text()
    assert len(read_infos(folder)) == 6
    # What reads the results alone reads them from the packed table.
    for record in [path for path in folder.iterdir() if path.is_dir() and path.name != "figures"]:
        for file in record.iterdir():
            file.unlink()
        record.rmdir()
    assert Summary(load_runs(folder)).markdown() + "\n" == (folder / "summary.md").read_text()


def test_an_allocator_that_raises_is_named_with_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_registry(monkeypatch)

    @register
    class Broken(BaseAllocator[Any]):
        name = "broken"

        def _select(self) -> Any:
            raise ZeroDivisionError("no prompt is left")

        _learn = _arrays = _load_arrays = _select  # type: ignore[assignment]

    with pytest.raises(
        RunFailedError, match=r"broken on beta.*M=20, K=10, seed=0: AllocatorError: .* ZeroDivisionError"
    ):
        run(tiny(tmp_path, allocators=("uniform", "broken")))


def test_by_default_every_allocator_but_the_control_runs() -> None:
    settings = LeaderboardSettings()
    static, learning = (settings.methods(parse_scenario(text)) for text in ("beta(1, 1)", FITTED))
    assert {method.name for method in static} == {method.name for method in learning} >= {"cero", "uniform", "oracle"}
    assert "random_matched" not in {method.name for method in static}
    assert Method(name="oracle", options={"recovery": 8}) in learning
    assert set(QUICK) < set(LeaderboardSettings.__dataclass_fields__)


def test_scenarios_as_text() -> None:
    found = parse_scenario("0.5*beta(1,1) + 0.5*point(0) under shift(0.5) with graded(5) rewards")
    assert (found.population, found.dynamics, found.rewards) == (
        "0.5*beta(1, 1) + 0.5*point(0)",
        "shift(0.5)",
        "graded(5)",
    )
    assert parse_scenario("beta(1, 1)").to_dict() == {
        "population": "beta(1, 1)",
        "dynamics": "static",
        "rewards": "binary",
        "study": "leaderboard",
    }
    with pytest.raises(UnknownNameError, match="unknown population 'bta'"):
        parse_scenario("bta(1, 1)")
    with pytest.raises(InvalidValueError, match="is empty"):
        parse_scenario(" ")
    with pytest.raises(UnknownNameError, match="unknown dynamics 'drft'"):
        tiny(Path("unused"), scenarios=("beta(1, 1) under drft(1)",)).check()


@pytest.mark.parametrize(
    ("field", "value"),
    [("seeds", 0), ("num_rounds", 0), ("scenarios", ()), ("mean_units", 3.0), ("capacity_ratio", 0.5)],
)
def test_settings_that_cannot_be_are_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidValueError, match=field):
        LeaderboardSettings(**{field: value})


def test_nodes_have_the_population_s_moments() -> None:
    success, weight = parse_population("0.5*beta(2, 2) + 0.2*point(0) + 0.3*point(1)").nodes()
    assert weight.sum() == pytest.approx(1)
    assert success @ weight == pytest.approx(0.5 * 0.5 + 0.3)
    # E p(1-p) of Beta(2, 2) is 1/5.
    assert (success * (1 - success)) @ weight == pytest.approx(0.5 / 5, rel=1e-3)
    problem = LeaderboardSettings(num_prompts=100).problem(parse_scenario("beta(2, 2)"))
    coarse, fine = (optimum.learner_bound(*parse_population("beta(2, 2)").nodes(n), problem).regret for n in (100, 200))
    assert coarse == pytest.approx(fine, rel=1e-2)
