"""Processes end with the one that started them; two sweeps on one folder; a lock that is held once."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cerolab.errors import RecordError, RunFinishedError, RunTakenError
from cerolab.records import RunWriter, claim_directory, files, provenance, read_infos, write_in_turn
from cerolab.records.files import Lock
from cerolab.tools.workers import in_processes
from sim.experiment.engine import run_cells
from sim.experiment.local_engine import run_locally
from tests.test_records import settings as run_settings
from tests.test_records import written
from tests.test_regret_sweep import arguments, results, settings, sweep

ROOT = Path(__file__).resolve().parents[1]
LONG = {"horizons": (10, 1500), "num_prompts": 200, "seeds": 2, "detail": ("rounds",), "allocators": ("cero",),
        "pool_sizes": (), "drifts": (), "dynamics": (), "ablations": ()}  # fmt: skip


def alive(group):
    """Process ids of a group that have not ended; what is only waited for has."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state not in "ZX":
            found.append(int(stat.parent.name))
    return found


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def start(out, workers=2, **changes):
    """The command with workers, in a group of its own."""
    given = [*map(str, arguments(out, **LONG | changes)), "--workers", str(workers)]
    return subprocess.Popen(
        [sys.executable, "-m", "sim.regret_sweep", *given], cwd=ROOT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def running(directory):
    return [path for path in directory.glob("*/run.json") if '"running"' in path.read_text()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results of an uninterrupted sweep."""
    given = settings(tmp_path_factory.mktemp("whole"), **LONG)
    sweep(given, workers=1)
    return results(given.directory)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_parent_alone_and_the_same_sweep_goes_on_at_once(tmp_path, kind, whole):
    child, directory = start(tmp_path), tmp_path / "sim" / "tiny"
    assert within(60, lambda: len(running(directory)) == 2)  # both workers are at it
    os.kill(child.pid, kind)
    if kind == signal.SIGTERM:
        said = child.communicate()[1]
        assert child.returncode == 128 + kind
        assert "stopped; start the same command again to go on where it was" in said
        assert "Traceback" not in said
    assert sweep(settings(tmp_path, **LONG), workers=1) > 0  # what the workers still hold is waited for
    assert within(5, lambda: not alive(child.pid)), f"{len(alive(child.pid))} processes live on"
    child.communicate()
    assert results(directory) == whole
    assert any("resumed" in info for info in read_infos(directory).values())


def test_two_sweeps_on_one_folder_end_well_and_each_run_is_written_once(tmp_path, whole):
    both = [start(tmp_path) for _ in range(2)]
    said = [child.communicate() for child in both]
    assert [child.returncode for child in both] == [0, 0], said
    assert sum(int(re.search(r"(\d+) runs in", out).group(1)) for out, _ in said) == len(whole)
    assert results(tmp_path / "sim" / "tiny") == whole
    assert not any("resumed" in info for info in read_infos(tmp_path / "sim" / "tiny").values())


def test_seeds_at_once_leave_out_the_one_that_is_being_written_until_it_is_free(tmp_path):
    given = settings(tmp_path, **LONG | {"horizons": (10,), "seeds": 3, "detail": ()})
    claim_directory(given.directory, given.fixed())
    (cell, methods), *_ = given.cells()
    other = RunWriter(given.directory, cell.settings(given.directory.name, methods[0], ()), provenance())
    threading.Timer(0.5, lambda: other.finish({"value": 0.5})).start()
    assert run_cells(list(given.cells()), given.directory, workers=1, quiet=True) == 2
    values = {info["seed"]: info["results"]["value"] for info in read_infos(given.directory).values()}
    assert values[cell.seed] == 0.5
    assert len(values) == 3


def test_a_run_that_another_process_finishes_meanwhile_is_taken_as_done(tmp_path):
    given = settings(tmp_path, **LONG | {"horizons": (10,)})
    cells = list(given.cells())
    total = sum(len(methods) for _, methods in cells)

    def overtaken(tasks, *rest):
        assert sweep(settings(tmp_path, **LONG | {"horizons": (10,), "seeds": 1}), workers=1) == total // 2
        yield from run_locally(tasks, *rest)

    assert run_cells(cells, given.directory, given.detail, workers=1, quiet=True, engine=overtaken) == total // 2
    assert len(read_infos(given.directory)) == total


def test_a_run_that_is_being_written_is_waited_for_and_done_here_where_the_other_gives_up(tmp_path):
    for ended in ("finished", "given up"):
        folder = tmp_path / ended
        other = RunWriter(folder, run_settings(detail=()), provenance())
        end = (lambda: other.finish({"value": 1.5})) if ended == "finished" else other.close  # noqa: B023
        threading.Timer(0.3, end).start()
        did = write_in_turn(lambda: RunWriter(folder, run_settings(detail=()), provenance()).finish({"value": 2.5}))  # noqa: B023
        (info,) = read_infos(folder).values()
        assert (did, info["results"]["value"]) == ((False, 1.5) if ended == "finished" else (True, 2.5))


def test_a_finished_and_a_taken_run_are_told_apart(tmp_path):
    writer = RunWriter(tmp_path, run_settings(seed=1), provenance())
    with pytest.raises(RunTakenError):
        RunWriter(tmp_path, run_settings(seed=1), provenance())
    writer.close()
    written(tmp_path)
    with pytest.raises(RunFinishedError):
        RunWriter(tmp_path, run_settings(), provenance())


# --- processes ------------------------------------------------------------------------------------------------------


def slow(seconds):
    time.sleep(seconds)
    return os.getpid()


def fails(_):
    raise ZeroDivisionError


def test_closing_ends_what_runs_and_a_failure_waits_for_it():
    began = time.monotonic()
    results = in_processes(slow, [0.0, 600.0, 600.0], 2)
    next(results)
    results.close()
    with pytest.raises(ZeroDivisionError):
        list(in_processes(fails, range(2), 1))
    assert time.monotonic() - began < 300
    assert not multiprocessing.active_children()


def test_processes_are_replaced_where_asked():
    assert len(set(in_processes(slow, [0.0] * 3, 1, max_tasks_per_child=1))) == 3


# --- the lock -------------------------------------------------------------------------------------------------------


def test_a_lock_whose_file_was_removed_between_opening_and_locking_is_not_held_twice(tmp_path, monkeypatch):
    """The forced order: B opens the file, A lets go and removes it, B locks what is no longer there, C comes."""
    path, first = tmp_path / ".lock", Lock(tmp_path / ".lock")
    plain, locked = fcntl.flock, []

    def late(handle, how):
        if not locked:
            locked.append(os.fstat(handle).st_ino)
            first.release()
        plain(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    second = Lock(path)
    assert path.exists()
    with pytest.raises(RunTakenError):
        Lock(path)
    second.release()
    assert not path.exists()
    Lock(path).release()


def take_and_count(path):
    """In a process of its own: take the lock over and over; how often, and how often it was alone with it."""
    path.with_name(f"here-{os.getpid()}").touch()
    within(60, lambda: len(list(path.parent.glob("here-*"))) == 2)
    taken, alone, inside = 0, 0, path.with_name(f"in-{os.getpid()}")
    ends = time.monotonic() + 1.0
    while time.monotonic() < ends:
        try:
            lock = Lock(path)
        except RunTakenError:
            continue
        inside.touch()
        alone += len(list(path.parent.glob("in-*"))) == 1
        inside.unlink()
        lock.release()
        taken += 1
    return taken, alone


def test_two_processes_that_take_and_let_go_as_fast_as_they_can_are_never_in_together(tmp_path):
    found = list(in_processes(take_and_count, [tmp_path / ".lock"] * 2, 2))
    assert all(taken == alone for taken, alone in found)
    assert sum(taken for taken, _ in found) > 100


@pytest.mark.parametrize("kind", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_not_another_process(tmp_path, monkeypatch, kind):
    def none(*_):
        raise OSError(kind, os.strerror(kind))

    monkeypatch.setattr(files.fcntl, "flock", none)
    with pytest.raises(RecordError, match=rf"cannot lock .*\.lock: {os.strerror(kind)}; .*gives no locks") as caught:
        RunWriter(tmp_path, run_settings(), provenance())
    assert not isinstance(caught.value, RunTakenError)
    assert "another process;" not in str(caught.value)
