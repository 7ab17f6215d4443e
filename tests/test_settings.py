"""Settings: type and range of each, the same on a command line, in a file and in Python; what code a file may name."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from pydantic import Field

from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.registry import import_plugins
from cerolab.tools.plain_yaml import read_yaml
from cerolab.tools.settings import CommandLineOnly, FileToWrite, FolderName, NoRepeats, Seeds, Settings, checked, one_of
from cerolab.tools.spec import parse_call
from sim.experiment.memory import check_memory, memory_bytes
from sim.leaderboard_settings import LeaderboardSettings
from sim.sweep_settings import ABLATIONS, ALLOCATORS, SweepSettings
from tests.test_malformed_commands import ROOT

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@dataclass(frozen=True, kw_only=True)
class Sample(Settings):
    """A setting of each kind."""

    seeds: Seeds = 3
    sizes: Annotated[tuple[Annotated[int, Field(ge=2)], ...], NoRepeats, Field(min_length=1)] = (2, 3)
    rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    table: Annotated[str, one_of("table", ("rounds", "groups"))] = "rounds"
    engine: Literal["local", "ray"] = "local"
    name: FolderName = "run"
    quiet: bool = False
    folder: Path | None = None
    most: Annotated[int, Field(ge=1)] | None = None
    options: Annotated[dict[str, Any], CommandLineOnly(("plugins",))] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seeds": 2.7}, "seeds=2.7 is no whole number; give a whole number from 1 to 100,000"),
        ({"seeds": 2.0}, "seeds=2.0 is no whole number"),
        ({"seeds": True}, "seeds=True is no whole number"),
        ({"seeds": "2"}, "seeds='2' is no whole number"),
        ({"seeds": 0}, "seeds=0 is below 1"),
        ({"seeds": 10**30}, "is above 100,000"),
        ({"sizes": ()}, "sizes=() names nothing"),
        ({"sizes": (2, 2)}, "sizes=(2, 2) names something twice"),
        ({"sizes": (2, 1)}, "sizes=1 is below 2; give a whole number of 2 or more"),
        ({"sizes": 5}, "sizes=5 cannot be used"),
        ({"rate": float("nan")}, "rate=nan is no finite number; give a number above 0 up to 1"),
        ({"rate": 0}, "rate=0 is not above 0"),
        ({"rate": 1.5}, "rate=1.5 is above 1"),
        ({"rate": "0.5"}, "rate='0.5' is no finite number"),
        ({"quiet": 1}, "quiet=1 cannot be used; input should be a valid boolean"),
        ({"most": 0}, "most=0 is below 1"),
        ({"name": "x" * 300}, "cannot be a folder name"),
        ({"name": "../x"}, "name='../x' cannot be a folder name"),
        ({"folder": Path("a\0b")}, "has a zero byte"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_would_be_right(given, words):
    with pytest.raises(InvalidValueError) as caught:
        Sample(**given)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(("given", "near"), [({"table": "round"}, "rounds"), ({"engine": "lokal"}, "local")])
def test_a_text_that_is_not_known_names_the_nearest(given, near):
    with pytest.raises(UnknownNameError, match=f"did you mean '{near}'"):
        Sample(**given)


def test_what_fits_becomes_plain():
    made = Sample(seeds=np.int64(4), sizes=[5, 6], rate=1, most=2)
    assert (made.seeds, made.sizes, made.rate, made.most) == (4, (5, 6), 1.0, 2)
    assert type(made.seeds) is int
    assert type(made.sizes) is tuple


def test_arguments_of_a_function_are_checked_too(tmp_path):
    @checked
    def run(seeds: Seeds, *, out: FileToWrite | None = None) -> tuple[int, Path | None]:
        return seeds, out

    assert run(2) == (2, None)
    for bad in ({"seeds": 0}, {"seeds": 1, "out": tmp_path}, {"seeds": 1, "out": tmp_path / "no" / "x"}):
        with pytest.raises(InvalidValueError):
            run(**bad)


def test_only_the_allocators_that_are_named_run():
    def ran(**given):
        sizes = {"horizons": (10,), "pool_sizes": (), "drifts": (), "dynamics": (), "populations": ("point(0.5)",)}
        ((_, methods),) = SweepSettings(**sizes, **given).cells(seeds=1)
        return [method.name for method in methods]

    names = [text.partition("(")[0] for text in (*ALLOCATORS, *ABLATIONS)]
    assert ran() == names  # the committed sweep
    assert ran(allocators=("mopps", "uniform")) == ["mopps", "uniform"]
    assert ran(allocators=("cero", "uniform")) == ["cero", "uniform"]
    assert ran(ablations=("vip",)) == ["cero", "uniform", "vip"]
    assert ran(allocators=("mopps",), ablations=("vip",)) == ["mopps", "vip"]


@pytest.mark.parametrize("settings", [SweepSettings, LeaderboardSettings])
def test_a_limit_that_cannot_be_is_named_itself(settings):
    with pytest.raises(InvalidValueError, match=r"max_units=0 is below 1"):
        settings(max_units=0)
    with pytest.raises(InvalidValueError, match=r"mean_units=3.* is above max_units=2; lower it, or raise max_units"):
        settings(mean_units=3.0)


def test_memory_is_known_before_it_is_taken():
    there = memory_bytes()
    check_memory(there // 400)
    with pytest.raises(
        InvalidValueError, match=r"num_prompts=\d+ needs about [\d,]+ GB of memory a run, and this mach"
    ):
        check_memory(there)
    with pytest.raises(InvalidValueError, match="needs about 3,000 GB"):
        SweepSettings(num_prompts=10**10).check()


def test_more_runs_than_can_be_listed_are_refused():
    with pytest.raises(InvalidValueError, match=r"seeds=100000 makes 33,000,000 runs"):
        SweepSettings(seeds=100_000).check()


def test_text_forms_are_read_in_no_time():
    began = time.perf_counter()
    for text in ("point(" + " " * 100_000, " " * 100_000 + "point", "point(" * 20_000, "p" * 100_000 + "("):
        with pytest.raises(InvalidValueError):
            parse_call("population", text + "!")
    with pytest.raises((InvalidValueError, UnknownNameError)):
        LeaderboardSettings(scenarios=(" under " * 10_000 + " with " * 10_000,)).check()
    assert time.perf_counter() - began < 2
    assert str(parse_call("population", " Beta ( 1 ,0.5 ) ")) == "beta(1, 0.5)"
    assert str(parse_call("dynamics", "static()")) == "static"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &a [1]\nb: *a\n", "alias, in line 2"),
        ("a: 1\nb: 2\na: 3\n", "'a' stands there twice, again in line 3"),
        ("[" * 5000, "nested too deeply"),
        ("a: [1,\n", "line"),
        ("a: !!python/name:os.system\n", "could not determine a constructor"),
    ],
)
def test_yaml_of_more_than_plain_values_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        read_yaml(text)


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("x = 1\ndef f(:\n", 2, "SyntaxError"),
        ("import numpy\nimport no_such_module_at_all\n", 2, "No module named 'no_such_module_at_all'"),
        ("x = 1\n\nraise RuntimeError('oops')\n", 3, "RuntimeError: oops"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named_with_file_and_line(tmp_path, monkeypatch, source, line, words):
    name = f"broken_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidValueError) as caught:
        import_plugins([name])
    assert f"{tmp_path / name}.py, line {line}: " in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plugin_without_a_name_is_refused():
    with pytest.raises(InvalidValueError, match="plugins='' names no module"):
        import_plugins([""])


def command(folder, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("text", ["plugins: [evil]", "plugins: evil", "--plugins: evil", "plugins: '[\"evil\"]'"])
def test_a_settings_file_of_a_stranger_runs_no_code(tmp_path, text):
    (tmp_path / "evil.py").write_text("open('ran', 'w').close()\n")
    (tmp_path / "given.yaml").write_text(text + "\nname: mine\n")
    ended = command(tmp_path, "sim.regret_sweep", "--quick", "--config", "given.yaml")
    assert ended.returncode == 1
    refusal = "holds plugins, which can run code or reach other machines; give --plugins on the command"
    assert ("Unknown option" if text.startswith("-") else refusal) in ended.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.py", "given.yaml"]


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_terminal_without_unicode_gets_the_same_numbers(tmp_path, environment):
    tiny = "--num-prompts 20 --moving-prompts 20 --num-rounds 10 --seeds 2 --allocators cero uniform --workers 1"
    ended = command(tmp_path, "sim.leaderboard", *tiny.split(), "--scenarios", "beta(1, 1)", "--quiet", **environment)
    assert ended.returncode == 0, ended.stderr
    shown = command(tmp_path, "analysis.leaderboard", "results/sim/leaderboard", "--against", "cero", **environment)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.isascii()
    assert "+-" in shown.stdout
    assert "?" not in shown.stdout
