"""Where committed records come from: clean trees. And when a tree is clean."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cerolab.records.pack import PACKED_FILE

ROOT = Path(__file__).resolve().parents[1]
module = importlib.import_module("cerolab.records.provenance")  # the package has the function by the same name

# Runs of trees with uncommitted changes, by experiment: how many are left to be made again. It may only get shorter.
STILL_DIRTY = {
    "results/sim/replica-arithmetic-hard": 35,
}


def committed(pattern: str) -> list[Path]:
    """Files below results that git has, by pattern."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("which records are committed is seen in a checkout only")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", f":(glob)results/**/{pattern}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def stamps(value: Any) -> Iterator[dict[str, Any]]:
    """Every provenance in a JSON value."""
    if isinstance(value, dict):
        if isinstance(value.get("provenance"), dict):
            yield value["provenance"]
        for part in value.values():
            yield from stamps(part)
    elif isinstance(value, list):
        for part in value:
            yield from stamps(part)


def unclean(origins: Iterator[dict[str, Any]]) -> int:
    """How many are not of a commit as it stands."""
    return sum(not (origin.get("commit") and origin.get("dirty") is False) for origin in origins)


def test_committed_records_come_from_clean_trees() -> None:
    found: Counter[str] = Counter()
    seen = 0
    for file in committed("run.json"):
        found[file.parents[1].relative_to(ROOT).as_posix()] += unclean(stamps(json.loads(file.read_text())))
        seen += 1
    for file in committed(PACKED_FILE):
        infos = [json.loads(text) for text in pq.read_table(file, columns=["run_json"])["run_json"].to_pylist()]
        found[file.parent.relative_to(ROOT).as_posix()] += unclean(stamps(infos))
        seen += len(infos)
    assert seen > 3000
    assert {name: count for name, count in found.items() if count} == STILL_DIRTY


def test_committed_measurements_come_from_clean_trees() -> None:
    files = [file for file in committed("*.json") if file.name != "run.json"]
    found = {file.relative_to(ROOT).as_posix(): list(stamps(json.loads(file.read_text()))) for file in files}
    assert found["results/bench/benchmark.json"]
    assert found["results/examples/precision.json"]
    assert {name: origins for name, origins in found.items() if unclean(iter(origins))} == {}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with one commit, of which ``provenance`` speaks."""
    package = tmp_path / "package"
    package.mkdir()
    for name in ("package/code.py", "pyproject.toml", "README.md", ".gitignore"):
        (tmp_path / name).write_text("ignored/\n" if name == ".gitignore" else "\n")
    name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for arguments in (["init", "-q"], ["add", "."], [*name, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    monkeypatch.setattr(module, "__file__", str(package / "code.py"))
    module.provenance.cache_clear()
    yield tmp_path
    module.provenance.cache_clear()


@pytest.mark.parametrize(
    ("file", "dirty"),
    [
        (None, False),
        ("results/sim/sweep/run-1/run.json", False),  # of the sweep itself
        ("results/sim/sweep/run-1/rounds.parts/000000.parquet", False),
        ("paper_figs/table.csv", False),
        ("README.md", False),
        ("ignored/code.py", False),
        ("package/code.py", True),
        ("package/new.py", True),
        ("examples/deep/below/plugin.py", True),  # not yet added
        ("pyproject.toml", True),
    ],
)
def test_a_tree_is_dirty_where_its_code_is(checkout: Path, file: str | None, dirty: bool) -> None:
    if file is not None:
        (checkout / file).parent.mkdir(parents=True, exist_ok=True)
        (checkout / file).write_text("changed\n")
    stamp = module.provenance()
    assert len(stamp["commit"]) == 40
    assert stamp["dirty"] is dirty


def test_code_that_was_removed_makes_a_tree_dirty(checkout: Path) -> None:
    (checkout / "package/code.py").unlink()
    assert module.provenance()["dirty"] is True


def test_nobody_says_clean_who_does_not_know(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(checkout / ".git")
    stamp = module.provenance()
    assert (stamp["commit"], stamp["dirty"]) == (None, None)
    monkeypatch.setenv("PATH", "")
    module.provenance.cache_clear()
    assert module.provenance()["dirty"] is None
