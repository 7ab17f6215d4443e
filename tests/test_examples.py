"""The template allocator, the page about it, and allocators of installed packages."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "add-an-allocator.md").read_text()


def run(code: str, *folders: Path) -> subprocess.CompletedProcess[str]:
    path = ":".join(str(folder) for folder in (*folders, ROOT))
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, env={"PYTHONPATH": path}
    )


def installed(folder: Path, name: str, module: str) -> Path:
    """What pip leaves of a package with an entry point."""
    info = folder / "third_party-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cerolab.allocators]\n{name} = {module}\n")
    return folder


def test_the_template_is_short():
    lines = (ROOT / "examples" / "least_visited.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 40


def test_the_code_of_the_page_runs_as_it_stands():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 2
    for code in blocks:
        done = run(code, ROOT / "examples")
        assert done.returncode == 0, done.stderr


def test_commands_of_the_page_know_their_options():
    commands = re.findall(r"^python -m (\S+) (.*)$", PAGE, flags=re.MULTILINE)
    modules = ["cerolab", "sim.regret_sweep", "analysis.report", "sim.leaderboard", "llm.train"]
    assert [module for module, _ in commands] == modules
    for module, arguments in commands:
        source = "".join(file.read_text() for file in sorted((ROOT / module.partition(".")[0]).rglob("*.py")))
        for option in re.findall(r"--([\w-]+)", arguments):
            assert option.replace("-", "_") in source


def test_an_installed_package_brings_its_allocator(tmp_path):
    code = """
from cerolab import AllocationProblem, available, make
assert "least_visited" in available()
problem = AllocationProblem(num_prompts=5, num_rounds=2, budget=4, capacity=2)
assert make("least_visited", problem).name == "least_visited"
"""
    done = run(code, installed(tmp_path, "least_visited", "least_visited"), ROOT / "examples")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("fancy", "not_there", "allocator 'fancy': entry point 'not_there' cannot be imported"),
        (
            "fancy",
            "least_visited",
            "'fancy': entry point 'least_visited' registers no allocator of that name",
        ),
    ],
)
def test_a_broken_entry_point_is_named(tmp_path, name, module, message):
    code = f"from cerolab.registry import allocator_class; allocator_class({name!r})"
    done = run(code, installed(tmp_path, name, module), ROOT / "examples")
    assert done.returncode == 1
    assert message in done.stderr


def test_an_entry_point_cannot_replace_a_built_in_method(tmp_path):
    code = "from cerolab.registry import allocator_class; print(allocator_class('cero').__module__)"
    done = run(code, installed(tmp_path, "cero", "least_visited"), ROOT / "examples")
    assert done.stdout == "cerolab.allocators.cero\n", done.stderr


def test_the_measurement_of_precision_prints_its_three_tables():
    arguments = ["--seeds", "1", "--horizons", "4", "--steps", "10", "--prompts", "500"]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / "precision.py"), *arguments],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    rows = {line[2:38].strip(): line[38:].split() for line in done.stdout.splitlines() if line.startswith("  regret")}
    assert set(rows) == {"regret_double", "regret_difference"}
    (slopes,) = (line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  10 "))
    assert float(slopes[0]) == pytest.approx(float(slopes[1]), rel=1e-5)
    (bytes_of,) = (line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  cero "))
    assert len(bytes_of) == 4
