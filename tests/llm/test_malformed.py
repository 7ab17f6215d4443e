"""Hundreds of malformed command lines through the real entry points: a line of error each, nothing loaded."""

import random
from dataclasses import fields

import pytest
import yaml

from llm import evaluate, study, train
from llm.evaluate import EvaluateSettings
from llm.settings import TrainSettings
from llm.study import StudySettings
from tests.llm.test_command_line import command
from tests.llm.test_settings import nothing_is_loaded

__all__ = ["command", "nothing_is_loaded"]

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

COMMANDS = {train: TrainSettings, study: StudySettings, evaluate: EvaluateSettings}
NUMBERS = [
    "-1",
    "-0.5",
    "2.6",
    "1e999",
    "nan",
    "-inf",
    "0x10",
    "ten",
    "1,000",
    "",
    "9" * 400,
    "--",
    "1e-",
    "½",
    "[]",
]
TEXTS = {
    "allocator": ["", "ceru", "cero(", "cero(price=)", "cero(prise=1)", "cero(price=abc)", "(", "a" * 5000, "cero)x"],
    "task": ["", "arithmetic(", "arithmetic(a, b)", "x.jsonl", "gsm8k()", "gsm8k(a,b,c)", "../x", "reasoning_gym(gdc)",
             "(broad)", "arithmetic(broad))", "a" * 5000, "gsm8k(/no/where)", "task(" + " " * 2000],
    "model": ["", "/no/such", "a b c", "~nobody/x", "x/y/z", "../..", "a" * 300, "-", "\N{INFINITY}"],
    "name": ["", "..", "a/b", "/", "a" * 300, ".hidden", "a\nb"],
    "out": ["/dev/null", "/dev/null/x", "False", "none"],
    "settings": ["x"],
    "engine": ["", "vlm", "vllm-server", "transformer"],
    "dtype": ["", "fp16", "float64", "int8"],
    "loss": ["", "grppo", "ppo"],
    "scale_rewards": ["", "groups", "true"],
    "on_bad_reward": ["", "ignore"],
    "prompt_template": ["", "no place", "{prompt", "{Prompt}"],
    "report_to": ["wandbb", "tensorbord"],
    "lr_schedule": ["", "cosin", "reduce_lr_on_plateau"],
    "plugins": ["no_such_module_at_all", "..", "a b", ""],
    "preset": ["", "tinny"],
    "tasks": ["x.jsonl", ""],
    "methods": ["ceru", "", "cero(x"],
}  # fmt: skip
TRL = [
    "--trl.top-p abc", "--trl.top-p 2", "--trl.nothing 1", "--trl.top_k 1.5", "--trl.optim x", "--trl", "--trl x",
    "--trl.learning-rate 1", "--trl. 1", "--trl.log-completions perhaps", "--trl.entropy-coef x", "--trl.optim-args ,=",
    "--trl.steps-per-generation -3", "--trl.per-device-train-batch-size 0", "--trl.generation-batch-size 7",
    "--trl.top-p.x 1",
]  # fmt: skip
SETTINGS = ["--settings.trl.top-p 0.9", "--settings.trl x", "--settings.learning-rate.x 1", "--settings.nothing 1"]
SHAPES = [
    ["--no-such-option"], ["stray"], ["--seed"], ["--seed", "1", "2"], ["---"], ["-x"], ["--seed=1=2"], ["--config"],
    ["--config", "/"], ["--config", "nowhere.yaml"], ["--config", "x.txt"], ["--seed", "1", "--seed", "2"],
]  # fmt: skip
FILES = ["seed: -1", "num_rounds: [", "- a", "nothing: 1", "seed: {a: 1}", "budget: 1.5", "x: *y", "? [1]: 2",
         "quiet: perhaps", "plugins: [os]", "config: x.yaml", "task: [1]", "trl: 3",
         "name: !!python/name:os.system"]  # fmt: skip


def numeric(settings):
    return [
        item.name
        for item in fields(settings)
        if isinstance(item.default, (int, float)) and item.default not in (True, False)
    ]


def lines(module):
    """Malformed lines of a command, several hundred, the same every time."""
    known = {item.name for item in fields(COMMANDS[module])}
    for name in numeric(COMMANDS[module]):
        real = isinstance(getattr(COMMANDS[module](), name), float)
        for value in random.Random(name).sample([one for one in NUMBERS if not (real and one == "2.6")], 4):
            yield [f"--{name.replace('_', '-')}={value}"]
    for name, values in TEXTS.items():
        if name in known:
            for value in values:
                yield (
                    [f"--{name.replace('_', '-')}", value]
                    if value[:1] != "-"
                    else [f"--{name.replace('_', '-')}={value}"]
                )
    if "trl" in known:
        yield from (line.split() for line in TRL)
    if "settings" in known:
        yield from (line.split() for line in SETTINGS)
    yield from (shape for shape in SHAPES if "seed" in known or not any("--seed" in part for part in shape))


def check(status, text, line):
    assert status not in (0, None), line
    assert "Traceback" not in text, line
    assert len(text) < 1500, line


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__)
def test_malformed_lines_end_in_a_line(command, tmp_path, monkeypatch, module):
    monkeypatch.chdir(tmp_path)
    count = 0
    for line in lines(module):
        try:
            status, text = command(module, *line, *(["--dry-run"] if module is train else []))
        except AssertionError:
            pytest.fail(f"{line} is taken")
        check(status, text, line)
        count += 1
    assert count > (150 if module is train else 40)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.__name__)
def test_malformed_files_end_in_a_line(command, tmp_path, module):
    file = tmp_path / "settings.yaml"
    for text in FILES:
        if module is not train and text.startswith("budget"):
            text = "samples: 1.5" if module is evaluate else "seeds: 1.5"
        file.write_text(text + "\n")
        check(*command(module, "--config", file, *(["--dry-run"] if module is train else [])), text)
    for content in (b"\xff\xfe\x00", b"", b"\x00", yaml.safe_dump({"a": ["b"] * 5}).encode(), b"[" * 50_000):
        file.write_bytes(content)
        check(*command(module, "--config", file, *(["--dry-run"] if module is train else [])), content[:20])
    assert {path.name for path in tmp_path.iterdir()} == {"settings.yaml"}
