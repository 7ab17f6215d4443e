"""The offline benchmark by cvxpy beside the closed forms: what it finds, what records keep, how a failure is said."""

import json
from dataclasses import replace

import cvxpy as cp
import pytest

from analysis.data.load import load_runs
from analysis.tables.offline import offline_check
from cerolab import optimum
from cerolab.errors import CerolabError, RecordError, SolverError
from cerolab.records import provenance, read_run
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.engine import run_experiment
from sim.experiment.offline import OfflineSettings
from sim.experiment.runs import run_method
from sim.experiment.task import RunFailedError
from sim.leaderboard_settings import LeaderboardSettings
from sim.sweep_settings import SweepSettings
from sim.worlds.populations import parse_population

SHAPES = [
    "beta(1, 1)",
    "beta(0.5, 0.5)",
    "beta(0.3, 1)",
    "beta(2, 2)",
    "beta(0.05, 2)",
    "point(0.5)",
    "0.4*beta(1, 1) + 0.3*point(0) + 0.3*point(1)",
]
SMALL = SweepSettings(
    allocators=("uniform", "cero"),
    ablations=(),
    populations=("beta(0.3, 1)",),
    num_prompts=40,
    horizons=(20,),
    pool_sizes=(),
    drifts=(0.1,),
    drift_prompts=60,
    drift_horizon=30,
    small_drifts=(0.1,),
    small_prompts=5,
    small_horizon=5,
    dynamics=("learning(0.2)",),
    dynamics_prompts=30,
    dynamics_horizon=10,
    seeds=2,
)


def _ended(monkeypatch, status):
    """Every solver ends so."""

    def solve(programme, *_, **__):
        programme._status = status

    monkeypatch.setattr(cp.Problem, "solve", solve)


def _failing(monkeypatch):
    def solve(*_, **__):
        raise cp.SolverError("Solver 'SCS' failed. Try another solver.\nOr be verbose.")

    monkeypatch.setattr(cp.Problem, "solve", solve)


def _cell(optimum_by, dynamics="static", **sizes):
    settings = replace(SMALL, **sizes)
    problem = settings.problem(settings.num_prompts, 20)
    return Cell(Scenario(population="beta(0.3, 1)", dynamics=dynamics), problem, 0, optimum_by=optimum_by)


@pytest.mark.parametrize("population", SHAPES)
@pytest.mark.parametrize("size", [(1, 10), (5, 20), (100, 100), (400, 50)])
def test_cvxpy_finds_the_closed_forms_optimum_on_every_shape(population, size):
    problem = SMALL.problem(*size)
    for seed in range(2):
        success = parse_population(population).draw(size[0], seed)
        rate = success * (1 - success)
        closed, solved = optimum.solve_static_continuous(rate, problem), optimum.solve_static_cvxpy(rate, problem)
        assert solved.value == pytest.approx(closed.value, rel=2e-8, abs=1e-8 * problem.num_prompts)
        assert solved.gap <= 1e-7 * max(solved.value, 1.0)
        assert (solved.solver, solved.status) == ("SCS", "optimal")


def test_a_pool_that_nothing_can_be_learned_from_needs_no_solver():
    found = optimum.solve_static_cvxpy([0.0, 0.0, 1e-21], SMALL.problem(3, 10))
    assert found.value == 0.0
    assert found.gap < 1e-12


@pytest.mark.parametrize("integer", [False, True])
def test_a_solver_that_stops_early_is_named(monkeypatch, integer):
    _ended(monkeypatch, "optimal_inaccurate")
    with pytest.raises(SolverError, match=f"{'HIGHS' if integer else 'SCS'} ended with 'optimal_inaccurate'"):
        optimum.solve_static_cvxpy([0.1, 0.2], SMALL.problem(2, 5), integer)


def test_a_solver_that_fails_is_named(monkeypatch):
    _failing(monkeypatch)
    with pytest.raises(SolverError, match=r"SCS ended with .failed .Solver 'SCS' failed"):
        optimum.solve_static_cvxpy([0.1, 0.2], SMALL.problem(2, 5))
    with pytest.raises(SolverError, match="HIGHS"):
        optimum.solve_dynamic([[0.1, 0.2]] * 5, SMALL.problem(2, 5))


def test_a_failed_solver_stands_in_the_record_and_replaces_nothing(monkeypatch, tmp_path):
    sure = _cell("closed").optimum
    _ended(monkeypatch, "user_limit")
    cell = _cell("both")
    assert cell.optimum == sure
    results = run_method(cell, Method.parse("uniform"), tmp_path / "exp", (), provenance())
    assert (results["cvxpy_optimum"], results["cvxpy_solver"], results["cvxpy_status"]) == (None, "SCS", "user_limit")
    assert results["optimum"] == pytest.approx(sure[0], rel=1e-11)
    with pytest.raises(SolverError, match="user_limit"):
        _ = _cell("cvxpy").optimum


def test_a_failed_solver_ends_a_sweep_that_measures_against_it(monkeypatch, tmp_path):
    _failing(monkeypatch)
    settings = replace(SMALL, out=tmp_path, name="x", optimum="cvxpy", seeds=1)
    with pytest.raises(RunFailedError, match=r"SolverError.*SCS"):
        run_experiment(settings, workers=1, quiet=True)


def test_by_default_one_seed_of_every_cell_that_cvxpy_takes_has_both(tmp_path):
    run_experiment(replace(SMALL, out=tmp_path, name="x"), workers=1, quiet=True)
    runs = load_runs(tmp_path / "sim" / "x")
    asked = {
        (info["scenario"]["study"], info["seed"])
        for info in runs.infos.values()
        if info["results"].get("cvxpy_status") == "optimal"
    }
    assert asked == {("horizon", 0), ("small_drift", 0)}
    for info in runs.infos.values():
        results, seed = info["results"], info["seed"]
        if info["scenario"]["study"] == "horizon" and seed == 0:
            assert results["cvxpy_optimum"] == pytest.approx(results["cvxpy_closed_form"], rel=1e-7)
            assert results["optimum"] <= results["cvxpy_closed_form"] + 1e-9
            assert results["cvxpy_gap"] < 1e-6
            assert results["cvxpy_solver"] == "SCS"
        if info["scenario"]["study"] == "small_drift" and seed == 0:
            assert results["optimum_kind"] == "same-path upper bound"
            assert results["cvxpy_optimum"] <= results["optimum"] + 1e-9
            assert results["cvxpy_solver"] == "HIGHS"
    said = offline_check(runs)
    assert "static continuous, SCS) in 1 cell" in said
    assert "same-path exact, HIGHS) in 1 cell" in said


def test_regret_can_be_measured_against_cvxpy(tmp_path):
    """The method, its coins and so its value stay the same."""
    found = {}
    for choice in ("closed", "cvxpy"):
        results = run_method(_cell(choice), Method.parse("cero"), tmp_path / choice, (), provenance())
        found[choice] = results
        info = read_run(next((tmp_path / choice).iterdir())).info
        assert info["scenario"].get("optimum") == (None if choice == "closed" else "cvxpy")
    assert found["cvxpy"]["value"] == found["closed"]["value"]
    assert found["cvxpy"]["optimum_kind"] == "static continuous by cvxpy"
    lost = found["cvxpy"]["cvxpy_optimum"] - found["cvxpy"]["value"]
    assert found["cvxpy"]["regret"] == pytest.approx(lost, rel=1e-9)
    assert found["cvxpy"]["regret"] == pytest.approx(found["closed"]["regret"], rel=0.05)
    assert "cvxpy_optimum" not in found["closed"]


def test_who_solves_is_no_part_of_a_run_but_where_regret_is_measured_against_it():
    ids = {
        choice: _cell(choice).settings("x", Method.parse("cero"), ()).run_id for choice in ("closed", "both", "cvxpy")
    }
    assert ids["closed"] == ids["both"] != ids["cvxpy"]


def test_regret_against_cvxpy_is_not_mixed_into_a_folder_of_other_regret(tmp_path):
    settings = replace(SMALL, out=tmp_path, name="x", seeds=1, drifts=(), small_drifts=(), dynamics=())
    run_experiment(replace(settings, optimum="closed"), workers=1, quiet=True)
    with pytest.raises(RecordError, match="optimum"):
        run_experiment(replace(settings, optimum="cvxpy"), workers=1, quiet=True)
    run_experiment(replace(settings, optimum="both", seeds=2), workers=1, quiet=True)  # the same regret: goes on


@pytest.mark.parametrize("bad", [{"optimum": "gurobi"}, {"cvxpy_seeds": -1}, {"cvxpy_seeds": 1.5}])
@pytest.mark.parametrize("settings", [OfflineSettings, SweepSettings, LeaderboardSettings])
def test_bad_choices_are_refused(settings, bad):
    with pytest.raises(CerolabError, match=next(iter(bad))):
        settings(**bad)


def test_choices_go_to_the_seeds_that_they_name():
    assert [OfflineSettings(cvxpy_seeds=2).optimum_by(seed) for seed in range(3)] == ["both", "both", "closed"]
    assert [OfflineSettings(optimum="cvxpy", cvxpy_seeds=0).optimum_by(seed) for seed in range(2)] == ["cvxpy"] * 2
    assert {cell.optimum_by for cell, _ in replace(SMALL, optimum="closed").cells()} == {"closed"}
    board = LeaderboardSettings(seeds=2, scenarios=("beta(1, 1)",))
    assert [cell.optimum_by for cell, _ in board.cells()] == ["both", "closed"]


def test_a_moving_path_that_is_too_large_keeps_its_bound():
    cell = _cell("cvxpy", dynamics="drift(0.1)", num_prompts=200)
    assert cell.by_cvxpy is None
    assert cell.optimum[1] == "same-path upper bound"


def test_the_sentence_names_solvers_that_failed(tmp_path, monkeypatch):
    run_method(_cell("both"), Method.parse("uniform"), tmp_path / "x", (), provenance())
    file = next((tmp_path / "x").iterdir()) / "run.json"
    info = json.loads(file.read_text())
    info["results"] |= {"cvxpy_optimum": None, "cvxpy_status": "user_limit"}
    file.write_text(json.dumps(info))
    (tmp_path / "x" / "experiment.json").write_text(json.dumps({"schema_version": 1}))
    said = offline_check(load_runs(tmp_path / "x"))
    assert said == "Offline optimum by cvxpy (static continuous, SCS) in 0 of 1 cell; it failed elsewhere: user_limit."
