"""The sweep as a user runs it: resumable, the same on any number of workers, clear where it refuses."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cerolab import registry
from cerolab.errors import CerolabError
from cerolab.records import claim_directory, method_label, read_infos
from cerolab.tools.method import Method
from sim.experiment.engine import run_cells
from sim.experiment.task import RunFailedError
from sim.sweep_settings import QUICK, SweepSettings

TINY = {
    "name": "tiny",
    "horizons": (10, 20),
    "num_prompts": 20,
    "seeds": 2,
    "populations": ("beta(1, 1)",),
    "pool_sizes": (10,),
    "pool_horizon": 10,
    "drifts": (0.1,),
    "drift_prompts": 10,
    "drift_horizon": 10,
    "dynamics": ("learning(0.2)",),
    "dynamics_prompts": 20,
    "dynamics_horizon": 10,
}
TIMES = {"seconds"}


def settings(tmp_path, **changes):
    return SweepSettings(**(TINY | {"out": tmp_path} | changes))


def sweep(given, **options):
    claim_directory(given.directory, given.fixed())
    return run_cells(list(given.cells()), given.directory, given.detail, quiet=True, **options)


def results(directory):
    return {
        run_id: {key: value for key, value in info["results"].items() if key not in TIMES}
        for run_id, info in read_infos(directory).items()
    }


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "sim.regret_sweep", *map(str, arguments)], capture_output=True, text=True, **options
    )


def arguments(tmp_path, **changes):
    out = ["--out", tmp_path]
    for key, value in (TINY | changes).items():
        out.append("--" + key.replace("_", "-"))
        out += list(value) if isinstance(value, tuple) else [value]
    return out


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("cero", {}),
        (" cero(catch_up=true, price=0.25)", {"catch_up": True, "price": 0.25}),
        ("cero(prior=[2, 0.5])", {"prior": [2, 0.5]}),
        ("cero_greedy(prior=pool)", {"prior": "pool"}),
    ],
)
def test_allocators_with_options_in_text(text, options):
    method = Method.parse(text)
    assert method.options == options
    assert Method.parse(method_label(method.name, method.options)) == method


def test_options_reach_the_allocator_and_tell_runs_apart(tmp_path):
    given = settings(tmp_path, allocators=("cero", "cero(catch_up=true)"), ablations=(), pool_sizes=(), drifts=())
    sweep(given, workers=1)
    unspent = {}
    for info in read_infos(given.directory).values():
        unspent.setdefault(method_label(info["method"], info["options"]), []).append(info["results"]["unspent_units"])
    assert set(unspent["cero(catch_up=true)"]) == {0}
    assert sum(unspent["cero"]) > 0


def test_workers_change_nothing_but_times(tmp_path):
    one, two = settings(tmp_path / "one"), settings(tmp_path / "two")
    assert sweep(one, workers=1) == sweep(two, workers=2) > 0
    assert results(one.directory) == results(two.directory)


def test_a_second_start_does_nothing_and_more_seeds_do_only_themselves(tmp_path):
    first = sweep(settings(tmp_path), workers=1)
    before = results(settings(tmp_path).directory)
    assert sweep(settings(tmp_path), workers=1) == 0
    assert sweep(settings(tmp_path, seeds=3), workers=1) == first // 2
    after = results(settings(tmp_path).directory)
    assert {run_id: after[run_id] for run_id in before} == before


def test_kill_minus_nine_then_the_same_command_gives_the_same_sweep(tmp_path):
    whole = settings(tmp_path / "whole", horizons=(10, 400, 500))
    sweep(whole, workers=1)
    given = arguments(tmp_path / "killed", horizons=(10, 400, 500))
    child = subprocess.Popen(
        [sys.executable, "-m", "sim.regret_sweep", *map(str, given), "--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    directory = tmp_path / "killed" / "sim" / "tiny"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(directory.glob("*/run.json"))) < 3:
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    left = settings(tmp_path / "killed", horizons=(10, 400, 500))
    done = len(results(directory))
    assert 0 < done < len(results(whole.directory))
    assert sweep(left, workers=1) == len(results(whole.directory)) - done
    assert results(directory) == results(whole.directory)


def test_other_settings_in_the_same_folder_are_refused_by_name(tmp_path):
    sweep(settings(tmp_path, horizons=(10,)), workers=1)
    with pytest.raises(CerolabError, match=r"mean_units: 0\.5 there, 0\.25 now.*choose another --name"):
        sweep(settings(tmp_path, mean_units=0.25), workers=1)


def test_a_folder_of_something_else_is_refused(tmp_path):
    directory = settings(tmp_path).directory
    directory.mkdir(parents=True)
    (directory / "thesis.txt").write_text("mine")
    with pytest.raises(CerolabError, match="holds no experiment"):
        sweep(settings(tmp_path), workers=1)


def lend_registry(monkeypatch):
    """What is registered from here on is forgotten after the test."""
    for name in registry.available():
        registry.allocator_class(name)  # else one that is first imported in the test would be forgotten too
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))


BROKEN = """
from dataclasses import dataclass
from cerolab import Allocation, BaseAllocator, register

@register
class Broken(BaseAllocator):
    name = "broken"
    def _select(self):
        raise ZeroDivisionError("by design")
    def _learn(self, allocation, feedback): ...
    def _arrays(self): return {}
    def _load_arrays(self, arrays): ...
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_raises_fails_the_sweep_and_names_its_settings(tmp_path, monkeypatch, workers):
    (tmp_path / "broken_plugin.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    lend_registry(monkeypatch)
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    __import__("broken_plugin")
    given = settings(tmp_path, allocators=("uniform", "broken"), ablations=())
    with pytest.raises(
        RunFailedError,
        match=r"broken on .*seed=[01]: AllocatorError: broken: _select raised ZeroDivisionError: by design",
    ):
        sweep(given, workers=workers, plugins=["broken_plugin"])
    failed = [
        info
        for path in given.directory.glob("*/run.json")
        if (info := json.loads(path.read_text()))["status"] == "failed"
    ]
    assert failed
    assert failed[0]["error"].startswith("AllocatorError: broken: _select raised ZeroDivisionError: by design (")


KILLED = (
    BROKEN.replace("broken", "killed")
    .replace("Broken", "Killed")
    .replace('raise ZeroDivisionError("by design")', "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
)


def test_a_worker_that_is_killed_fails_the_sweep_and_names_what_is_left(tmp_path, monkeypatch):
    (tmp_path / "killed_plugin.py").write_text(KILLED)
    monkeypatch.syspath_prepend(str(tmp_path))
    lend_registry(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    __import__("killed_plugin")
    given = settings(tmp_path, allocators=("killed",), ablations=(), horizons=(10,), seeds=2, pool_sizes=())
    with pytest.raises(RunFailedError, match=r"a worker was killed.*killed on beta\(1, 1\), static.*K=10, seed=0"):
        sweep(given, workers=2, plugins=["killed_plugin"])


def test_states_that_a_kill_can_leave_do_not_stop_the_next_start(tmp_path):
    given = settings(tmp_path, horizons=(10,), pool_sizes=(), drifts=(), dynamics=(), ablations=())
    given.directory.mkdir(parents=True)
    (given.directory / ".experiment.json.123.partial").write_text("{")
    (given.directory / ".cero-M20-K10-s0-0000000000.123.partial").mkdir()
    assert sweep(given, workers=1) == 4
    assert len(results(given.directory)) == 4


def test_what_is_asked_for_twice_runs_once(tmp_path):
    given = settings(
        tmp_path,
        horizons=(10, 10),
        populations=("beta(1,1)", "beta(1, 1)"),
        allocators=("cero", "cero()"),
        ablations=(),
        small_drifts=(),
    )
    assert sweep(given, workers=1) == 2 * 4  # horizon, pool, drift and dynamics, two seeds


def test_the_text_of_a_world_does_not_change_its_runs(tmp_path):
    one = settings(tmp_path, populations=("beta(1,1)",), dynamics=("learning( 0.2 )",))
    assert {cell.settings("x", methods[0], ()).run_id for cell, methods in one.cells()} == {
        cell.settings("x", methods[0], ()).run_id for cell, methods in settings(tmp_path).cells()
    }


def test_the_command_draws_its_figures_and_prints_a_table(tmp_path):
    done = command(*arguments(tmp_path), "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "CERO-greedy" in done.stdout
    figures = {path.name for path in (tmp_path / "sim" / "tiny" / "figures").iterdir()}
    names = ("regret_horizon", "regret_cumulative", "regret_drift", "regret_pool", "learning")
    assert {f"{name}.{kind}" for name in names for kind in ("png", "svg")} <= figures
    assert (tmp_path / "sim" / "tiny" / "summary.md").read_text().count("|") > 20


@pytest.mark.parametrize("kind", ["yaml", "toml"])
def test_settings_from_a_file_and_the_command_line_on_top(tmp_path, kind):
    lines = {"horizons": [10], "num_prompts": 20, "seeds": 1, "name": "filed", "populations": ["beta(2, 2)"]}
    lines |= {"pool_sizes": [], "drifts": [], "dynamics": [], "ablations": []}
    sign = {"yaml": ": ", "toml": " = "}[kind]
    (tmp_path / f"s.{kind}").write_text("\n".join(key + sign + json.dumps(value) for key, value in lines.items()))
    done = command("--config", tmp_path / f"s.{kind}", "--out", tmp_path, "--seeds", 2, "--workers", 1)
    assert done.returncode == 0, done.stderr
    infos = read_infos(tmp_path / "sim" / "filed").values()
    assert {info["scenario"]["population"] for info in infos} == {"beta(2, 2)"}
    assert {info["seed"] for info in infos} == {0, 1}
    assert {info["method"] for info in infos} == {"cero", "uniform"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--allocators", "cer"], "unknown allocator 'cer' (did you mean 'cero'?); known: cero,"),
        (["--allocators", "cero(prices=1)"], "unknown option of 'cero' 'prices' (did you mean 'price'?)"),
        (["--allocators", "cero(price=2)"], "price=2 is outside [0, 1]"),
        (["--allocators", "cero(price"], "is not of the form name(option=value, ...)"),
        (["--detail", "evils"], "unknown table of --detail 'evils' (did you mean 'evals'?)"),
        (["--name", "my sweep"], "cannot be a folder name"),
        (["--figures", "False"], "figures='False' is a word for yes, no or nothing, not a path; give a path, or leave"),
        (["--plugins", "nosuch"], "plugins='nosuch' cannot be imported"),
        (["--workers", "-3"], "workers=-3 is below 1"),
        (["--hrizons", "5"], "Did you mean --horizons?"),
        (["--seeds", "0"], "seeds=0 is below 1"),
        (["--mean-units", "3"], "mean_units=3.0 is above max_units=2"),
        (["--populations", "beta(1)"], "has 1 arguments; give 2"),
        (["--config", "missing.yaml"], "config='missing.yaml' does not exist"),
        (["--config", "settings.ini"], "known: .toml, .yaml, .yml"),
        (["--horizons", "0"], "horizons=0 is below 1"),
        (["--dynamics", "wander(1)"], "unknown dynamics 'wander'"),
        (["--rewards", "ternary"], "unknown rewards 'ternary'"),
    ],
)
def test_bad_settings_end_in_one_clear_message(tmp_path, given, message):
    workers = [] if "--workers" in given else ["--workers", 1]
    done = command(*given, "--out", tmp_path, "--quick", *workers)
    assert done.returncode != 0
    text = " ".join((done.stdout + done.stderr).replace("│", " ").split())
    assert message in text
    assert "Traceback" not in text
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("text", ["seeds: [1", "just text", "sedes: 3"])
def test_a_bad_settings_file_is_named(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    done = command("--config", tmp_path / "s.yaml", "--out", tmp_path, "--quick", "--workers", 1)
    assert done.returncode != 0
    assert "s.yaml" in "".join((done.stdout + done.stderr).replace("│", "").split())  # the box may break the path
    assert "Traceback" not in done.stderr


def test_help_explains_every_setting():
    text = command("--help").stdout
    for name in SweepSettings.__dataclass_fields__:
        assert "--" + name.replace("_", "-") in text
    assert "--quick" in text
    assert "--config" in text


def test_the_quick_preset_is_made_of_known_settings():
    assert set(QUICK) <= set(SweepSettings.__dataclass_fields__)
    assert SweepSettings(**QUICK).directory.name == "quick"


def test_the_paper_scale_command_explains_itself_and_refuses_what_it_lacks():
    def paper_scale(*arguments):
        return subprocess.run([sys.executable, "-m", "sim.paper_scale", *arguments], capture_output=True, text=True)

    assert "--quick" not in paper_scale("--help").stdout
    for arguments in (["--quick"], ["--seeds", "0"], ["--population", "beta(1)"], ["--name", "a b"]):
        done = paper_scale(*arguments)
        assert done.returncode != 0
        assert "Traceback" not in done.stderr
