"""Allocators of users in sweeps and trainings: their code is part of a run, their records stay apart."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.data.load import load_runs
from cerolab import AllocationProblem, BaseAllocator, Feedback, available, make, register, registry
from cerolab.errors import AllocatorError, InvalidValueError, RecordError
from cerolab.plugins.sources import sources
from cerolab.records import RunSettings, RunWriter, own, read_infos
from cerolab.selection.top_k import TieOrder, top_scores
from cerolab.tools.method import Method
from sim.experiment.engine import run_cells, run_experiment
from sim.experiment.task import RunFailedError
from sim.leaderboard_settings import LeaderboardSettings
from tests.strategies import play
from tests.test_engines import run_in_parcels
from tests.test_regret_sweep import lend_registry, settings, sweep

ROOT = Path(__file__).resolve().parents[1]
TEMPLATE = (ROOT / "examples" / "least_visited.py").read_text()
SMALL = {"horizons": (10,), "pool_sizes": (), "drifts": (), "dynamics": (), "ablations": (), "seeds": 2}
PROBLEM = AllocationProblem(num_prompts=6, num_rounds=4, budget=12, capacity=4, max_units=2, responses_per_unit=2)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Writes a module into a folder of Python's path and imports it anew; a later one of the name takes its place."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    lend_registry(monkeypatch)

    def write(code: str, name: str = "mine", **others: str) -> Path:
        for module, text in {**others, name: code.replace('name = "least_visited"', f'name = "{name}"')}.items():
            (folder / f"{module}.py").write_text(text)
            sys.modules.pop(module, None)
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)  # two edits within a second
        registry.import_plugins([name])
        return folder

    yield write
    for file in folder.glob("*.py"):
        sys.modules.pop(file.stem, None)


# --- identity ----------------------------------------------------------------------------------------------------


def test_built_in_allocators_have_no_code_in_their_identity():
    for name in available():
        if registry.allocator_class(name).__module__.startswith("cerolab."):
            assert Method(name=name).plugin == {}
    given = {"source": "sim", "experiment": "e", "method": "cero", "problem": PROBLEM.to_dict(), "seed": 0}
    assert RunSettings(**given).run_id == RunSettings(**given, plugin={}).run_id
    assert RunSettings(**given).run_id != RunSettings(**given, plugin={"mine": "0"}).run_id


def test_the_run_ids_of_committed_records_are_what_they_were():
    infos = read_infos(ROOT / "results" / "sim" / "leaderboard")
    for run_id, info in list(infos.items())[::97]:
        keys = ("source", "experiment", "method", "problem", "seed", "options", "scenario")
        plugin = Method(name=info["method"], options=info["options"]).plugin
        assert RunSettings(**{k: info[k] for k in keys}, detail=tuple(info["detail"]), plugin=plugin).run_id == run_id


def test_the_code_is_that_of_bases_options_and_helpers_but_not_of_libraries_and_not_of_its_folder(plugin, tmp_path):
    helper, unused = "def zero(x):\n    return x\n", "one = 1\n"
    code = TEMPLATE.replace("import numpy as np\n", "import numpy as np\nimport helper\n")
    plugin(code, helper=helper, unused=unused)
    before = sources(registry.allocator_class("mine"))
    assert set(before) == {"helper", "mine"}
    assert str(tmp_path) not in json.dumps(before)
    plugin(code, helper=helper, unused="one = 2\n")
    assert sources(registry.allocator_class("mine")) == before
    plugin(code, helper=helper + "# another\n")
    after = sources(registry.allocator_class("mine"))
    assert after["mine"] == before["mine"]
    assert after["helper"] != before["helper"]


def test_an_allocator_that_derives_from_one_in_another_file_has_the_code_of_both(plugin):
    child = (
        "import mine\nfrom cerolab import register\n\n@register\nclass Child(mine.LeastVisited):\n    name = 'child'\n"
    )
    plugin(TEMPLATE)
    plugin(child, "child")
    assert set(Method(name="child").plugin) == {"child", "mine"}
    assert set(Method.parse("random_matched(matches=child)").plugin) == {"child", "mine"}


def test_a_package_is_hashed_by_the_modules_that_the_class_reaches(plugin):
    folder = plugin(TEMPLATE)
    package = folder / "pack"
    (package / "rules").mkdir(parents=True)
    for file, text in {
        "__init__.py": "",
        "rules/__init__.py": "from pack.rules.least import Packed\n",
        "rules/least.py": TEMPLATE.replace("LeastVisited", "Packed").replace('"least_visited"', '"packed"')
        + "\nfrom ..weights import one\nfrom .near import two\n",
        "rules/near.py": "two = 2\n",
        "weights.py": "one = 1\n",
        "alone.py": "three = 3\n",
    }.items():
        (package / file).write_text(text)
    registry.import_plugins(["pack.rules"])
    assert list(Method(name="packed").plugin) == [
        "pack",
        "pack.rules",
        "pack.rules.least",
        "pack.rules.near",
        "pack.weights",
    ]
    for name in [name for name in sys.modules if name.partition(".")[0] == "pack"]:
        del sys.modules[name]


def test_a_class_without_a_file_is_told_by_what_it_does(monkeypatch):
    lend_registry(monkeypatch)
    found = []
    for bonus in (1, 2, 1):
        code = f"class Typed(Base):\n    name = 'typed'\n    def _select(self):\n        return {bonus}\n"
        made: dict[str, object] = {"Base": BaseAllocator, "__name__": "session"}
        exec(code, made)
        found.append(sources(made["Typed"]))  # type: ignore[arg-type]
    assert found[0] == found[2] != found[1]
    assert list(found[0]) == ["session"]


@pytest.mark.parametrize("engine", ["here", "processes", "away"])
def test_an_edited_allocator_is_run_again_and_told_apart(tmp_path, plugin, engine, capsys):
    how = {"here": {"workers": 1}, "processes": {"workers": 2}, "away": {"engine": run_in_parcels}}[engine]
    given = settings(tmp_path, **SMALL | {"allocators": ("uniform", "mine")})
    plugin(TEMPLATE)
    assert sweep(given, plugins=["mine"], **how) == 4
    assert sweep(given, plugins=["mine"], **how) == 0
    first = set(load_runs(given.directory).frame["method"])
    plugin(TEMPLATE.replace("np.argsort(self", "np.argsort(-self"))
    assert sweep(given, plugins=["mine"], **how) == 2
    assert "the code of mine has changed since 2 runs here" in capsys.readouterr().out
    runs = load_runs(given.directory)
    assert first == {"mine", "uniform"}
    assert runs.frame["method"].str.partition("@")[0].value_counts().to_dict() == {"mine": 4, "uniform": 2}
    assert runs.frame["method"].nunique() == 3
    regret = {runs.frame.set_index("run_id")["method"][i]: info["results"]["regret"] for i, info in runs.infos.items()}
    assert len(set(regret.values())) == 3
    plugin(TEMPLATE)  # the change undone
    assert sweep(given, plugins=["mine"], **how) == 0
    for info in read_infos(given.directory).values():
        assert ("plugin" in info) == (info["method"] == "mine")


# --- records apart -----------------------------------------------------------------------------------------------


def leaderboard(tmp_path, **changes):
    sizes = {"num_prompts": 20, "moving_prompts": 10, "num_rounds": 10, "seeds": 2, "scenarios": ("beta(1, 1)",)}
    return LeaderboardSettings(**{"name": "board", "out": tmp_path / "results", **sizes, **changes})


def test_own_runs_go_beside_committed_ones_which_are_read_and_never_written(tmp_path, plugin, monkeypatch):
    from analysis.data.load import load_beside_committed

    committed = tmp_path / "results" / "sim" / "board"
    built_in = {"allocators": ("cero", "uniform")}
    run_experiment(leaderboard(tmp_path, **built_in), workers=1, quiet=True)
    before = {file: file.read_bytes() for file in committed.rglob("*") if file.is_file()}
    monkeypatch.setattr(own, "is_committed", lambda directory: directory.resolve() == committed.resolve())
    plugin(TEMPLATE)
    mine = leaderboard(tmp_path, allocators=("cero", "uniform", "mine"), seeds=3, plugins=("mine",))
    done = run_experiment(mine, workers=1, quiet=True)
    assert done.directory == tmp_path / "results" / "own" / "sim" / "board"
    assert done.num_runs == 3 + 2  # mine, and the built-in ones of the third seed
    assert {file: file.read_bytes() for file in committed.rglob("*") if file.is_file()} == before
    assert run_experiment(mine, workers=1, quiet=True).num_runs == 0
    frame = load_beside_committed(done.directory).frame
    assert frame["method"].value_counts().to_dict() == {"cero": 3, "uniform": 3, "mine": 3}
    fewer = leaderboard(tmp_path, allocators=("mine",), seeds=1, plugins=("mine",), name="board")
    assert run_experiment(fewer, workers=1, quiet=True).num_runs == 0
    with pytest.raises(RecordError, match=r"num_rounds: 10 there, 11 now.*choose another --name"):
        run_experiment(leaderboard(tmp_path, allocators=("mine",), num_rounds=11), workers=1, quiet=True)


def test_without_own_allocators_a_committed_experiment_goes_on_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(own, "is_committed", lambda directory: True)
    assert run_experiment(leaderboard(tmp_path, allocators=("uniform",)), workers=1, quiet=True).directory == (
        tmp_path / "results" / "sim" / "board"
    )


def test_whatever_the_command_no_own_run_is_written_among_committed_ones(tmp_path, plugin, monkeypatch):
    plugin(TEMPLATE)
    monkeypatch.setattr(own, "is_committed", lambda directory: True)
    given = leaderboard(tmp_path, allocators=("mine",), seeds=1)
    with pytest.raises(RunFailedError, match=r"holds committed records, and mine is not built in; choose another"):
        run_cells(list(given.cells()), given.directory, workers=1, quiet=True)
    assert not list(given.directory.glob("*/run.json"))


def test_a_folder_named_from_within_has_no_committed_one_beside_it(tmp_path, monkeypatch):
    for folder in (tmp_path, Path("/")):
        monkeypatch.chdir(folder)
        assert own.committed_beside(Path("mine")) is None


def test_what_is_committed_is_what_git_tracks_in_a_checkout_of_cerolab(tmp_path):
    for folder in ("sim/leaderboard", "sim/paper_scale", "llm/study-arithmetic-hard"):
        assert own.is_committed(ROOT / "results" / folder)
    for folder in (ROOT / "results" / "own" / "sim" / "leaderboard", ROOT / "results" / "sim" / "mine", tmp_path):
        assert not own.is_committed(folder)


def test_a_command_in_a_checkout_leaves_it_clean(tmp_path):
    """A checkout of its own, with a committed leaderboard; the command as a user gives it."""
    checkout = tmp_path / "checkout"
    for package in ("cerolab", "sim", "analysis"):
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (".gitignore", "examples/least_visited.py"):
        (checkout / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, checkout / file)
    environment = {"PYTHONPATH": f"{checkout}{os.pathsep}{checkout / 'examples'}", "PATH": os.environ["PATH"]}
    small = ["--seeds", "2", "--num-prompts", "20", "--num-rounds", "10", "--workers", "1", "--quiet"]

    def run(*arguments: str) -> str:
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=checkout, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    board = [sys.executable, "-m", "sim.leaderboard", "--scenarios", "beta(1, 1)", *small]
    run(*board, "--allocators", "cero", "uniform")
    run("git", "init", "-q")
    run("git", "add", ".")
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "all")
    told = run(*board, "--allocators", "least_visited", "--plugins", "least_visited")
    assert "2 runs in" in told
    assert "results/own/sim/leaderboard" in told
    assert run("git", "status", "--porcelain") == ""
    summary = (checkout / "results" / "own" / "sim" / "leaderboard" / "summary.md").read_text()
    assert all(name in summary for name in ("CERO", "Uniform", "Least visited"))


# --- errors ------------------------------------------------------------------------------------------------------


def made_of(plugin, old: str, new: str, name: str = "mine") -> BaseAllocator:
    assert old in TEMPLATE
    plugin(TEMPLATE.replace(old, new, 1), name)
    return make(name, PROBLEM)


def line_of(code: str, text: str) -> int:
    return next(number for number, line in enumerate(code.splitlines(), 1) if text in line)


def test_a_step_that_raises_names_file_line_method_and_round(plugin):
    allocator = made_of(plugin, "        chosen =", "        {}['oops']\n        chosen =")
    line = line_of(sys.modules["mine"].__loader__.get_source("mine"), "oops")
    told = rf"^mine: _select raised KeyError: 'oops' \(.*mine\.py, line {line}, in _select; round 0, seed=0, Options\("
    with pytest.raises(AllocatorError, match=told):
        allocator.allocate()


@pytest.mark.parametrize(
    ("returned", "told"), [("None", "None"), ("(chosen, chosen)", "a tuple of 2"), ("chosen", "a ndarray")]
)
def test_what_select_must_return_is_said(plugin, returned, told):
    allocator = made_of(plugin, "return Allocation(chosen, np.ones(chosen.size, np.int64))", f"return {returned}")
    with pytest.raises(
        AllocatorError, match=rf"_select returned {told}.*mine\.py, line \d+.*must return an Allocation"
    ):
        allocator.allocate()


@pytest.mark.parametrize(
    ("units", "told"),
    [
        ("self.even_quota()", "a wave without units that is not the round's last"),
        ("2", "6 units in 3 waves of a round"),
    ],
)
def test_a_round_without_end_is_an_error_that_names_the_allocator_and_its_file(plugin, tmp_path, units, told):
    code = TEMPLATE.replace("[: self.even_quota()]", f"[: {units}]")
    plugin(code.replace("chosen.size, np.int64))", "chosen.size, np.int64), last_wave=False)"))
    told = rf"mine: _select chose {told}.*mine\.py, line \d+; round 0, seed=0.*last_wave=True"
    with pytest.raises(AllocatorError, match=told):
        play(make("mine", PROBLEM), PROBLEM)
    given = leaderboard(tmp_path, allocators=("mine",), seeds=1, num_prompts=6, num_rounds=4, mean_units=0.5)
    with pytest.raises(RunFailedError, match=r"AllocatorError: mine: _select chose .*mine\.py, line \d+"):
        run_cells(list(given.cells()), given.directory, workers=1, quiet=True)


def test_what_arrays_must_return_is_said(plugin):
    allocator = made_of(plugin, 'return {"exposure": self.exposure_M.copy()}', "return [self.exposure_M]")
    with pytest.raises(AllocatorError, match=r"_arrays returned a list of 1 .*mine\.py, line .*dict of arrays"):
        allocator.state_dict()
    allocator = made_of(plugin, "self.exposure_M.copy()", "self.exposure_M.tolist()", "other")
    with pytest.raises(AllocatorError, match=r"_arrays returned 'exposure' as a list of 6"):
        allocator.state_dict()


def test_an_allocator_that_cannot_be_made_says_where_and_its_own_refusals_stay(plugin):
    with pytest.raises(
        AllocatorError, match=r"mine: making it with no options raised ZeroDivisionError.*mine\.py, line"
    ):
        made_of(plugin, "        super().__init__", "        1 / 0\n        super().__init__")
    refusal = (
        "        from cerolab.errors import InvalidValueError as E\n        raise E('bonus', 1, 'is odd', 'give 2')\n"
    )
    with pytest.raises(InvalidValueError, match="bonus=1 is odd; give 2"):
        made_of(plugin, "        super().__init__", f"{refusal}        super().__init__", "other")


def test_a_step_that_takes_turns_is_refused_at_once(plugin):
    last = "        self.exposure_M[allocation.prompts] += allocation.units\n"
    allocator = made_of(plugin, last, f"{last}        self.allocate()\n")
    allocation = allocator.allocate()
    responses = allocation.units * 2
    with pytest.raises(
        AllocatorError, match=r"_learn raised ProtocolError: mine: allocate\(\) was called within _learn"
    ):
        allocator.observe(allocation, Feedback(responses, responses * 0))
    assert allocator.allocate().matches(allocation)  # from outside it still may


def test_nan_scores_are_refused_where_the_best_are_taken():
    ties = TieOrder([0, 1, 2])
    with pytest.raises(InvalidValueError, match=r"score_M=nan is the score of 2 prompts, 1 first; -inf keeps one out"):
        top_scores(np.array([1.0, np.nan, np.nan]), ties, 1)
    assert top_scores(np.array([-np.inf, 1.0, 2.0]), ties, 3).tolist() == [2, 1]


def test_built_in_methods_raise_what_they_always_did(monkeypatch):
    allocator = make("uniform", PROBLEM)
    monkeypatch.setattr(type(allocator), "_select", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        allocator.allocate()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failed_run_names_its_settings_and_keeps_its_traceback(tmp_path, plugin, workers):
    plugin(TEMPLATE.replace("        chosen =", "        {}['oops']\n        chosen ="))
    given = settings(tmp_path, **SMALL | {"allocators": ("mine",)})
    told = (
        r"mine on beta.*K=10, seed=\d: AllocatorError: mine: _select raised KeyError: 'oops' \(.*mine\.py, line \d+, in"
    )
    with pytest.raises(RunFailedError, match=told):
        sweep(given, workers=workers, plugins=["mine"])
    failed = [json.loads(file.read_text()) for file in given.directory.glob("*/run.json")]
    failed = [info for info in failed if info["status"] == "failed"]
    assert failed
    assert "mine.py" in failed[0]["traceback"]
    assert "KeyError: 'oops'" in failed[0]["traceback"]
    assert set(failed[0]["plugin"]) == {"mine"}


def test_plugins_may_be_files(tmp_path, monkeypatch):
    lend_registry(monkeypatch)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "of_a_file.py").write_text(TEMPLATE.replace('"least_visited"', '"of_a_file"'))
    registry.import_plugins([str(tmp_path / "of_a_file.py")])
    assert make("of_a_file", PROBLEM).name == "of_a_file"
    (tmp_path / "json.py").write_text("")
    with pytest.raises(InvalidValueError, match=r"json\.py' has the name of a module, .*rename it"):
        registry.import_plugins([str(tmp_path / "json.py")])
    with pytest.raises(InvalidValueError, match=r"nowhere\.py' does not exist"):
        registry.import_plugins([str(tmp_path / "nowhere.py")])
    del sys.modules["of_a_file"]


def test_the_writer_itself_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(own, "is_committed", lambda directory: True)
    given = {"source": "sim", "experiment": "e", "method": "mine", "problem": PROBLEM.to_dict(), "seed": 0}
    with pytest.raises(RecordError, match="mine is not built in"):
        RunWriter(tmp_path / "sim" / "e", RunSettings(**given, plugin={"mine": "0"}), {})
    RunWriter(tmp_path / "sim" / "e", RunSettings(**given | {"method": "cero"}), {}).close()


def test_the_register_decorator_takes_a_class_again_after_an_edit(plugin):
    plugin(TEMPLATE)
    before = registry.allocator_class("mine")
    plugin(TEMPLATE + "# edited\n")
    assert registry.allocator_class("mine") is not before
    assert register(registry.allocator_class("mine")) is registry.allocator_class("mine")
