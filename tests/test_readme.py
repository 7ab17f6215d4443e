"""The README's own code runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sim.sweep_settings import SweepSettings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_the_library_example_runs_and_spends_the_budget():
    scope = {}
    exec(BLOCKS[0], scope)
    assert 0 < scope["ledger"].responses <= scope["problem"].budget_responses
    assert scope["allocator"].remaining == scope["ledger"].remaining


def test_the_new_allocator_runs_in_the_sweep_as_the_readme_says(tmp_path):
    line = next(line for line in README.splitlines() if "--plugins least_visited" in line)
    assert line.startswith("PYTHONPATH=examples python ")
    small = (
        "--quick --horizons 10 --pool-sizes --drifts --dynamics --populations point(0.5) --num-prompts 20 --ablations"
    )
    arguments = line.split()[2:] + small.split() + ["--workers", "1", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": "examples", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    assert "least_visited" in done.stdout.lower().replace(" ", "_").replace("-", "_")


def test_the_settings_file_is_one(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    settings = SweepSettings(**yaml.safe_load(text))
    settings.check()
    assert len(list(settings.cells())) > 50


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)]+)\)", README))
def test_links_point_at_files(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("command", ["demo", "test"])
def test_the_two_commands_are_in_the_makefile(command):
    assert f"make {command}" in README
    assert re.search(rf"^{command}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
