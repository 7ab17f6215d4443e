"""The page on TRL: its scripts run as they stand, but for the model, the data and the sizes."""

import difflib
import re
from pathlib import Path

import pytest
from transformers import PrinterCallback

from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "use-with-trl.md").read_text()
BLOCKS = dict(re.findall(r"<!-- [^>]*: (\w+) -->\n```python\n(.*?)```", PAGE, flags=re.DOTALL))
DATASET = (
    "__import__('datasets').Dataset.from_dict({'prompt': [f'{i}+1=' for i in range(70)], "
    "'answer': [f'so it is #### {i % 10}' for i in range(70)]})"
)


def small(script, model):
    """The script with the small model, a pool of 70 prompts and three rounds."""
    for pattern, value in (
        (r"^MODEL = .*$", f"MODEL = {model!r}"),
        (r"^ROUNDS = .*$", "ROUNDS = 3"),
        (r"^dataset = .*$", f"dataset = {DATASET}"),
        (r"max_completion_length=256", "max_completion_length=6"),
        (r"save_steps=10", "save_steps=1"),
        (r"logging_steps=1,", "logging_steps=1, use_cpu=True, disable_tqdm=True, dataloader_pin_memory=False,"),
    ):
        script, count = re.subn(pattern, value, script, flags=re.MULTILINE)
        assert count == 1, pattern
    return script


def without(script, start):
    """The script up to the line that begins with ``start``."""
    head, found, _ = script.partition(f"\n{start}")
    assert found
    return f"{head}\n"


def run(script):
    scope = {"__name__": "script"}
    exec(script, scope)
    return scope


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PrinterCallback, "on_log", lambda *_, **__: None)


def test_five_lines_differ():
    stock, allocated = (BLOCKS[name].splitlines() for name in ("stock", "allocated"))
    changes = [line for line in difflib.ndiff(stock, allocated) if line[:2] in ("+ ", "- ")]
    added, removed = ([line[2:] for line in changes if line[0] == sign] for sign in "+-")
    assert len(added) == 5
    assert len(removed) == 2
    (diff,) = re.findall(r"```diff\n(.*?)```", PAGE, flags=re.DOTALL)
    assert [line[1:] for line in diff.splitlines() if line.startswith("+")] == added
    assert [line[1:] for line in diff.splitlines() if line.startswith("-")] == removed


def test_the_stock_script_runs(model):
    trainer = run(small(BLOCKS["stock"], model))["trainer"]
    assert trainer.state.global_step == 3


def test_the_allocated_script_runs_logs_what_the_page_says_and_resumes(model):
    script = small(BLOCKS["allocated"], model)
    trainer = run(script)["trainer"]
    assert isinstance(trainer, AllocatedGRPOTrainer)
    assert trainer.ledger.round_index == 3
    assert 0 < trainer.ledger.responses <= 4 * 62 * 3

    entry = next(entry for entry in trainer.state.log_history if "loss" in entry)
    rows = re.findall(r"^\| (`(?:allocator|feedback|rewards)/[^|]*)\|", PAGE, flags=re.MULTILINE)
    explained = set(re.findall(r"`([^`]*/[^`]*)`", " ".join(rows))) - {"feedback/median"}  # of another map
    assert explained == {
        name for name in entry if name.startswith(("allocator/", "feedback/")) or name.endswith(("/bad", "/ungraded"))
    }

    spent = trainer.ledger.responses
    for file in Path("out/checkpoint-3").rglob("*"):
        file.unlink()
    Path("out/checkpoint-3").rmdir()
    again = run(without(script, "trainer.train()") + BLOCKS["resume"])["trainer"]
    assert again.ledger.responses == spent
    assert again.state.global_step == 3


@pytest.mark.parametrize("block", ["lora", "rewards"])
def test_the_other_ways_to_make_the_trainer_run(model, block):
    trainer = run(without(small(BLOCKS["allocated"], model), "trainer = ") + BLOCKS[block])["trainer"]
    assert trainer.ledger.round_index == 3


def test_what_the_page_says_is_refused_is():
    from cerolab.integrations.trl import compatibility, precision
    from cerolab.integrations.trl.processes import sharding

    source = "".join(Path(module.__file__).read_text() for module in (compatibility, precision, sharding))
    (table,) = re.findall(r"\| setting \| why \|\n.*?\n(.*)", PAGE, flags=re.DOTALL)
    for name in re.findall(r"`(\w+)`", table):
        assert name in source or name == "num_prompts", name
    refused = set(re.findall(r'InvalidValueError\(\s*"(\w+)"', source))
    for name in refused - {"per_device_train_batch_size"}:  # "a batch too small"
        assert name in table, name


def test_the_modules_that_it_names_exist():
    for module in re.findall(r"`(llm\.[a-z_.]+)", PAGE):
        parts = module.rstrip(".").split(".")
        root = Path(__file__).resolve().parents[2]
        assert any((root / Path(*parts[:n])).with_suffix(".py").exists() for n in range(2, len(parts) + 1)), module
