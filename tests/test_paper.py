"""The paper's tables against numbers worked out by hand, and the command that redraws everything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread, imsave
from scipy import stats

from analysis import paper
from analysis.data.load import Runs, load_runs, load_setting
from analysis.data.results import results_frame
from analysis.stats.intervals import Interval, plus_minus
from analysis.tables.mechanism import COST_RATIO, mechanism
from analysis.tables.paper_tables import ablations, main_results, mechanisms
from analysis.tables.published import ABLATIONS, MAIN
from cerolab.errors import RecordError
from cerolab.records import RunSettings, RunWriter, pack_experiment
from tests.test_analysis_data import horizon_infos, power_law, write_detailed_run, write_infos
from tests.test_analysis_mechanism import write_record
from tests.test_analysis_training import PROBLEM, SCENARIO, write_study

# Macro-averaged avg@16 in percent by method and seed.
MACRO = {
    "cero": (50.0, 54.0, 58.0),
    "uniform": (40.0, 44.0, 42.0),
    "cero_fixed": (51.0, 50.0, 49.0),
}


def write_scored(directory: Path, scores: dict[str, Sequence[float]] = MACRO, samples: int = 0) -> Path:
    """Runs with nothing but a last evaluation: two suites, four points above and below the macro-average."""
    for method, by_seed in scores.items():
        for seed, macro in enumerate(by_seed):
            settings = RunSettings(
                source="llm",
                experiment=directory.name,
                method=method,
                seed=seed,
                problem=PROBLEM,
                scenario=SCENARIO,
                detail=("evals",),
            )
            writer = RunWriter(directory, settings, {})
            for at, shift in ((0, -0.2), (4, 0.0)):
                for suite, above in (("sums", 0.04), ("products", -0.04), ("macro", 0.0), ("all", 0.01)):
                    writer.append(
                        "evals",
                        {
                            "round": at,
                            "responses_spent": 12 * at,
                            "suite": suite,
                            "problem": "all",
                            "samples": samples,
                            "avg_at_n": macro / 100 + above + shift,
                            "pass_at_n": macro / 100 + 0.3,
                        },
                    )
            writer.finish({})
    return directory


@pytest.fixture
def training(tmp_path: Path) -> Runs:
    return load_setting(write_scored(tmp_path / "study-sums"))


@pytest.mark.parametrize(
    ("values", "digits", "text"),
    [
        # Standard deviation 4, times t(0.975, 2) / sqrt(3) = 2.48414.
        ([50.0, 54.0, 58.0], 2, "54.00 ± 9.94"),
        ([-1.5], 2, "−1.50"),  # noqa: RUF001
        ([], 2, ""),
        ([488.0, 488.0], None, "488 ± 0"),
        ([487.0, 488.0], None, "487.5 ± 6.4"),
        ([0.0532, 0.0534], None, "0.0533 ± 0.0013"),
        ([1920.0], None, "1,920"),
    ],
)
def test_plus_minus(values: list[float], digits: int | None, text: str) -> None:
    assert plus_minus(values, digits) == text


def test_table_1_by_hand(training: Runs) -> None:
    table = main_results([training])
    ours = table.cells[table.cells["where"] == "Training: arithmetic(broad), tiny"].set_index("method")
    assert ours.index.tolist() == ["CERO", "Uniform", "CERO-fixed"]
    assert ours.loc["CERO", "macro-average"] == "54.00 ± 9.94 / 84.00 ± 9.94"
    assert ours.loc["CERO", "all questions"] == "55.00 ± 9.94 / 84.00 ± 9.94"
    assert ours.loc["CERO", "sums"] == "58.0 / 84.0"
    assert ours.loc["CERO", "products"] == "50.0 / 84.0"
    # Welch: standard deviations 4 and 2: error sqrt(20 / 3), 2 * 20^2 / (16^2 + 4^2) degrees of freedom.
    half = np.sqrt(20 / 3) * stats.t.ppf(0.975, 2 * 400 / 272)
    assert ours.loc["CERO", "against Uniform, points"] == f"12.00 [{12 - half:.2f}, {12 + half:.2f}]"
    assert ours.loc["Uniform", "against Uniform, points"] == ""
    assert (ours["seeds"] == "3").all()
    assert "exact success rates in place of 16 samples" in table.caption
    numbers = table.numbers[(table.numbers["suite"] == "macro") & (table.numbers["source"] == "llm")]
    cero = numbers[numbers["method"] == "cero"].iloc[0]
    measured = cero[["avg_at_n", "avg_half", "pass_at_n", "difference"]].tolist()
    assert measured == pytest.approx([54, 4 * 2.48414, 84, 12], abs=1e-4)


def test_published_rows_stand_apart(training: Runs) -> None:
    table = main_results([training])
    published = table.cells[table.cells["where"].str.startswith("Published: ")]
    assert len(published) == sum(len(by_method) for by_method in MAIN.values()) == 12
    assert "30.19 / 49.28" in published["macro-average"].to_numpy()
    assert (published["against Uniform, points"] == "").all()
    assert set(table.numbers["source"]) == {"llm", "published"}


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    table = main_results([load_setting(write_scored(tmp_path, {"cero": (50.0,), "uniform": (40.0,)}, samples=16))])
    cero = table.cells.iloc[0]
    assert cero["macro-average"] == "50.00 / 80.00"
    assert cero["against Uniform, points"] == "10.00 (1 seed)"
    assert "exact" not in table.caption


def test_table_2_by_hand(training: Runs, tmp_path: Path) -> None:
    sweep = write_infos(
        tmp_path / "sweep", horizon_infos({"cero": power_law(0.5, -0.5), "cero_fixed": power_law(0.1, 0)})
    )
    table = ablations([training], results_frame(load_runs(sweep)))
    cells = table.cells.set_index("method")
    assert cells.index.tolist() == ["CERO", "CERO-fixed", "CERO-greedy", "CERO-preset"]
    published = cells["published avg@16, % (standard deviation)"].tolist()
    assert published == ["32.26 (0.94)", "31.13 (0.72)", "30.97 (0.38)", "30.71 (0.54)"]
    ours = "Training: arithmetic(broad), tiny"
    assert cells[f"{ours}: avg@16, %"].tolist() == ["54.00 ± 9.94 (3 seeds)", "50.00 ± 2.48 (3 seeds)", "", ""]
    # Welch: standard deviations 1 and 4: error sqrt(17 / 3), degrees of freedom 17^2 / (16^2 + 1) * 2.
    half = np.sqrt(17 / 3) * stats.t.ppf(0.975, 2 * 289 / 257)
    assert cells.loc["CERO-fixed", f"{ours}: against CERO, points"] == f"−4.00 [−{4 + half:.2f}, {half - 4:.2f}]"  # noqa: RUF001
    # At K = 1,600 over seeds 0, 1, 2: 0.5 (1 + seed) / 40 and 0.1 (1 + seed).
    regret = [column for column in cells if column.startswith("Simulator: regret per prompt, Beta(1, 1), K = 1,600")]
    assert cells[regret[0]].tolist() == ["0.02500 ± 0.03105", "0.20000 ± 0.24841", "", ""]
    assert len(table.numbers) == len(ABLATIONS) + 2 + 2


def test_table_3_by_hand(tmp_path: Path) -> None:
    for method, units in (("cero", (4, 4, 4, 0)), ("uniform", (3, 3, 3, 3))):
        write_detailed_run(tmp_path, method, units)
    runs = load_setting(tmp_path)
    found = mechanism(runs)
    # An even pace is 12 responses a round: 16 - 12, 32 - 24, 48 - 36, 48 - 48.
    assert found["rounds that spend"] == [3]
    assert found["peak of the pacing gap, responses"] == [12]
    assert found["end of the pacing gap, responses"] == [0]
    assert found["effective-group rate of CERO, %"] == [50]
    assert found["effective-group rate of Uniform, %"] == pytest.approx([100 / 3])
    assert found["prompts ending with 3 groups of 2 units (0.84 R in the paper), %"] == [0]
    # Everybody is admitted in every round that spends: no choice, so a lift of 1.
    assert found["selection lift at predicted success 0.4 to 0.6"] == [1]
    assert found["regret per prompt of CERO"] == [0.1]
    assert "seconds a million tokens, CERO over Uniform" not in found  # the simulator has no tokens
    table = mechanisms([runs])
    row = table.cells.set_index("quantity").loc["rounds that spend"]
    assert row.tolist() == ["488", "3"]
    assert "Simulator: Beta(1, 1), static: 1 seed" in table.caption


def test_the_ratio_of_costs_does_not_pair_trainings(tmp_path: Path) -> None:
    # A tenth of a second a token: 1 and 1.2 million seconds a million tokens; uniform's 0.5, 0.4 and 0.6, other seeds.
    for method, seconds in (("cero", {0: 10.0, 1: 12.0}), ("uniform", {1: 5.0, 2: 4.0, 3: 6.0})):
        for seed, rollout in seconds.items():
            rounds = [{"units": 1, "groups": 1, "responses": 4, "tokens": 10, "seconds_rollout": rollout}]
            write_record(tmp_path, rounds, method=method, seed=seed, source="llm")
    runs = load_setting(tmp_path)
    found = mechanism(runs)[COST_RATIO]
    assert isinstance(found, Interval)
    # Without a seed of CERO 12/5 or 10/5, without one of uniform 11/5, 11/5.5 or 11/4.5. Squares of the deviations
    # times (n - 1) / n: 0.2^2 * 2 / 2 = 0.04, and of mean 2.21481 and n = 3; Satterthwaite's degrees of freedom.
    others = np.array([11 / 5, 11 / 5.5, 11 / 4.5])
    parts = np.array([0.04, 2 / 3 * np.square(others - others.mean()).sum()])
    half = np.sqrt(parts.sum()) * stats.t.ppf(0.975, parts.sum() ** 2 / (parts[0] ** 2 + parts[1] ** 2 / 2))
    assert (found.estimate, found.half, found.num_seeds) == pytest.approx((2.2, half, 2))
    assert np.isnan(found.p_value)
    table = mechanisms([runs])
    assert table.cells.set_index("quantity").loc[COST_RATIO, runs.title] == f"2.20 ± {half:.2f}"
    assert table.numbers.query("quantity == @COST_RATIO")["half"].tolist()[1:] == pytest.approx([half])


def test_a_table_is_written_for_people_latex_and_machines(training: Runs, tmp_path: Path) -> None:
    paths = main_results([training]).save(tmp_path / "out")
    assert [path.name for path in paths] == ["table1_main.md", "table1_main.tex", "table1_main.csv"]
    markdown, latex, csv = (path.read_text() for path in paths)
    assert markdown.startswith("| where | method | seeds |")
    assert "54.00 $\\pm$ 9.94" in latex
    assert "\\toprule" in latex
    assert "\\begin{table*}" in latex
    assert not set("±−") & set(latex)  # noqa: RUF001
    assert latex.count("%") == latex.count("\\%")
    numbers = pd.read_csv(paths[2])
    assert len(numbers) == csv.count("\n") - 1
    assert np.isclose(numbers["avg_at_n"].iloc[0], 54)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    infos = horizon_infos({"cero": power_law(0.5, -0.5), "uniform": power_law(0.1, 0.0)})
    infos += horizon_infos({"cero": power_law(0.5, -0.5)}, horizons=(100,), study="pool")
    write_infos(folder / "sim/regret_sweep", infos)
    pack_experiment(folder / "sim/regret_sweep")
    for method, units in (("cero", (4, 4, 2, 2)), ("uniform", (3, 3, 3, 3))):
        write_detailed_run(folder / "sim/paper_scale", method, units)
    write_study(folder / "llm/study-sums")
    return folder


def test_the_paper_is_redrawn_with_the_same_bytes_and_checked(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {"regret_horizon", "accuracy", "pacing"}
    monkeypatch.setattr(paper, "OF_STUDY", {k: v for k, v in paper.OF_STUDY.items() if k in kept})
    monkeypatch.setattr(paper, "OF_SETTING", {k: v for k, v in paper.OF_SETTING.items() if k in kept})
    out = tmp_path / "paper_figs"
    assert paper.main(results=results, out=out, check=True, quiet=True) == 1
    assert "manifest.json is missing" in capsys.readouterr().err
    assert paper.main(results=results, out=out, quiet=True) == 0
    names = {path.name for path in out.iterdir()}
    assert {"regret_horizon.pdf", "accuracy.png", "pacing.pdf", "table3_mechanism.tex", "manifest.json"} <= names
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert paper.main(results=results, out=out, quiet=True) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    manifest = json.loads(first["manifest.json"])
    assert "sim/regret_sweep/runs.parquet" in manifest["inputs"]
    assert not any("regret_sweep/cero" in name for name in manifest["inputs"])  # what is packed is read from there
    assert sum(name.startswith("llm/study-sums/") for name in manifest["inputs"]) == 9 * 3
    assert paper.main(results=results, out=out, check=True, quiet=True) == 0

    (out / "table2_ablations.md").write_text("typed by hand\n")
    (out / "pacing.png").write_bytes(first["accuracy.png"])
    assert paper.main(results=results, out=out, check=True, quiet=True) == 1
    errors = capsys.readouterr().err
    assert "table2_ablations.md: not what the records give" in errors
    assert "pacing.png: not what the records give" in errors
    assert "accuracy" not in errors


def shaken(runs: Runs, size: float) -> Runs:
    """The same runs with every number that is none by counting off by up to ``size``, relative."""
    rng = np.random.default_rng(7)

    def shake(value: Any) -> Any:
        counted = not isinstance(value, float) or np.isnan(value) or value == round(value)
        return value if counted else value * (1.0 + size * rng.choice([-1.0, 1.0]))

    infos = {
        run_id: {**info, "results": {key: shake(value) for key, value in info["results"].items()}}
        for run_id, info in runs.infos.items()
    }
    tables = {}
    for name in ("rounds", "evals", "groups", "pool"):
        if runs.kept(name):
            table = runs.table(name).copy()
            for column in table.select_dtypes("float64"):
                table[column] = [shake(value) for value in table[column].tolist()]
            tables[name] = table
    return Runs(infos, runs.folders, runs.unfinished, _tables=tables)


@pytest.mark.parametrize(("size", "status"), [(1e-14, 0), (1e-6, 1)])
def test_another_machine_finds_the_paper_up_to_date_and_other_numbers_do_not_pass(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: float, status: int
) -> None:
    monkeypatch.setattr(paper, "OF_STUDY", {"regret_horizon": paper.OF_STUDY["regret_horizon"]})
    monkeypatch.setattr(paper, "OF_SETTING", {"accuracy": paper.OF_SETTING["accuracy"]})
    out = tmp_path / "paper_figs"
    assert paper.main(results=results, out=out, quiet=True) == 0
    load_one, load_all = paper.load_setting, paper.load_runs
    monkeypatch.setattr(paper, "load_setting", lambda *paths: shaken(load_one(*paths), size))
    monkeypatch.setattr(paper, "load_runs", lambda *paths: shaken(load_all(*paths), size))
    assert paper.main(results=results, out=out, check=True, quiet=True) == status


def test_bytes_alone_do_not_fail_the_check(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "OF_STUDY", {"regret_horizon": paper.OF_STUDY["regret_horizon"]})
    monkeypatch.setattr(paper, "OF_SETTING", {})
    out = tmp_path / "paper_figs"
    assert paper.main(results=results, out=out, quiet=True) == 0
    (out / "regret_horizon.pdf").write_bytes((out / "regret_horizon.pdf").read_bytes() + b"% drawn elsewhere\n")
    shade = np.array(imread(out / "regret_horizon.png"))
    shade[..., 0] = np.clip(shade[..., 0] - 1 / 255, 0.0, 1.0)
    imsave(out / "regret_horizon.png", shade)
    assert paper.main(results=results, out=out, check=True, quiet=True) == 0
    (out / "regret_horizon.pdf").unlink()
    assert paper.main(results=results, out=out, check=True, quiet=True) == 1


def test_new_records_are_noticed(results: Path, tmp_path: Path) -> None:
    old, new = ({"inputs": {"a": "1", "b": "1"}, "outputs": {}}, {"inputs": {"a": "2", "c": "1"}, "outputs": {}})
    for name, manifest in (("old", old), ("new", new)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    assert paper.differences(tmp_path / "old", tmp_path / "new") == [
        "a: changed",
        "b: added or removed",
        "c: added or removed",
    ]


def test_what_was_not_made_here_is_not_replaced(results: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    (tmp_path / "fresh").mkdir()
    with pytest.raises(RecordError, match="photos is not empty and was not made by this command"):
        paper.replace(tmp_path / "photos", tmp_path / "fresh")


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("sim/regret_sweep", r"regret_sweep does not exist; make it with `python -m sim\.regret_sweep`"),
        ("sim/paper_scale", r"paper_scale does not exist; make it with `python -m sim\.paper_scale`"),
        ("llm/study-sums", r"llm: no study; make it with `python -m llm\.study`"),
    ],
)
def test_a_missing_experiment_is_named(results: Path, tmp_path: Path, lost: str, message: str) -> None:
    (results / lost).rename(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match=message):
        paper.make_paper(results, tmp_path / "out")
