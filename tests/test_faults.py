"""A disk that is full from the n-th operation on, a place that cannot be written, and records from strangers."""

import base64
import errno
import json
import os
import pickle
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analysis.data.load import load_runs
from analysis.plotting import style
from analysis.report.page import render
from cerolab.errors import CerolabError, RecordError
from cerolab.records import RunWriter, find_runs, provenance, read_infos, read_run
from cerolab.records.files import write_json
from sim.experiment.engine import run_experiment
from sim.sweep_settings import SweepSettings
from tests.faults.records import differences
from tests.test_analysis_data import horizon_infos, power_law, write_detailed_run, write_infos
from tests.test_analysis_training import write_run
from tests.test_records import rows, settings, written

ROOT = Path(__file__).resolve().parents[1]
GROWS = ("os.mkdir", "os.rename")
SHRINKS = ("os.remove", "os.rmdir")
_refuse = None  # an audit hook stays for good; it does nothing while this is None


def _hook(event, given):
    if _refuse is not None and (event in GROWS or event in SHRINKS or event == "open"):
        _refuse(event, given)


sys.addaudithook(_hook)


@contextmanager
def failing(folder, kind, first=1):
    """From operation ``first`` on nothing below ``folder`` can be made or opened for writing; counts the operations."""
    global _refuse
    counted = [0]

    def refuse(event, given):
        path = str(given[0])
        writes = event != "open" or (isinstance(given[2], int) and given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if not writes or not path.startswith(str(folder)) or (event in SHRINKS and kind == errno.ENOSPC):
            return
        counted[0] += 1
        if counted[0] >= first:
            raise OSError(kind, os.strerror(kind), path)

    _refuse = refuse
    try:
        yield counted
    finally:
        _refuse = None


def sweep(out):
    given = SweepSettings(
        name="tiny", out=out, horizons=(6,), num_prompts=8, seeds=2, populations=("beta(1, 1)",),
        allocators=("cero",), ablations=("uniform",), pool_sizes=(), drifts=(), dynamics=(),
        detail=("rounds", "groups", "evals", "pool"),
    )  # fmt: skip
    run_experiment(given, given.detail, workers=1, quiet=True)
    return given.directory


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EROFS], ids=["full disk", "read-only"])
def test_wherever_the_disk_gives_out_the_error_is_clear_and_the_sweep_goes_on(tmp_path, kind, step):
    """At every ``step``-th of the operations, the number of which the first life counts."""
    with failing(tmp_path / "whole", kind, first=10**9) as counted:
        whole = sweep(tmp_path / "whole")
    assert counted[0] > 30
    for first in range(1, counted[0] + 1, step):
        out = tmp_path / f"{first}"
        with failing(out, kind, first), pytest.raises(CerolabError) as caught:
            sweep(out)
        message = str(caught.value)
        assert os.strerror(kind) in message, (first, message)
        assert str(out) in message, (first, message)
        directory = out / "sim" / "tiny"
        assert differences(directory, whole, done=False) == [], first
        assert differences(sweep(out), whole, done=True) == [], first


def test_below_a_file_nothing_can_be_made_and_the_message_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot create .*file/sim/tiny: Not a directory; choose another --out"):
        sweep(tmp_path / "file")


def test_the_command_says_it_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-m", "sim.regret_sweep", "--quick", "--out", str(tmp_path / "file")],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: cannot create" in done.stderr


def test_a_full_disk_is_not_hidden_by_a_failure_to_write_that_down(tmp_path):
    writer = RunWriter(tmp_path, settings(), provenance())
    with failing(tmp_path, errno.ENOSPC):
        writer.fail(ValueError("the reason"))
    assert read_run(writer.path, unfinished=True).info["status"] == "running"
    written(tmp_path)  # it was let go of


def test_a_damaged_table_says_what_to_move_away(tmp_path):
    run = written(tmp_path)
    (run / "groups.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=rf"groups\.parquet is truncated.*move {re.escape(str(run))} away"):
        read_run(run).table("groups")
    writer = RunWriter(tmp_path, settings(seed=1), provenance())
    writer.append("groups", rows("groups", [0, 1]))
    writer.flush()
    part = next(writer.path.rglob("*.parts/*.parquet"))
    part.write_bytes(part.read_bytes()[:-30])
    writer.close()
    with pytest.raises(RecordError, match=rf"{part.name} is truncated.*move {re.escape(str(writer.path))} away"):
        RunWriter(tmp_path, settings(seed=1), provenance(), resume_from=2)
    (tmp_path / "runs.parquet").write_bytes(b"PAR1")
    with pytest.raises(RecordError, match=r"runs\.parquet is truncated.*move .*runs\.parquet away"):
        read_infos(tmp_path)


# --- records from elsewhere -----------------------------------------------------------------------------------------


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["run.json", "rounds.parquet", "groups.parquet", "runs.parquet", "experiment.json"])
def test_no_file_of_a_record_is_unpickled(tmp_path, name):
    folder, marker = tmp_path / "sweep", tmp_path / "sprung"
    run = write_detailed_run(folder, "cero", [2, 2])
    (run if name in ("run.json", "rounds.parquet", "groups.parquet") else folder).joinpath(name).write_bytes(
        pickle.dumps(Trap(marker))
    )
    if name == "experiment.json":
        from cerolab.records import claim_directory

        with pytest.raises(RecordError, match=r"experiment\.json"):
            claim_directory(folder, {})
    else:
        with pytest.raises(RecordError, match=re.escape(name)):
            render(load_runs(folder))
    assert not marker.exists()


def test_nor_is_a_column_of_python_objects(tmp_path):
    """Arrow once made Python types of pickles in a file's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    run, marker = write_detailed_run(tmp_path, "cero", [2, 2]), tmp_path / "sprung"
    table = pq.read_table(run / "groups.parquet")
    trap = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Trap(marker)),
    }
    field = pa.field("units", pa.int64(), nullable=False, metadata=trap)
    place = table.schema.get_field_index("units")
    pq.write_table(table.set_column(place, field, table["units"]), run / "groups.parquet")
    script = "import sys; from cerolab.records import read_run; read_run(sys.argv[1]).table('groups')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(run)], cwd=ROOT, capture_output=True, check=False)
    assert not marker.exists()


def test_settings_files_make_no_objects(tmp_path):
    marker, file = tmp_path / "sprung", tmp_path / "evil.yaml"
    file.write_text(f"name: !!python/object/apply:os.mkdir ['{marker}']\n")
    done = subprocess.run(
        [sys.executable, "-m", "sim.regret_sweep", "--config", str(file), "--out", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert not marker.exists()
    from cerolab.tools.method import Method

    with pytest.raises(CerolabError):
        Method.parse(f"cero(prior=!!python/object/apply:os.mkdir ['{marker}'])")
    assert not marker.exists()


SCRIPT = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, sorted(name for name, _ in attributes)))


def hostile(value, path=""):
    """``value`` with markup in every text that a stranger may choose freely."""
    if isinstance(value, dict):
        return {key: hostile(one, f"{path}/{key}") for key, one in value.items()}
    if path.startswith(("/method", "/experiment", "/options", "/provenance", "/scenario/population", "/scenario/task",
                        "/scenario/model", "/results/optimum_kind")):  # fmt: skip
        return f"{value}{SCRIPT}" if isinstance(value, str) else value
    return value


def test_a_script_in_a_record_is_text_on_the_page(tmp_path):
    infos = horizon_infos({"cero": power_law(0.1, -0.5), "uniform": power_law(0.2, 0.0)}, seeds=2)
    for info in infos:
        info["options"] = {"note": "x"}
        info["provenance"] = {"commit": "abc", "versions": {"numpy": "2.0"}}
    write_infos(tmp_path / "sweep", infos)
    for seed in (0, 1):
        for method in ("cero", "uniform"):
            write_run(tmp_path / "study", method, seed)
    plain = Tags(render(load_runs(tmp_path)))
    loaded = load_runs(tmp_path)
    pages = [render(replace(loaded, infos={run_id: hostile(info) for run_id, info in loaded.infos.items()}))]
    for path in find_runs([tmp_path]):
        info = json.loads((path / "run.json").read_text())
        for name in ("method", "experiment"):  # folders are named for them, so that no such file is even read
            write_json(path / "run.json", info | {name: info[name] + SCRIPT})
            with pytest.raises(RecordError, match="cannot be a folder name"):
                load_runs(tmp_path)
        kept = {name: info[name] for name in ("method", "experiment")}
        write_json(path / "run.json", hostile(info) | kept)
    pages.append(render(load_runs(tmp_path)))
    for page in pages:
        assert "alert(1)" in page  # it is shown
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert {(tag, *names) for tag, names in Tags(page).found} <= {(tag, *names) for tag, names in plain.found}
        for drawing in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", page):
            assert b"<script" not in base64.b64decode(drawing)


def test_opening_a_record_imports_nothing_that_it_names(tmp_path):
    """Plugins stand in settings of a start, never in a record."""
    (tmp_path / "evil_plugin.py").write_text(f"import os; os.mkdir({str(tmp_path / 'sprung')!r})")
    run = write_detailed_run(tmp_path / "sweep", "cero", [2, 2])
    info = json.loads((run / "run.json").read_text())
    write_json(run / "run.json", info | {"method": "evil_plugin", "plugins": ["evil_plugin"]})
    script = "import sys; from analysis.data.load import load_runs; from analysis.report.page import render; "
    script += "render(load_runs(sys.argv[1])); assert 'evil_plugin' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "sweep")], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (tmp_path / "sprung").exists()


def test_a_figure_that_finds_no_room_names_its_file_and_leaves_nothing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")  # as a write says it: without a name

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match=rf"cannot write {tmp_path / 'regret.png'}: No space left on device"):
        style.save(Figure(), tmp_path / "regret")
    assert not list(tmp_path.iterdir())
