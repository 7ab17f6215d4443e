"""The commands of training and evaluation: what they print, and what they say to those who mistype."""

import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from cerolab.errors import InvalidValueError
from cerolab.records import RunWriter, find_runs, provenance, read_run
from cerolab.tools.command_line import launch
from llm import evaluate, train
from llm.evaluate import EvaluateSettings
from llm.presets import PRESETS
from llm.settings import TrainSettings
from llm.training.session import prepare

# Cyclopts takes it for a mistake that a test lets it read sys.argv; here that is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "--num-prompts", "30", "--num-heldout", "20", "--num-rounds", "3", "--budget", "12", "--max-new-tokens", "3",
    "--eval-every", "0", "--final-samples", "0", "--no-bf16", "--no-save-model",
]  # fmt: skip


@pytest.fixture
def command(capsys, monkeypatch):
    """Runs a command in this process; returns its exit status and what it wrote, in one line."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # set back after a plan

    def run(module, *arguments):
        known = {"presets": PRESETS} if module is train else {}
        status = 0
        with patch.object(sys, "argv", ["command", *map(str, arguments)]):
            try:
                launch(getattr(module, module.__name__.split(".")[-1]), module.__name__, module.HELP, **known)
            except SystemExit as exit:
                status = exit.code
        written = capsys.readouterr()
        return status, " ".join(f"{written.out} {written.err}".split())

    return run


def options(text):
    return set(re.findall(r"--[a-z][a-z0-9-]*", text))


def test_the_help_of_training_explains_every_setting_and_names_the_presets(command):
    status, text = command(train, "--help")
    assert status == 0
    missing = {f"--{item.name.replace('_', '-')}" for item in fields(TrainSettings)} - options(text)
    assert not missing
    assert {"--preset", "--config", "--dry-run", "--quiet"} <= options(text)
    for name in PRESETS:
        assert name in text


def test_the_help_of_evaluation_explains_every_setting(command):
    status, text = command(evaluate, "--help")
    assert status == 0
    assert {f"--{item.name.replace('_', '-')}" for item in fields(EvaluateSettings)} <= options(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--allocator", "ceru"], "unknown allocator 'ceru' (did you mean 'cero'?)"),
        (["--allocator", "cero(prise=0.3)"], "did you mean 'price'?"),
        (["--preset", "tiny-papr"], "did you mean 'tiny-paper'?"),
        (["--engine", "vlm"], "unknown engine 'vlm' (did you mean 'vllm'?)"),
        (["--engine", "vllm-server"], "vllm_url"),
        (["--dtype", "fp16"], "float32"),
        (["--task", "arithmetik(broad)"], "did you mean 'arithmetic'?"),
        (["--task", "arithmetic(broard)"], "did you mean 'broad'?"),
        (["--model", "/no/such/folder"], "model='/no/such/folder' is no folder"),
        (["--budget", "1000", "--num-rounds", "10", "--capacity", "99"],
         "budget=1000 exceeds num_rounds * capacity = 10 * 99 = 990"),
        (["--capacity", "31", "--num-prompts", "15"], "lower capacity to at most 30"),
        (["--num-rounds", "0"], "num_rounds=0 is below 1"),
        (["--prompt-template", "Solve it."], "lacks {prompt}"),
        (["--config", "nowhere.yaml"], "does not exist"),
        (["--trl.no-such-setting", "1"], "is no setting of TRL's GRPOConfig"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_remedy(command, model, tmp_path, arguments, words):
    given = arguments if "--model" in arguments else ["--model", model, *arguments]
    status, text = command(train, *given, "--out", tmp_path, "--quiet")
    assert status == 1, text
    assert words in text
    assert "Traceback" not in text
    assert not list(tmp_path.rglob("run.json"))


def test_a_mistyped_option_is_refused(command):
    status, text = command(train, "--alocator", "cero")
    assert status != 0
    assert "--allocator" in text


def test_settings_from_a_file_a_preset_and_the_command_line(command, model, tmp_path):
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"name": "mine", "model": model, "num-prompts": 30, "num_rounds": 4, "budget": 12,
                                    "capacity": 5, "out": str(tmp_path), "trl": {"top_k": 5}}))  # fmt: skip
    status, text = command(train, "--config", file, "--preset", "tiny-paper", "--num-rounds", "3", "--dry-run")
    assert status == 0
    assert f"folder │ {tmp_path}/llm/mine" in text  # the file before the preset
    assert "rounds │ 3, 4.0 units" in text  # the command line before the file
    assert "held out │ 4,000 questions" in text  # the preset before the defaults
    file.write_text("num-runds: 3\n")
    status, text = command(train, "--config", file)
    assert status != 0
    assert "num-runds" in text


def test_a_training_from_the_command_line_tells_its_time_to_the_next_plan(command, model, tmp_path):
    given = ["--model", model, "--out", tmp_path, *SMALL]
    status, text = command(train, *given, "--dry-run")
    assert status == 0
    assert "time │ not known" in text
    assert not (tmp_path / "llm").exists()
    status, text = command(train, *given, "--quiet", "--allocator", "uniform")
    assert status == 0, text
    assert "uniform: 48 responses, 3 updates" in text
    (path,) = find_runs([tmp_path])
    assert read_run(path).info["results"]["responses"] == 48
    status, text = command(train, *given, "--quiet", "--allocator", "uniform")
    assert status == 0
    assert "finished already" in text
    longer = [{"3": "300", "12": "1200"}.get(word, word) for word in SMALL[:8]]
    _, text = command(train, *given[:4], *longer, *SMALL[8:], "--dry-run")
    assert re.search(r"time │ about [\d.]+ (seconds|minutes) without evaluations, at the speed of uniform-", text)


def test_a_run_that_another_process_is_at_is_refused(command, model, tmp_path):
    settings = TrainSettings(model=model, out=tmp_path, num_prompts=30, num_heldout=20, num_rounds=3, budget=12,
                             max_new_tokens=3, eval_every=0, final_samples=0, bf16=False, save_model=False)  # fmt: skip
    session = prepare(settings)
    writer = RunWriter(settings.directory, session.run, provenance())
    try:
        status, text = command(train, "--model", model, "--out", tmp_path, *SMALL, "--quiet")
    finally:
        writer.close()
    assert status == 1
    assert "is being written by another process" in text
    assert json.loads((session.directory / "run.json").read_text())["status"] == "running"
    status, text = command(train, "--model", model, "--out", tmp_path, *SMALL, "--quiet")
    assert status == 0, text


def test_a_token_budget_is_the_problems_and_needs_the_longest_response():
    plain = TrainSettings(num_prompts=100, max_new_tokens=64)
    given = replace(plain, token_budget=100_000)
    assert (given.problem(100).token_budget, given.problem(100).max_tokens) == (100_000, 64)
    assert given.scenario() == plain.scenario()
    assert "token_budget" not in plain.problem(100).to_dict()
    with pytest.raises(InvalidValueError, match="max_new_tokens=0 is missing under token_budget=100000"):
        replace(given, max_new_tokens=0).check()


def test_the_plan_of_the_tiny_model(command):
    status, text = command(train, "--dry-run")
    assert status == 0
    assert "tiny, 0.8 M parameters" in text
    assert "rounds │ 60, " in text
    assert re.search(r"responses │ [\d,]+ of up to 7 tokens", text)
    assert re.search(r"memory │ about \d+\.\d MiB a process, fits in [\d.]+ GiB of ", text)


def test_a_plan_for_a_model_and_data_that_are_not_here_fetches_nothing(tmp_path):
    """A process of its own: whether the hub is asked is decided when its client is imported."""
    environment = {**os.environ, "COLUMNS": "400", "HF_HOME": str(tmp_path), "CEROLAB_CACHE": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "llm.train", "--preset", "paper-7b", "--dry-run", "--gpu-memory", "80"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "Qwen/Qwen2.5-7B-Instruct, not here, 7,615.6 M parameters, float32" in text
    assert "8,960 prompts of dapo_math(BytedTsinghua-SIA/DAPO-Math-17k), not here" in text
    assert "responses │ 256,000 of up to 2,048 tokens" in text
    assert "memory │ about 150.9 GiB a process, does not fit in 80.0 GiB of the GPU: weights 28.4" in text
    assert "Retrying" not in done.stderr


def test_an_evaluation_says_what_the_model_cannot_read(command, model, tmp_path):
    file = tmp_path / "my.jsonl"
    file.write_text(json.dumps({"question": "What is 1 + 1?", "answer": "#### 2"}) + "\n")
    status, text = command(evaluate, "--model", model, "--task", f"gsm8k({file})")
    assert status == 1
    assert "has a prompt that the model" in text
    assert "Traceback" not in text


def test_evaluating_a_model_from_the_command_line(command, model, tmp_path):
    out = tmp_path / "scores.json"
    given = ["--model", model, "--num-train", "30", "--num-heldout", "20", "--max-new-tokens", "3"]
    status, text = command(evaluate, *given, "--samples", "4", "--out", out)
    assert status == 0, text
    assert "avg@4" in text
    assert "pass@4" in text
    assert "macro" in text
    written = json.loads(out.read_text())
    assert written["settings"]["model"] == model
    assert {score["suite"] for score in written["scores"]} >= {"all", "macro", "add22"}
    assert len([score for score in written["scores"] if score["problem"] != "all"]) == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--samples=-1"], "samples=-1 is below 0"),
        (["--temperature", "0"], "temperature=0.0 is not above 0"),
        (["--num-heldout", "0"], "num_heldout=0 leaves no question"),
        (["--model", "/no/such/folder"], "is no folder"),
        (["--prompt-template", "?"], "lacks {prompt}"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_be_evaluated_is_refused(command, arguments, words):
    status, text = command(evaluate, *arguments)
    assert status == 1
    assert words in text
