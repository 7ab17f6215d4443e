"""Experiments on a real Ray cluster of two workers: the records are the local engine's, whatever is killed on the way.

Run by ``make ray``, which installs Ray.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cerolab.records import read_infos
from sim.experiment.ray_engine import RayEngine
from sim.experiment.task import RunFailedError
from tests.test_engines import DETAIL, assert_same_records
from tests.test_regret_sweep import KILLED, arguments, lend_registry, settings, sweep

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).resolve().parents[1]
WORLDS = {"detail": DETAIL, "allocators": ("cero", "uniform", "dapo"), "ablations": ("random_matched",)}
LONG = {"horizons": (10, 400, 2000), "allocators": ("cero", "uniform"), "ablations": (), "drifts": (), "dynamics": ()}


@pytest.fixture(scope="module", autouse=True)
def _ray():
    pytest.importorskip("ray", reason="Ray is not installed; make ray installs it")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Make a plugin of this source known here and to every worker."""
    lend_registry(monkeypatch)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def known(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
        __import__(name)

    return known


@pytest.mark.parametrize("changes", [{}, {"detail": (), "seeds": 4}], ids=["one by one", "seeds at once"])
def test_the_records_are_those_of_the_local_engine(tmp_path, changes):
    local, on_ray = (settings(tmp_path / name, **WORLDS | changes) for name in ("local", "ray"))
    assert sweep(local, workers=2) == sweep(on_ray, workers=2, engine=RayEngine()) > 30
    assert_same_records(local.directory, on_ray.directory)
    assert sweep(on_ray, workers=2, engine=RayEngine()) == 0


VICTIM = """
import os, signal
from pathlib import Path
from cerolab import BaseAllocator, register
from cerolab.allocators.uniform import Uniform

DEATHS = Path({deaths!r})

@register
class Victim(Uniform):
    name = "victim"
    rounds = 0
    def _select(self):
        self.rounds += 1
        if self.rounds == 7 and DEATHS.is_dir() and self.problem.num_rounds == 20 and len(list(DEATHS.iterdir())) < 2:
            (DEATHS / str(os.getpid())).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._select()
"""


def test_a_worker_killed_in_the_middle_of_a_run_loses_nothing(tmp_path, plugin):
    deaths = tmp_path / "deaths"
    plugin("victim_plugin", VICTIM.format(deaths=str(deaths)))
    chosen = {"detail": DETAIL, "allocators": ("cero", "victim"), "ablations": ()}
    local, on_ray = (settings(tmp_path / name, **chosen) for name in ("local", "ray"))
    sweep(local, workers=1)
    deaths.mkdir()
    ran = sweep(on_ray, workers=2, engine=RayEngine(), plugins=["victim_plugin"])
    assert len(list(deaths.iterdir())) == 2  # two workers died, each by its own number
    assert ran == len(read_infos(on_ray.directory))
    assert_same_records(local.directory, on_ray.directory)


def test_a_run_that_kills_every_worker_fails_the_sweep_and_is_named(tmp_path, plugin):
    plugin("killed_plugin", KILLED)
    given = settings(tmp_path, allocators=("killed",), ablations=(), horizons=(10,), seeds=1, pool_sizes=())
    with pytest.raises(RunFailedError, match=r"killed on .*, K=10, seed=0: its worker was lost 4 times"):
        sweep(given, workers=2, engine=RayEngine(), plugins=["killed_plugin"])


@pytest.mark.parametrize("first", ["local", "ray"])
def test_killed_on_one_engine_an_experiment_goes_on_with_the_other(tmp_path, first):
    whole, given = (settings(tmp_path / name, detail=DETAIL, **LONG) for name in ("whole", "given"))
    total = sweep(whole, workers=2)
    command = ["-m", "sim.regret_sweep", *map(str, arguments(tmp_path / "given", detail=DETAIL, **LONG))]
    child = subprocess.Popen(
        [sys.executable, *command, "--engine", first, "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(given.directory.glob("*/run.json")):
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    done = len(read_infos(given.directory))
    assert done < total
    assert (len(list(given.directory.glob("*/run.json"))) > done) == (first == "local")  # half-written: only in place
    other = {} if first == "ray" else {"engine": RayEngine()}
    assert sweep(given, workers=2, **other) == total - done
    for left in given.directory.glob(".*.partial"):  # by the kill
        left.rename(tmp_path / left.name)
    assert_same_records(whole.directory, given.directory)


def test_two_machines_that_share_no_folder_with_the_command(tmp_path, monkeypatch):
    """Two nodes stand in for machines: their workers start in another folder, the command's folder is relative."""
    from ray.cluster_utils import Cluster

    # As installed on each: without it a worker finds another checkout, or none.
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.chdir(tmp_path)
    small = {"horizons": (10, 20), "pool_sizes": (), "drifts": (), "dynamics": ()}
    local, on_ray = (settings(Path(name), **WORLDS | small) for name in ("local", "ray"))
    sweep(local, workers=1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        monkeypatch.chdir(tmp_path)
        sweep(on_ray, engine=RayEngine(cluster.address))
    finally:
        cluster.shutdown()
    assert_same_records(tmp_path / local.directory, tmp_path / on_ray.directory)
    assert list(elsewhere.iterdir()) == []
