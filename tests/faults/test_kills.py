"""A few of the kills of ``python -m tests.faults``, which does fifty and more of each."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from cerolab.records import find_runs
from tests.faults import kills
from tests.faults.__main__ import SETTINGS
from tests.faults.kills import ROOT, kill_at_every_operation, kill_until_done
from tests.faults.records import differences
from tests.faults.targets import Sweep


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sweep", "stack", "training"])
def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(tmp_path, name):
    command = [sys.executable, "-m", "tests.faults", "--kills", "8", "--cold", "1", "--only", name, "--seed", "1"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "kills.json").read_text())[name]
    assert found["kills"] >= 9
    assert found["mismatches"] == []


@pytest.mark.slow
def test_the_parent_killed_alone_its_workers_end_and_the_sweep_ends_as_if_nothing_had_happened(tmp_path):
    tally = kill_until_done(Sweep(), tmp_path, 6, seed=2, cold=True)
    for kind in (", SIGKILL to the parent alone", ", SIGTERM to the parent alone", ""):
        assert tally.kills[f"cold start, by time{kind}"] >= 2
    assert tally.mismatches == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sweep", "stack"])
def test_killed_before_any_file_operation_it_ends_as_if_nothing_had_happened(tmp_path, name):
    target = Sweep(SETTINGS[name], name)
    tally = kill_at_every_operation(target, tmp_path, every=5)
    assert tally.kills["at a file operation"] == tally.runs > 40
    assert tally.mismatches == []


class Careless:
    """Appends a line at a time to one file, and starts each time at its end: a kill is bound to cost or double one."""

    name = "careless"

    def run(self, out):
        out.mkdir(exist_ok=True)
        for number in range(20):
            (out / f"{number}").write_text("done")
            with (out / "log").open("a") as log:
                log.write(f"{number}\n")

    def state(self, out):
        return "some lines"

    def mismatches(self, out, whole, done):
        return ["lines differ"] if done and (out / "log").read_text() != (whole / "log").read_text() else []


def test_the_harness_sees_what_a_careless_program_does(tmp_path):
    tally = kill_until_done(Careless(), tmp_path, 6, seed=0)
    assert tally.kills["at a file operation"] + tally.kills["by time"] >= 6
    assert tally.mismatches


class Leaving:
    """Starts a process that does not end with it."""

    name = "leaving"

    def command(self, out):
        start = "import subprocess, sys, time; subprocess.Popen(['sleep', '600']); time.sleep(float(sys.argv[1]))"
        return [sys.executable, "-c", start, "60"]

    def state(self, out):
        return "a process"

    def mismatches(self, out, whole, done):
        return []


def test_the_harness_sees_workers_that_live_on_and_ends_them(tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "_WORKERS_END", 0.2)
    end = kills._attempt(Leaving(), tmp_path / "out", tmp_path / "log", 2.0, cold=True, alone=signal.SIGKILL)
    assert end == (-signal.SIGKILL, 1)
    with_workers = kills._attempt(Leaving(), tmp_path / "out", tmp_path / "log", 2.0, cold=True)
    assert with_workers == (-signal.SIGKILL, 0)


def test_what_lives_on_is_a_mismatch(tmp_path, monkeypatch):
    ends = iter([kills.End(0), kills.End(-signal.SIGKILL, 2), kills.End(0)])
    monkeypatch.setattr(kills, "_attempt", lambda *_: next(ends))
    tally = kill_until_done(Leaving(), tmp_path, 1, seed=0, cold=True)
    assert tally.mismatches == ["run 0: 2 workers lived on"]
    assert tally.kills == {"cold start, by time, SIGKILL to the parent alone": 1}


def test_a_kill_at_every_file_operation_finds_the_careless_ones(tmp_path):
    tally = kill_at_every_operation(Careless(), tmp_path)
    assert tally.kills["at a file operation"] == tally.runs > 40  # the folder, and two operations a line
    lines_doubled = 20  # killed between the two
    assert lines_doubled <= len(tally.mismatches) < tally.runs


def test_the_comparison_sees_every_kind_of_difference(tmp_path):
    sweep, whole = Sweep(), tmp_path / "whole"
    sweep.run(whole)
    folder = "sim/tiny"

    def found(alter):
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(whole, out)
        alter(find_runs([out])[0])
        (out / folder / "runs.parquet").unlink()
        return differences(out / folder, whole / folder, done=True)

    assert found(lambda path: _altered(path, started="2000", results={"seconds": 9.0})) == []
    assert "run.json differs" in found(lambda path: _altered(path, results={"value": 0.5}))[0]
    assert "is missing" in found(shutil.rmtree)[0]
    assert any("is missing" in one for one in found(lambda path: _altered(path, status="running")))
    assert any("not finished" in one for one in found(_another_run_that_is_running))
    assert any("groups differs" in one for one in found(_double_a_group))


def _altered(path, **changes):
    info = json.loads((path / "run.json").read_text())
    results = info["results"] | changes.pop("results", {})
    (path / "run.json").write_text(json.dumps(info | {"results": results} | changes))


def _another_run_that_is_running(path):
    _altered(path, status="running", run_id="other")
    path.rename(path.with_name("other"))


def _double_a_group(path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path / "groups.parquet")
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path / "groups.parquet")


def test_a_kill_is_a_kill(tmp_path):
    from tests.faults.kills import _die_at, fork

    def work():
        for number in range(5):
            (tmp_path / f"{number}").mkdir()

    child = fork(lambda: _die_at(3, work), tmp_path / "log")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "log"]
