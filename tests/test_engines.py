"""Engines without Ray: records that come home as bytes are those that a run here writes; failures name their run."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import pyarrow.parquet as pq
import pytest

from cerolab.errors import CerolabError, InvalidValueError, RecordError
from cerolab.records import RunWriter, pack_runs, place_run, read_infos
from cerolab.records.files import Lock
from cerolab.records.schema import TABLES
from sim.engine_settings import EngineSettings
from sim.experiment import away, ray_engine
from sim.experiment.away import bring_home, code_digest, run_away
from sim.experiment.local_engine import run_locally
from sim.experiment.ray_engine import RayEngine
from sim.experiment.task import RunFailedError
from tests.test_regret_sweep import BROKEN, lend_registry, settings, sweep

SMALL = {"horizons": (10,), "pool_sizes": (), "drifts": (), "allocators": ("cero", "uniform"), "ablations": ()}
DETAIL = ("rounds", "groups", "pool", "evals")
TIME_COLUMNS = [column.name for column in TABLES["rounds"] if column.name.startswith("seconds")]


def assert_same_records(one, two):
    """All files of all runs are the same bytes but for times: of day in run.json, of phases in rounds.parquet."""
    files = [sorted(str(file.relative_to(root)) for file in root.rglob("*")) for root in (one, two)]
    assert files[0] == files[1]
    assert len(read_infos(one)) == len(list(one.glob("*/run.json"))) > 0
    for name in files[0]:
        if (one / name).is_file() and name != "runs.parquet":
            assert timeless(one / name) == timeless(two / name), name


def timeless(file):
    if file.name == "run.json":
        info = json.loads(file.read_text())
        assert {"started", "finished"} <= set(info)
        del info["started"], info["finished"], info["results"]["seconds"]
        return json.dumps(info, indent=1)
    if file.name == "rounds.parquet":
        return repr(pq.read_table(file).drop_columns(TIME_COLUMNS).to_pydict())  # as text, nan is nan
    return file.read_bytes()


def run_in_parcels(tasks, stamp, workers, plugins):
    """An engine whose workers share no folder and no object with this process, and that ends with the longest."""
    for task in reversed(tasks):
        arguments = pickle.dumps((task, stamp, tuple(plugins), code_digest(tuple(plugins))))
        before = pack_runs(task.directory)
        parcel = pickle.dumps(run_away(*pickle.loads(arguments)))
        assert pack_runs(task.directory) == before
        yield bring_home(task, pickle.loads(parcel))


@pytest.fixture
def broken(tmp_path, monkeypatch):
    (tmp_path / "broken_plugin.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    lend_registry(monkeypatch)
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
    __import__("broken_plugin")


def test_records_that_come_home_are_those_that_are_written_here(tmp_path):
    here, home = (settings(tmp_path / name, detail=DETAIL, **SMALL) for name in ("here", "home"))
    assert sweep(here, workers=1) == sweep(home, engine=run_in_parcels) == 8
    assert_same_records(here.directory, home.directory)


def test_a_failure_away_names_its_run_and_brings_its_record_home(tmp_path, broken):
    given = settings(tmp_path, **SMALL | {"allocators": ("uniform", "broken"), "seeds": 1})
    with pytest.raises(
        RunFailedError, match=r"^broken on beta.*seed=0: AllocatorError: .* ZeroDivisionError: by design"
    ) as caught:
        sweep(given, engine=run_in_parcels)
    infos = {info["method"]: info for info in (json.loads(p.read_text()) for p in given.directory.glob("*/run.json"))}
    assert {method: info["status"] for method, info in infos.items()} == {"uniform": "finished", "broken": "failed"}
    assert str(given.directory / infos["broken"]["run_id"]) in str(caught.value)
    with pytest.raises(RunFailedError, match="by design"):  # a failed record makes room for the next attempt
        sweep(given, engine=run_in_parcels)


def test_an_experiment_goes_on_with_another_engine(tmp_path):
    whole, given = (settings(tmp_path / name, detail=DETAIL, **SMALL) for name in ("whole", "given"))
    sweep(whole, workers=1)
    one = settings(tmp_path / "given", detail=DETAIL, **SMALL | {"seeds": 1})
    assert sweep(one, workers=1) == sweep(given, engine=run_in_parcels) == 4
    assert_same_records(whole.directory, given.directory)


def test_a_record_says_where_it_was_made_and_of_which_commit(tmp_path, monkeypatch):
    given = settings(tmp_path, **SMALL | {"seeds": 1})
    facts = {"versions": {"numpy": "2.0.0"}, "machine": {"cores": 3}}
    monkeypatch.setattr(away, "host_facts", lambda: facts)
    sweep(given, engine=lambda tasks, stamp, *rest: run_in_parcels(tasks, {**stamp, "commit": "abc"}, *rest))
    for info in read_infos(given.directory).values():
        assert info["provenance"]["commit"] == "abc"
        assert {key: info["provenance"][key] for key in facts} == facts


def test_a_worker_with_other_code_is_refused(tmp_path, monkeypatch):
    def elsewhere(tasks, stamp, workers, plugins):
        yield bring_home(tasks[0], run_away(tasks[0], stamp, (), "0" * 64))

    with pytest.raises(CerolabError, match="a worker has other code than this command in cerolab, sim"):
        sweep(settings(tmp_path, **SMALL), engine=elsewhere)
    (tmp_path / "some_plugin.py").write_text("one = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = code_digest(("some_plugin",))
    (tmp_path / "some_plugin.py").write_text("one = 2")
    code_digest.cache_clear()
    assert len({before, code_digest(("some_plugin",)), code_digest(())}) == 3


@pytest.fixture
def record(tmp_path):
    """(folder of an experiment, run id, the files of a finished record of it)."""
    given = settings(tmp_path / "made", detail=("rounds",), **SMALL | {"allocators": ("cero",), "seeds": 1})
    sweep(given, workers=1)
    run_id, files = next(iter(pack_runs(given.directory).items()))
    assert sorted(files) == ["rounds.parquet", "run.json"]
    return tmp_path / "kept", run_id, files


def test_a_finished_run_is_never_replaced(record):
    directory, run_id, files = record
    place_run(directory, run_id, files)
    with pytest.raises(RecordError, match="is finished; a finished run is never written again"):
        place_run(directory, run_id, files | {"rounds.parquet": b""})
    assert pack_runs(directory) == {run_id: files}
    assert [path.name for path in directory.iterdir()] == [run_id]
    assert not (directory / run_id / ".lock").exists()


def test_an_unfinished_run_makes_room_unless_it_is_being_written(record):
    directory, run_id, files = record
    begun = dict(files, **{"run.json": files["run.json"].replace(b'"finished",\n', b'"running",\n')})
    place_run(directory, run_id, begun | {"rounds.parts/000000.parquet": b"old"})
    writing = Lock(directory / run_id / ".lock")
    with pytest.raises(RecordError, match="is being written by another process"):
        place_run(directory, run_id, files)
    writing.release()
    place_run(directory, run_id, files)
    assert pack_runs(directory) == {run_id: files}
    assert [path.name for path in directory.iterdir()] == [run_id]


def test_a_record_is_placed_whole_or_not_at_all(record, monkeypatch):
    directory, run_id, files = record
    with pytest.raises(TypeError):
        place_run(directory, run_id, files | {"zzz.parquet": None})
    assert list(directory.iterdir()) == []
    (directory / f".{run_id}.{os.getpid()}.partial").mkdir()  # of a killed process with this one's number
    (directory / f".{run_id}.{os.getpid()}.partial" / "stale.parquet").touch()
    place_run(directory, run_id, files)
    assert pack_runs(directory) == {run_id: files}


def test_a_folder_that_cannot_be_made_is_named(record):
    directory, run_id, files = record
    directory.touch()
    with pytest.raises(RecordError, match=f"cannot create .*{run_id}"):
        place_run(directory, run_id, files)


def test_the_packed_record_holds_no_lock(tmp_path):
    given = settings(tmp_path, **SMALL | {"seeds": 1})
    ((cell, methods), *_) = given.cells()
    writer = RunWriter(given.directory, cell.settings(given.directory.name, methods[0], ()), {})
    assert [sorted(files) for files in pack_runs(given.directory).values()] == [["run.json"]]
    writer.close()


# --- the Ray engine over a stand-in ------------------------------------------------------------------------------


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__("a traceback")
        self.cause = cause


@pytest.fixture
def ray(monkeypatch):
    """Ray in one process: a task is done when it is waited for, the last begun first; ``lose`` makes it raise."""
    module = ModuleType("ray")
    module.__spec__ = ModuleSpec("ray", None)
    monkeypatch.setattr(ray_engine, "_knock", lambda address: None)
    module.started, module.begun, module.most, module.cancelled, module.lose = None, [], 0, [], None
    module.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def remote(*call):
        reference = object()
        module.begun.append((reference, call))
        module.most = max(module.most, len(module.begun))
        return reference

    def wait(references):
        assert references == [reference for reference, _ in module.begun]
        return [references[-1]], references[:-1]

    def get(reference):
        call = next(call for known, call in module.begun if known is reference)
        module.begun = [entry for entry in module.begun if entry[0] is not reference]
        if module.lose is not None:
            raise module.lose
        try:
            return run_away(*call)
        except Exception as error:
            raise RayTaskError(error) from error

    module.remote = lambda **_: lambda _: SimpleNamespace(options=lambda **_: SimpleNamespace(remote=remote))
    module.put = lambda value: value
    module.wait, module.get = wait, get
    module.cancel = lambda reference, force: module.cancelled.append(reference)
    module.is_initialized = lambda: module.started is not None
    module.cluster_resources = lambda: {"CPU": 4.0}
    module.init = lambda **options: setattr(module, "started", options)
    module.shutdown = lambda: (setattr(module, "started", None), module.begun.clear())
    monkeypatch.setitem(sys.modules, "ray", module)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return module


@pytest.mark.parametrize(("workers", "most"), [(1, 1), (3, 3), (None, 4)])
def test_as_many_tasks_at_a_time_as_asked_for(tmp_path, ray, workers, most):
    assert sweep(settings(tmp_path, **SMALL), workers=workers, engine=RayEngine()) == 8
    assert ray.most == most
    assert ray.started is None
    assert ray.cancelled == []


def test_a_failure_cancels_what_is_under_way_and_leaves_ray(tmp_path, ray, broken):
    given = settings(tmp_path, **SMALL | {"allocators": ("uniform", "broken")})
    with pytest.raises(RunFailedError, match=r"broken on .*by design"):
        sweep(given, workers=3, engine=RayEngine(), plugins=["broken_plugin"])
    assert len(ray.cancelled) == 2
    assert ray.started is None


def test_a_lost_worker_and_an_error_outside_a_run_name_their_task(tmp_path, ray):
    ray.lose = RayError()
    with pytest.raises(RunFailedError, match=r"cero, uniform on .*seed=.: its worker was lost 4 times"):
        sweep(settings(tmp_path, **SMALL), engine=RayEngine())
    ray.lose = RayTaskError(ModuleNotFoundError("No module named 'sim'"))
    with pytest.raises(RunFailedError, match=r"cero, uniform on .*: ModuleNotFoundError: No module named 'sim'"):
        sweep(settings(tmp_path, **SMALL), engine=RayEngine())


def test_which_cluster_is_taken(tmp_path, ray, monkeypatch):
    def started(address=None):
        seen = []
        ray.init = lambda **options: seen.append(options)
        given = settings(tmp_path / str(len(list(tmp_path.iterdir()))), **SMALL | {"seeds": 1})
        sweep(given, workers=2, engine=RayEngine(address))
        return seen

    (own,) = started()
    assert (own["address"], own["num_cpus"], own["include_dashboard"]) == ("local", 2, False)
    (given,) = started("head:6379")
    assert given["address"] == "head:6379"
    assert "num_cpus" not in given  # a cluster that runs already has its own
    monkeypatch.setenv("RAY_ADDRESS", "there:6379")
    assert started()[0]["address"] == "there:6379"
    ray.started = {}
    assert started() == []  # the caller is connected already, and stays so
    assert ray.started == {}


def test_an_address_that_leads_nowhere_is_named(tmp_path, ray):
    def refuse(**_):
        raise ConnectionError("nobody there")

    ray.init = refuse
    with pytest.raises(InvalidValueError, match=r"address='head:6379' leads to no usable Ray cluster: nobody there"):
        sweep(settings(tmp_path, **SMALL), engine=RayEngine("head:6379"))


def test_a_ray_that_does_not_start_here_is_an_error_of_ours(tmp_path, ray):
    def give_up(**_):
        raise Exception("The current node timed out during startup.")

    ray.init = give_up
    with pytest.raises(CerolabError, match=r"could not be started on this machine \(overloaded\?\): The current node"):
        sweep(settings(tmp_path, **SMALL), engine=RayEngine())


def test_an_address_that_nobody_answers_is_named_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="refused"):
            ray_engine._knock(f"127.0.0.1:{free.getsockname()[1]}")
        free.listen()
        ray_engine._knock(f"127.0.0.1:{free.getsockname()[1]}")
    for text in ("local", "auto", "ray://head:10001"):
        ray_engine._knock(text)


# --- the commands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["regret_sweep", "leaderboard"])
def test_without_ray_the_command_says_what_to_install_and_writes_nothing(tmp_path, command):
    code = (
        "import runpy, sys; sys.modules['ray'] = None; "
        f"sys.argv[1:] = ['--quick', '--engine', 'ray', '--out', {str(tmp_path)!r}]; "
        f"runpy.run_module('sim.{command}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "engine='ray' needs Ray, which is not installed" in done.stderr
    assert "pip install -e '.[ray]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_address_is_for_ray():
    assert EngineSettings().choose() is run_locally
    with pytest.raises(InvalidValueError, match=r"address='auto' is a Ray cluster's; add --engine ray"):
        EngineSettings(address="auto").choose()
