"""The report: verdicts made from numbers by hand, a page that is whole and always the same, and works in a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from analysis.data.load import Runs, load_runs
from analysis.figures import OF_SETTING, OF_STUDY
from analysis.report.__main__ import main
from analysis.report.page import render
from analysis.report.pictures import richest
from analysis.report.settings import find_worlds
from analysis.stats import tally
from analysis.stats.contrast import Standing, compare
from analysis.stats.scores import Score, find_scores
from analysis.stats.verdict import Case, Verdict, find_case, judge
from tests.test_analysis_data import horizon_infos, make_info, power_law, write_detailed_run, write_infos
from tests.test_analysis_training import write_run, write_study

REGRETS = {"cero": (0.10, 0.11, 0.12), "uniform": (0.20, 0.22, 0.24)}


def score(values: Mapping[str, Sequence[float]], name: str = "final held-out accuracy", **options: Any) -> Score:
    """Values by allocator, one a seed."""
    return Score(name, pd.DataFrame(values), **options)


def regret(values: Mapping[str, Sequence[float]] = REGRETS) -> Score:
    return score(values, "regret per prompt", higher_is_better=False, percent=False, baselines=("cero", "uniform"))


def against_uniform(*differences: float) -> Score:
    """CERO's accuracy is uniform's 40 % and these points, seed by seed."""
    uniform = [40.0] * len(differences)
    return score({"cero": [one + other for one, other in zip(uniform, differences, strict=True)], "uniform": uniform})


# --- one allocator against another ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("differences", "standing"),
    [
        # Mean 20, standard deviation 1, t(0.975, 2) = 4.303: 20 +- 2.48.
        ((19, 20, 21), Standing.AHEAD),
        ((-19, -20, -21), Standing.BEHIND),
        # Mean 2, standard deviation sqrt(3): 2 +- 4.30, though all seeds say the same.
        ((1, 1, 4), Standing.NOT_SHOWN),
        ((-1, -1, -4), Standing.NOT_SHOWN),
        ((-1, 1, 3), Standing.NOT_SHOWN),
        ((0, 0, 0), Standing.NOT_SHOWN),
        ((1e-12, 1e-12, 1e-12), Standing.NOT_SHOWN),
        ((1, 1, 1), Standing.AHEAD),
        ((20,), Standing.ONE_SEED),
    ],
)
def test_what_may_be_claimed(differences: tuple[float, ...], standing: Standing) -> None:
    found = compare(against_uniform(*differences), "cero", "uniform")
    assert found is not None
    assert found.standing is standing


def test_less_regret_is_ahead() -> None:
    found = compare(regret(), "uniform", "cero")
    assert found is not None
    assert found.standing is Standing.BEHIND
    # Differences 0.10, 0.11, 0.12: 0.11 +- 0.0248.
    assert found.sentence() == (
        "Uniform is behind CERO in regret per prompt: 0.220 against 0.110, difference +0.110 "
        "(95 % t-interval +0.0852 to +0.135; p = 0.0027 after correction; 3 seeds)."
    )


def test_only_seeds_that_both_have_are_compared() -> None:
    nan = float("nan")
    found = compare(score({"cero": (50, 60, nan, 10), "uniform": (40, nan, 40, 5)}), "cero", "uniform")
    assert found is not None
    assert (found.num_seeds, found.own, found.others) == (2, 30, 22.5)
    assert compare(score({"cero": (50, nan), "uniform": (nan, 40)}), "cero", "uniform") is None
    assert compare(score({"cero": (50, 60)}), "cero", "uniform") is None


@pytest.mark.parametrize(
    ("differences", "text"),
    [
        (
            (19, 20, 21),
            "CERO is ahead of Uniform in final held-out accuracy: 60.00 % against 40.00 %, difference +20.00 points "
            "(95 % t-interval +17.52 to +22.48; p < 0.001 after correction; 3 seeds).",
        ),
        (
            (-1, -1, -4),
            "CERO and Uniform: no difference in final held-out accuracy that 3 seeds can show: 38.00 % against "
            "40.00 %, difference −2.00 points (95 % t-interval −6.30 to +2.30; p = 0.18 after correction; 3 seeds).",  # noqa: RUF001
        ),
        (
            (0, 0),
            "CERO and Uniform: no difference in final held-out accuracy that 2 seeds can show: 40.00 % against "
            "40.00 %, difference 0.00 points (95 % t-interval 0.00 to 0.00; p = 1 after correction; 2 seeds).",
        ),
        ((7,), "CERO against Uniform in final held-out accuracy: one seed: no claim (47.00 % against 40.00 %)."),
    ],
)
def test_a_sentence_has_the_claim_and_its_numbers(differences: tuple[float, ...], text: str) -> None:
    found = compare(against_uniform(*differences), "cero", "uniform")
    assert found is not None
    assert found.sentence() == text


# --- one setting ----------------------------------------------------------------------------------------------------


def verdict_on(scores: Sequence[Score], needed: Mapping[str, str] | None = None) -> Verdict:
    """On one setting with all the allocators that the first score has."""
    (found,) = judge([Case(scores, list(scores[0].values.columns), needed or {})])
    return found


def verdict_of(runs: Runs) -> Verdict:
    (found,) = judge([find_case(runs)])
    return found


def headline(*scores: Score) -> str:
    return verdict_on(scores).headline


def test_headline_of_one_that_is_ahead() -> None:
    assert headline(against_uniform(19, 20, 21)) == (
        "In final held-out accuracy, CERO (by 20.00 points) is ahead of Uniform."
    )


def test_headline_with_every_standing() -> None:
    values = {
        "cero": (42, 42, 42.3),
        "uniform": (40, 40, 40),
        "cero_fixed": (41, 41, 44),
        "cero_preset": (30, 30, 30.3),
        "cero_greedy": (39, 41, 43),
        "alpha": (41, np.nan, np.nan),
        "mine": (45, np.nan, np.nan),
        "oracle": (60, 61, 62),
    }
    assert headline(score(values)) == (
        "In final held-out accuracy, CERO (by 2.10 points) is ahead of Uniform. Uniform is ahead of CERO-preset (by "
        "9.90 points). There is no difference that 3 seeds can show between Uniform and CERO-fixed and CERO-greedy. "
        "One seed: no claim about Alpha and Mine. "
        "Headroom: Oracle, which is told the success rates, is ahead of Uniform by 21.00 points."
    )


def test_headline_says_which_of_several_is_first() -> None:
    values = {"uniform": (40, 40, 40), "cero": (50, 51, 52), "cero_fixed": (45, 46, 47)}
    assert headline(score(values)) == (
        "In final held-out accuracy, CERO (by 11.00 points) and CERO-fixed (by 6.00 points) are ahead of Uniform. "
        "First is CERO, ahead of the next, CERO-fixed, by 5.00 points."
    )
    values["cero_fixed"] = (49, 51, 51)  # differences to CERO: 1, 0, 1
    assert headline(score(values)).endswith("Which of CERO and CERO-fixed is first, 3 seeds cannot show.")


def test_the_baseline_of_regret_is_cero_and_may_win() -> None:
    assert headline(regret()) == "In regret per prompt, CERO is ahead of Uniform (by 0.110)."
    assert headline(regret({"uniform": (0.2, 0.2), "mine": (0.1, 0.1)})) == (
        "In regret per prompt, Mine (by 0.100) is ahead of Uniform."
    )


def test_nothing_is_claimed_from_one_seed() -> None:
    verdict = verdict_on([against_uniform(20), against_uniform(-20)], {"cero": "It is fast."})
    assert verdict.headline == "In final held-out accuracy, one seed: no claim about CERO."
    assert verdict.sentences == [
        "CERO against Uniform in final held-out accuracy: one seed: no claim (60.00 % against 40.00 %). "
        "Also: final held-out accuracy 20.00 % against 40.00 %."
    ]
    assert verdict.disagreements == []


def test_without_a_seed_in_common_nothing_is_compared() -> None:
    nan = float("nan")
    verdict = verdict_on([score({"cero": (50, nan), "uniform": (nan, 40)})])
    assert verdict.headline.startswith("No two allocators have a seed in common")
    assert verdict.sentences == [
        "CERO and Uniform have no seed in common with a final held-out accuracy: not compared."
    ]


@pytest.mark.parametrize(
    ("accuracy", "rate", "text"),
    [
        (
            (-1, -1.1, -1.2),
            (5, 5.1, 5.2),
            "behind Uniform in final held-out accuracy (−1.10 points), but higher in effective-group rate "  # noqa: RUF001
            "(+5.10 points).",
        ),
        (
            (1, 1.1, 1.2),
            (-2, -2, -2.3),
            "ahead of Uniform in final held-out accuracy (+1.10 points), but lower in effective-group rate "
            "(−2.10 points).",  # noqa: RUF001
        ),
        ((1, 1.1, 1.2), (-1, -1, -4), ""),
        ((1, 1.1, 1.2), (5, 5.1, 5.2), ""),
        ((1, 1.1, 1.2), (-1, 1, 1), ""),
        ((-1, 1, 1), (5, 5.1, 5.2), ""),
    ],
)
def test_measures_that_disagree_are_named(accuracy: Sequence[float], rate: Sequence[float], text: str) -> None:
    rates = Score("effective-group rate", against_uniform(*rate).values)
    found = verdict_on([against_uniform(*accuracy), rates]).disagreements
    assert found == ([f"The measures disagree on CERO: {text}"] if text else [])


def test_more_effective_groups_and_more_regret_disagree() -> None:
    rates = score({"cero": (50, 51), "uniform": (60, 61)}, "effective-group rate")
    regrets = regret({"cero": (0.1, 0.1), "uniform": (0.2, 0.2)})
    assert verdict_on([regrets, rates]).disagreements == [
        "The measures disagree on Uniform: behind CERO in regret per prompt (+0.100), but higher in effective-group "
        "rate (+10.00 points)."
    ]


def test_verdict_on_a_training(tmp_path: Path) -> None:
    verdict = verdict_of(load_runs(write_study(tmp_path)))
    assert verdict.headline == (
        "In final held-out accuracy, CERO (by 20.00 points) is ahead of Uniform. Uniform is ahead of Random-matched "
        "(by 10.00 points)."
    )
    # Trainings are not paired: standard deviations 5 and 4, 20 +- 10.46. Family of three: CERO and Random-matched
    # against Uniform, and CERO against Random-matched. pass@16: 100 against 74, 82, 90: +-19.87. Groups: 9 of 12
    # effective against 8 of 12.
    assert verdict.sentences[0] == (
        "CERO is ahead of Uniform in final held-out accuracy: 60.00 % against 40.00 %, difference +20.00 points "
        "(95 % t-interval +9.54 to +30.46; p = 0.019 after correction; 3 seeds). It reaches Uniform's final accuracy "
        "after 57 % of Uniform's responses (95 % interval 33 to 81 %). Also: pass@16 100.00 % against 82.00 % (no "
        "difference shown); effective-group rate 75.00 % against 66.67 % (higher)."
    )
    assert "None of its seeds reaches Uniform's final accuracy." in verdict.sentences[1]


def test_a_verdict_says_how_many_seeds_reach_uniforms_accuracy(tmp_path: Path) -> None:
    for seed, end in enumerate((0.5, 0.3, 0.35)):
        write_run(tmp_path, "cero", seed, (0.2, 0.25, end))
        write_run(tmp_path, "uniform", seed, (0.2, 0.3, 0.4))
    told = verdict_of(load_runs(tmp_path)).sentences[0]
    # Seed 0 has 40 % at 24 + 24 * 15 / 25 of 48 responses: 80 %. With 100 and 100: 93.3 +- 4.303 * 20 / 3.
    assert "1 of its 3 seeds reaches Uniform's final accuracy: counting the others as 100 %, after 93 %" in told
    assert "(95 % interval 65 to 122 %)" in told


def test_verdict_on_learning_in_the_simulator_is_by_accuracy(tmp_path: Path) -> None:
    infos = [
        make_info(method, seed, study="dynamics", dynamics="learning(0.2)", heldout_start=0.2, heldout_end=end)
        for method, ends in {"cero": (0.5, 0.51), "uniform": (0.4, 0.41)}.items()
        for seed, end in enumerate(ends)
    ]
    for info in infos:
        info["results"].update(optimum=None, optimum_kind=None, regret=None, regret_per_prompt=None)
    found = load_runs(write_infos(tmp_path, infos))
    assert [one.name for one in find_scores(found)] == ["final held-out accuracy", "effective-group rate"]
    assert verdict_of(found).headline == "In final held-out accuracy, CERO (by 10.00 points) is ahead of Uniform."


def test_one_allocator_is_nothing_to_compare(tmp_path: Path) -> None:
    assert verdict_of(load_runs(write_run(tmp_path))).headline == "Only CERO ran: there is nothing to compare."


# --- several settings -----------------------------------------------------------------------------------------------


def sweep_infos() -> list[dict[str, Any]]:
    """CERO has less regret than uniform from K = 400 on, and the same at 100."""
    more = {100: 0.0, 400: 0.05, 1600: 0.15}
    cero = power_law(1.0, -0.5)
    laws = {"cero": cero, "uniform": lambda seed, K: cero(seed, K) + more[K] * (1 + seed / 50)}
    return [*horizon_infos(laws), make_info("cero", 0, study="drift", dynamics="drift(1)")]


def test_settings_of_one_world_are_counted(tmp_path: Path) -> None:
    alone, world = reversed(find_worlds(load_runs(write_infos(tmp_path, sweep_infos())).settings()))
    assert alone.headline == "Only CERO ran: there is nothing to compare."
    assert (world.title, len(world.settings)) == ("Simulator: Beta(1, 1), study horizon", 3)
    assert world.labels == ["K = 100, B = 500", "K = 400, B = 2,000", "K = 1,600, B = 8,000"]
    assert world.headline == (
        "In regret per prompt, Uniform against CERO: no difference shown in 1, behind in 2 of 3 settings."
    )
    assert world.summary == [
        "Lowest mean regret per prompt: CERO in 3 of 3 settings with 2 allocators.",
        "Uniform against CERO in regret per prompt: no difference shown in 1, behind in 2 of 3 settings "
        "(difference 0 to +0.153).",
    ]


def test_allocators_that_stand_alike_are_told_together() -> None:
    verdicts = []
    for low in (0.1, 0.15):
        values = {"cero": (0.2, 0.2), "cero_fixed": (low, low), "oracle": (0.0, 0.0), "uniform": (1.0, 1.0)}
        verdicts.append(verdict_on([regret(values)]))
    assert tally.headline(verdicts) == (
        "In regret per prompt, CERO-fixed (by 0.0500 to 0.100) is ahead of CERO in all 2 settings. CERO is ahead of "
        "Uniform (by 0.800) in all 2 settings. Headroom: Oracle (by 0.200) is ahead of CERO in all 2 settings."
    )
    assert tally.lines(verdicts)[0] == "Lowest mean regret per prompt: CERO-fixed in 2 of 2 settings with 4 allocators."


def test_settings_of_one_world_are_corrected_together() -> None:
    """CERO against uniform with t = 5 on two degrees of freedom: p = 0.038, of one setting a claim, of two none."""
    # Mean 5, standard deviation sqrt(3): of three seeds an error of 1.
    differences = (5 - np.sqrt(3), 5, 5 + np.sqrt(3))
    case = Case([against_uniform(*differences)], ["cero", "uniform"])
    (alone,) = judge([case])
    assert alone.headline == "In final held-out accuracy, CERO (by 5.00 points) is ahead of Uniform."
    assert "p = 0.038 after correction" in alone.sentences[0]
    two = judge([case, case])
    assert "p = 0.075 after correction" in two[0].sentences[0]
    assert two[0].headline == two[1].headline != alone.headline
    assert tally.headline(two) == (
        "In final held-out accuracy, no difference between Uniform and CERO is shown in all 2 settings."
    )
    assert tally.headline([alone, alone]).endswith("CERO (by 5.00 points) is ahead of Uniform in all 2 settings.")


def test_one_seed_in_several_settings_is_no_claim_either() -> None:
    verdicts = [verdict_on([against_uniform(points)]) for points in (20, 30)]
    assert tally.headline(verdicts) == "In final held-out accuracy, one seed: no claim about CERO in all 2 settings."
    assert tally.lines(verdicts) == [
        "CERO against Uniform in final held-out accuracy: one seed: no claim in 2 of 2 settings "
        "(difference +20.00 points to +30.00 points)."
    ]


# --- the page -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of training with a run that is not finished, a sweep, and two detailed runs of the simulator."""
    directory = tmp_path_factory.mktemp("results")
    write_study(directory / "llm" / "study")
    write_run(directory / "llm" / "study", "uniform", seed=3, finish=False)
    write_infos(directory / "sim" / "sweep", sweep_infos())
    for method in ("cero", "uniform"):
        write_detailed_run(directory / "sim" / "detailed", method, (4, 4, 2, 2), predicts=method == "cero")
    return directory


@pytest.fixture(scope="module")
def runs(records: Path) -> Runs:
    return load_runs(records)


@pytest.fixture(scope="module")
def page(runs: Runs) -> str:
    return render(runs)


class Addresses(HTMLParser):
    """What the page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def test_the_page_loads_nothing(page: str) -> None:
    addresses = Addresses()
    addresses.feed(page)
    assert len(addresses.found) > 5
    assert [one for one in addresses.found if not one.startswith(("#", "data:image/"))] == []
    plain = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"https?://|@import|url\(", plain)
    assert "default-src 'none'" in page


def test_the_page_is_the_same_every_time(page: str, records: Path) -> None:
    assert render(load_runs(records / "llm", records / "sim")) == page


def test_the_verdict_comes_first_and_every_figure_follows(page: str, runs: Runs) -> None:
    training, *simulated = sorted(runs.settings(), key=lambda setting: setting.source)
    assert training.source == "llm"
    places = [page.index(f'id="{part}"') for part in ("verdict", "explore", "pictures", "tables", "origins")]
    assert places == sorted(places)
    assert "In final held-out accuracy, CERO (by 20.00 points) is ahead of Uniform." in page[: places[1]]
    drawable = [
        *(stem for runs in (training, *simulated) for stem, one in OF_SETTING.items() if not one.missing(runs)),
        *(stem for stem, (figure, study) in OF_STUDY.items() if not figure.missing(runs.study(study))),
    ]
    assert {"accuracy", "effective_rate", "selection_lift", "regret_horizon"} <= set(drawable)
    for stem in drawable:
        assert f'data-figure="{stem}"' in page


def test_what_is_left_out_is_named(page: str, runs: Runs) -> None:
    assert f"Not finished, left out: {runs.unfinished[0]}." in page
    assert "4 of 6 settings kept no table of rounds" in page
    assert "Held-out accuracy against responses spent: no held-out evaluation was recorded" in page


def test_settings_seeds_and_versions_are_named(page: str) -> None:
    origin = page[page.index('id="origins"') :]
    assert "<td>0 to 2</td>" in re.sub(r'<td class="number">', "<td>", origin)
    for text in ("learning_rate", "arithmetic(broad)", "abc", "2026-01-01 00:00:00 UTC", "not recorded"):
        assert text in origin


@pytest.mark.parametrize("quiet", [False, True])
def test_a_bar_says_how_far_it_is(runs: Runs, capsys: pytest.CaptureFixture[str], quiet: bool) -> None:
    render(runs, quiet)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("report: 100%|" in shown.err) is not quiet


def test_text_of_records_is_no_markup(tmp_path: Path) -> None:
    write_run(tmp_path, "cero", model="<script>alert(1)</script>")
    made = render(load_runs(tmp_path))
    assert "<script>alert" not in made
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made


def test_unlike_runs_of_a_study_leave_out_its_figure_only(tmp_path: Path) -> None:
    infos = [make_info(method, 0, saturation=scale) for method in ("cero", "uniform") for scale in (1.0, 2.0)]
    made = render(load_runs(write_infos(tmp_path, infos)))
    assert 'data-figure="regret_horizon"' not in made
    assert "but differ in saturation; put them in sweeps of their own" in made


@pytest.mark.parametrize("names", [("first", "second"), ("first", "first")])
def test_two_sweeps_may_share_a_cell(tmp_path: Path, names: Sequence[str]) -> None:
    """Both are told, each under its own name (its folder where they have one name), and nothing is counted twice."""
    laws = {"cero": power_law(1.0, -0.5), "uniform": power_law(0.1, 0.0)}
    for place, name, horizons in zip(("a", "b"), names, ((100, 400), (400, 1600)), strict=True):
        infos = horizon_infos(laws, horizons=horizons)
        for info in infos:  # the ids of the two differ, as those of two experiments or of unlike detail do
            info.update(experiment=name, run_id=f"{place}-{info['run_id']}")
        write_infos(tmp_path / place, infos)
    found = load_runs(tmp_path)
    worlds = find_worlds(found.settings())
    told = names if names[0] != names[1] else [str(tmp_path / place) for place in "ab"]
    assert [world.title for world in worlds] == [f"Simulator: Beta(1, 1), study horizon; {name}" for name in told]
    assert [[one.problem["num_rounds"] for one in world.settings] for world in worlds] == [[100, 400], [400, 1600]]
    made = render(found)
    assert made.count('data-figure="regret_horizon"') == 2
    assert [made.count(f"<h3>Studies of {name}</h3>") for name in told] == [1, 1]


def test_sweeps_that_add_to_one_another_are_told_together(tmp_path: Path) -> None:
    for name, method in (("first", "cero"), ("second", "uniform")):
        infos = horizon_infos({method: power_law(0.1, 0.0)})
        for info in infos:
            info["experiment"] = name
        write_infos(tmp_path / name, infos)
    (world,) = find_worlds(load_runs(tmp_path).settings())
    assert world.title == "Simulator: Beta(1, 1), study horizon"
    assert all(len(one.infos) == 6 for one in world.settings)


def test_only_the_richest_settings_get_figures_of_their_own(tmp_path: Path) -> None:
    for number in range(5):
        write_run(tmp_path, learning_rate=number)
    write_run(tmp_path, "uniform", learning_rate=4)
    chosen, left = richest(load_runs(tmp_path))
    assert (len(chosen), len(left)) == (4, 1)
    assert chosen[0].scenario["learning_rate"] == 4


# --- the command ----------------------------------------------------------------------------------------------------


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "study")
    assert main(run, out=tmp_path / "page.html") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "study"]


@pytest.mark.parametrize(
    ("given", "out", "message"),
    [
        ((), "page.html", "no runs; give the folder"),
        (("nowhere",), "page.html", "no finished run in it"),
        (("study",), "none/page.html", "none does not exist; make it"),
        (("copy",), "page.html", "have the same method and seed; put them in experiments of their own"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: Sequence[str], out: str, message: str
) -> None:
    for folder, detail in (("study", ("rounds", "evals")), ("copy", ("rounds",)), ("copy", ("rounds", "evals"))):
        write_run(tmp_path / folder, detail=detail)
    assert main(*(tmp_path / one for one in given), out=tmp_path / out, quiet=True) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


# --- in a browser ---------------------------------------------------------------------------------------------------

# What a reader does, written into the page's title: looks at the charts, hides an allocator, points, sorts a table.
READER = """
<script>
const inside = (root) =>
  [...root.querySelectorAll("*")].flatMap((e) => [e, ...(e.shadowRoot ? inside(e.shadowRoot) : [])]);
const called = (root, name) => inside(root).filter((e) => e.classList.contains(name));
addEventListener("load", () => setTimeout(() => {
  const places = [...document.querySelectorAll(".chart")];
  const seen = { drawn: places.map((place) => inside(place).filter((e) => e.tagName === "CANVAS").length > 0) };
  const plot = Bokeh.documents[0].roots()[0];
  const names = [...places[0].closest("figure").querySelectorAll(".legend button")];
  seen.names = names.map((e) => e.textContent.trim());
  names[0].click();
  seen.visible = plot.renderers.map((renderer) => renderer.visible);
  seen.pressed = names.map((e) => e.ariaPressed);
  const button = document.querySelector("#tables th:nth-child(4) button");
  const column = () => [...button.closest("table").tBodies[0].rows].map((row) => row.cells[3].textContent);
  button.click();
  seen.up = column();
  button.click();
  seen.down = column();
  const view = Bokeh.index.get_by_id(plot.id), data = plot.renderers[5].data_source.data;
  const [area] = called(places[0], "bk-events"), box = area.getBoundingClientRect();
  const at = { clientX: box.left + view.frame.x_scale.compute(data.x[1]), bubbles: true, composed: true };
  at.clientY = box.top + view.frame.y_scale.compute(data.mean[1]);
  area.dispatchEvent(new PointerEvent("pointermove", { ...at, pointerType: "mouse", isPrimary: true }));
  setTimeout(() => {
    seen.shown = called(document.body, "bk-Tooltip").flatMap((e) => inside(e.shadowRoot).map((one) => one.innerText));
    document.title = JSON.stringify(seen);
  }, 500);
}, 1000));
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None and os.environ.get("CI"):
        pytest.fail("no Chromium; apt-get install chromium")
    if found is None:
        pytest.skip("no Chromium to open the page in")
    return found


def visit(browser: str, page: Path, *options: str) -> tuple[str, list[str]]:
    """What the browser prints, and what the page writes to its console."""
    fixed = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={page.parent / 'profile'}"]
    done = subprocess.run(
        [browser, *fixed, *offline, "--virtual-time-budget=10000", *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    harmless = ("setting log level to", "ResizeObserver loop completed")
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return done.stdout, [line for line in console if not any(words in line for words in harmless)]


def test_a_reader_can_explore_it(browser: str, page: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page.replace("</body>", f"{READER}</body>"))
    dom, console = visit(browser, tmp_path / "page.html", "--dump-dom")
    assert console == []
    title = re.search(r"<title>(\{.*\})</title>", dom)
    assert title, "the charts did not answer"
    seen = json.loads(title[1])
    assert seen["drawn"] == [True] * 4
    assert seen["names"] == ["CERO", "Uniform", "Random-matched"]
    assert seen["visible"] == [False] * 3 + [True] * 6
    assert seen["pressed"] == ["false", "true", "true"]
    assert seen["up"] == ["30.00 ± 0.00", "40.00 ± 9.94", "60.00 ± 12.42"]
    assert seen["down"] == seen["up"][::-1]
    assert {"Uniform", "24", "30", "30 to 30"} <= {text.strip() for text in seen["shown"] if text}


@pytest.mark.parametrize("width", [1280, 400])
def test_it_is_drawn(browser: str, page: str, tmp_path: Path, width: int) -> None:
    (tmp_path / "page.html").write_text(page)
    image = tmp_path / "page.png"
    _, console = visit(browser, tmp_path / "page.html", f"--window-size={width},2400", f"--screenshot={image}")
    assert console == []
    pixels = imread(image)[..., :3]
    assert pixels.shape[:2] == (2400, width)
    dark = (pixels.min(axis=2) < 0.5).mean(axis=1)
    assert 0.005 < dark.mean() < 0.3, "blank or black"
    assert (dark[-600:] > 0).mean() > 0.3, "nothing far down the page"


# What a phone shows: where every table has its names, before it is scrolled and at its end, and where the legends are.
PHONE = """
<script>
addEventListener("load", () => setTimeout(() => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  const seen = { page: document.documentElement.scrollWidth, names: [], legends: [] };
  for (const place of document.querySelectorAll(".scroll")) {
    const cell = place.querySelector("td.named");
    for (const far of [0, 1e6]) {
      place.scrollLeft = far;
      const box = cell.getBoundingClientRect();
      seen.names.push([place.scrollLeft > 0, box.left, box.right]);
    }
  }
  for (const button of document.querySelectorAll(".legend button")) {
    const box = button.getBoundingClientRect();
    seen.legends.push([box.left, box.right]);
  }
  document.title = JSON.stringify(seen);
}, 1000));
</script>
"""


def test_on_a_phone_names_stay_in_sight_and_legends_are_whole(browser: str, tmp_path: Path) -> None:
    """At 390 pixels, with an allocator of many options."""
    options = {"catch_up": True, "forgetting": 0.95, "price": 0.25, "prior": "pool"}
    infos = [
        make_info(method, seed, num_rounds=horizon, options=given, regret_per_prompt=0.1 / (1 + seed) / horizon)
        for method, given in (("cero", options), ("uniform", {}), ("cero", {}))
        for seed in range(2)
        for horizon in (100, 400)
    ]
    made = render(load_runs(write_infos(tmp_path / "sweep", infos)))
    phone = '<iframe style="width:390px;height:844px;border:0" srcdoc="'
    framed = made.replace("</body>", f"{PHONE}</body>").replace("&", "&amp;").replace('"', "&quot;")
    asks = "<script>setTimeout(() => document.title = frames[0].document.title, 4000)</script>"
    (tmp_path / "phone.html").write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{phone}{framed}"></iframe>{asks}')
    dom, _ = visit(browser, tmp_path / "phone.html", "--dump-dom", "--window-size=800,900")
    title = re.search(r"<title>(\{.*\})</title>", dom)
    assert title, "the page did not answer"
    seen = json.loads(title[1].replace("&quot;", '"'))
    assert seen["page"] <= 390
    assert any(scrolled for scrolled, _, _ in seen["names"])
    for _, left, right in seen["names"]:
        assert left >= 0
        assert right - left <= 0.7 * 390
        assert right <= 390
    assert len(seen["legends"]) == 3
    for left, right in seen["legends"]:
        assert 0 <= left < right <= 390
