"""A thousand command lines and settings files that cannot be: each ends in a line or two, and nothing is written."""

from __future__ import annotations

import importlib
import inspect
import os
import runpy
import sys
from dataclasses import is_dataclass
from functools import partial
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from cerolab.tools import command_line
from cerolab.tools.settings import FileToWrite, FolderName, FolderToFill

# Cyclopts takes it for a mistake that a test lets it read sys.argv; here that is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")
ROOT = Path(__file__).resolve().parents[1]
COMMANDS = {  # module or file: its function
    "sim.regret_sweep": "regret_sweep", "sim.leaderboard": "leaderboard", "sim.paper_scale": "paper_scale",
    "sim.replica.__main__": "replica", "llm.train": "train", "llm.study": "study", "llm.evaluate": "evaluate",
    "llm.pretrain": "pretrain", "analysis.paper": "main", "analysis.report.__main__": "main",
    "analysis.readme": "main", "analysis.agreement.__main__": "main", "analysis.sweep": "main",
    "analysis.training": "main", "analysis.leaderboard": "main", "analysis.scaling": "main", "benchmarks.run": "run",
    "benchmarks.check": "check", "tests.faults.__main__": "faults", "examples/precision.py": "main",
    "examples/token_budget.py": "main",
}  # fmt: skip
OPERANDS = {"sim.replica.__main__": ["no/such"], "analysis.report.__main__": ["no/such"], "llm.train": ["--dry-run"],
            "analysis.agreement.__main__": ["no/such", "no/such"], "analysis.sweep": ["no/such"],
            "analysis.training": ["no/such"], "analysis.leaderboard": ["no/such"]}  # fmt: skip
NO_FILES = {"benchmarks.run", "benchmarks.check"}  # commands without --config, beside those of analysis
NO_NUMBER = ("x", "2.6", "nan", "inf", "1e400", "", " ", "-", "1,5", "0x1.8p1", "9" * 5000)
BY_TYPE: dict[Any, tuple[str, ...]] = {int: NO_NUMBER, float: tuple(text for text in NO_NUMBER if text != "2.6")}
BY_NAME = {  # texts with a form of their own
    "allocators": ("ceru", "cero(", "cero(prise=1)", "cero(price=)", "cero(price=[[[[", "a b", "", "cero(price=x)"),
    "ablations": ("ceru", "(", "cero(price=*a)"), "allocator": ("ceru", "cero("), "methods": ("ceru", "cero("),
    "populations": ("beta(1)", "beta(0, 1)", "point(2)", "point(" + " " * 2000, "x*beta(1, 1)", "", "records(no/such)"),
    "population": ("beta(1)", "beta(nan, 1)", "point(x)", "", "normal(0, 1)"), "moving_population": ("beta", "point()"),
    "dynamics": ("drift", "drift(-1)", "shift(2)", "growing(2, 0)", "walk(1)", "learning(" * 500, ""),
    "rewards": ("graded", "graded(0)", "gradedd(5)", "(", ""), "lengths": ("normal(1)", "lognormal(-1)", ""),
    "scenarios": ("beta(1)", "beta(1, 1) under walk(2)", "beta(1, 1) with x rewards", "", " under " * 3000),
    "detail": ("round",), "plugins": ("", "no_such_module", "no.such", "a b", ".", "broken"), "only": ("sweeps",),
    "engine": ("lokal", ""), "dtype": ("float8",), "address": ("x:1",), "preset": ("papr",),
}  # fmt: skip
FILES = {  # name: text of a settings file
    "empty.yaml": "", "list.yaml": "- 1\n", "number.yaml": "3\n", "open.yaml": "quiet: [1, 2\n",
    "tab.yaml": "a:\n\tb: 1\n",
    "unknown.yaml": "no_such_setting: 1\n", "twice.yaml": "quiet: true\nquiet: false\n", "int_key.yaml": "1: 2\n",
    "bomb.yaml": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{chr(98 + at)}: &{chr(98 + at)} [{', '.join(['*' + chr(97 + at)] * 9)}]\n" for at in range(9)),
    "object.yaml": "quiet: !!python/object/apply:os.system ['touch ran']\n", "deep.yaml": "quiet: " + "[" * 5000,
    "plugins.yaml": "plugins: [evil]\n", "dotted.yaml": "--plugins: [evil]\n", "binary.yaml": "quiet: !!binary x\n",
    "switch.yaml": "config: other.yaml\n", "quiet.yaml": "quiet: {a: 1}\n", "null_byte.yaml": 'out: "a\\0b"\n',
    "date.yaml": "quiet: 2024-99-99\n", "merge.yaml": "<<: 1\n", "two.yaml": "--- {a: 1}\n--- {b: 1}\n",
    "open.toml": "quiet = ", "unknown.toml": "no_such_setting = 1\n", "twice.toml": "quiet = 1\nquiet = 2\n",
    "plugins.toml": 'plugins = ["evil"]\n', "table.toml": "[quiet]\na = 1\n", "wrong.ini": "quiet = 1\n",
    "wrong.json": "{}", "long.yaml": "# " + "x" * 200_000 + "\nquiet: true\n",
}  # fmt: skip


class BeganError(BaseException):
    """A command took what it should have refused, and would work now."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to stand in, and commands that do no work."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["command"])
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")

    def began(*_: object, **__: object) -> None:
        raise BeganError

    for module in ("cerolab.records", "sim.experiment.engine"):
        monkeypatch.setattr(f"{module}.claim_directory", began)
    monkeypatch.setattr("benchmarks.measure.measure", began)
    monkeypatch.setattr("llm.models.cache.made_once", began)
    return tmp_path


def function_of(command):
    if command.endswith(".py"):
        return runpy.run_path(str(ROOT / command))["main"]
    return getattr(importlib.import_module(command), COMMANDS[command])


def plain(hint):
    """The type behind notes, Optional and tuple."""
    while args := get_args(hint):
        hint = next(arg for arg in args if arg is not type(None))
    return hint


def options_of(function):
    """(name, type) of every option."""
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(inspect.unwrap(function)).parameters.items():
        if is_dataclass(kind := plain(hints[name])):
            yield from get_type_hints(kind, include_extras=True).items()
        elif parameter.kind not in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            yield name, hints[name]


def bad_values(name, hint):
    yield from BY_NAME.get(name, ())
    if plain(hint) is bool:
        yield from ()
    elif plain(hint) in BY_TYPE and name not in BY_NAME:
        yield from BY_TYPE[plain(hint)]
    if plain(hint) is Path:
        yield from ("False", "none")
    if hint is FolderName or FolderName in get_args(hint):
        yield from ("", "a/b", "..", "x" * 300, " ", "-x", "é")
    for one, places in {FileToWrite: ("", "no/such/x", "folder.yaml"), FolderToFill: ("empty.yaml",)}.items():
        if hint is one or one in get_args(hint) or str(one) in str(hint):
            yield from places


def lines_of(command):
    """Command lines that cannot be."""
    function, operands = function_of(command), OPERANDS.get(command, [])
    yield [*operands, "--no-such-option"]
    yield [*operands, "--quiet=maybe"]
    if command not in ("analysis.report.__main__", "analysis.readme"):
        yield [*operands, "stray", "words"]
    for name, hint in options_of(function):
        option = f"--{name.replace('_', '-')}"
        if plain(hint) is bool:
            yield [*operands, f"{option}=perhaps"]
            continue
        if "tuple" not in str(hint) and "dict" not in str(hint):
            yield [*operands, option]  # its value is missing
        yield [*operands, f"{option}x", "1"]
        for value in bad_values(name, hint):
            yield [*operands, f"{option}={value}"]


def files_of(command):
    """Settings files that cannot be, and numbers in them."""
    if command.startswith("analysis") or command in NO_FILES:
        return
    function, operands = function_of(command), OPERANDS.get(command, [])
    known = [name for name, _ in options_of(function)]
    for name in [*FILES, "folder.yaml", "bytes.yaml", "no_such.yaml", "x" * 300 + ".yaml"]:
        if name != "null_byte.yaml" or "out" in known:
            yield [*operands, "--config", name]
    for name, hint in options_of(function):
        if plain(hint) in (int, float):
            for at, value in enumerate(("[2.6, [1]]", "abc", ".nan", "{a: 1}", "2024-01-01", "!!str", "[]x")):
                Path(f"{name}-{at}.yaml").write_text(f"{name}: {value}\n")
                yield [*operands, "--config", f"{name}-{at}.yaml"]


def as_main(command, monkeypatch):
    """What the command's file calls when it is run as a program; its body runs once, not for every command line."""
    name = command.removesuffix(".py")
    spec = spec_from_file_location(name, ROOT / command) if command.endswith(".py") else find_spec(command)
    module = module_from_spec(spec)
    module.__name__ = "__main__"
    monkeypatch.setitem(sys.modules, "__main__", module)  # where the types of its settings are looked up
    calls = []
    with monkeypatch.context() as taken:
        for function in (command_line.launch, command_line.start):
            taken.setattr(
                command_line, function.__name__, lambda *args, of=function, **given: calls.append((of, args, given))
            )
        exec(spec.loader.get_code(name), module.__dict__)
    ((function, args, given),) = calls
    return partial(function, *args, **given)


def ends(command, run, arguments, capsys):
    """(exit status, what was written to stdout and stderr) of a command in this process."""
    sys.argv = [command, *arguments]
    try:
        run()
        status = 0
    except SystemExit as end:
        status = end.code
    written = capsys.readouterr()
    return status, written.out, written.err


@pytest.mark.parametrize("rest", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["a fourth", "the rest"])
@pytest.mark.parametrize("of", [lines_of, files_of], ids=["options", "files"])
@pytest.mark.parametrize("command", COMMANDS)
def test_what_cannot_be_ends_in_a_line(command, of, rest, place, capsys, monkeypatch):
    tried, wrong = 0, []
    cases = [case for at, case in enumerate(of(command)) if (at % 4 > 0) == rest]
    run = as_main(command, monkeypatch)
    before = sorted(place.rglob("*"))
    for arguments in cases:
        shown = [text[:80] for text in arguments]
        try:
            status, out, err = ends(command, run, arguments, capsys)
        except BeganError:
            wrong.append((shown, "was taken"))
            continue
        except Exception as error:
            wrong.append((shown, f"traceback: {type(error).__name__}: {error}"[:300]))
            continue
        tried += 1
        lines = err.strip().splitlines()
        if not status or not 1 <= len(lines) <= 2 or len(err) > 2000 or not lines[-1].startswith("error: ") or out:
            wrong.append((shown, status, out[:200], err[:300]))
    assert not wrong, "\n".join(map(str, wrong[:40])) + f"\n{len(wrong)} of {len(cases)}"
    assert sorted(path for path in place.rglob("*") if "__pycache__" not in path.parts) == before
    assert tried or not cases


def test_they_are_a_thousand(place):
    assert sum(len(list(of(command))) for command in COMMANDS for of in (lines_of, files_of)) >= 1000
    assert not os.path.lexists("ran")
