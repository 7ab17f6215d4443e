"""Questions that are evaluated and trained on too: said before the training starts, refused where all of them are."""

import json

import pytest

from cerolab.errors import InvalidValueError
from llm import train
from llm.evaluation.contamination import contamination
from llm.study import StudySettings, _missing
from llm.tasks import load_evaluation, load_task
from llm.training.session import prepare
from tests.llm.small import learned_model
from tests.llm.test_command_line import command
from tests.llm.test_session import HELDOUT, POOL, settings

__all__ = ["command"]
pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return learned_model(tmp_path_factory.mktemp("model"), POOL, HELDOUT)


@pytest.fixture
def file(tmp_path):
    def write(name, numbers, space=" "):
        rows = [{"question": f"What is{space}{number} + 1?", "answer": f"#### {number + 1}"} for number in numbers]
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return f"gsm8k({tmp_path / name})"

    return write


def told(task, evaluation):
    return contamination(load_task(task, 0, 0), load_evaluation(evaluation))


def test_they_are_counted_with_white_space_aside(file):
    pool = file("train.jsonl", range(30))
    assert told(pool, file("other.jsonl", range(30, 40))) == ""
    said = told(pool, file("some.jsonl", range(25, 35), space="  "))
    assert said.startswith("5 of the 10 held-out questions of gsm8k(")
    assert "give another eval_task" in said


def test_all_of_them_are_refused(file):
    with pytest.raises(InvalidValueError, match=r"eval_task=.*has 5 questions, all of them among those that .* trains"):
        told(file("train.jsonl", range(30)), file("within.jsonl", range(5)))


def test_what_a_task_holds_out_itself_is_not_trained_on(file, tmp_path):
    task = load_task(f"{file('train.jsonl', range(30))[:-1]}, {file('test.jsonl', range(25, 35))[6:]}", 0)
    assert len(task.train) == 25
    assert contamination(task, task) == ""


def test_a_dry_run_and_a_training_say_so_before_they_start(command, model, tmp_path, capsys):
    small = ["--model", model, "--num-prompts", "400", "--num-heldout", "200", "--eval-task", "arithmetic(hard)"]
    status, text = command(train, *small, "--out", tmp_path, "--dry-run")
    assert status in (0, None)
    assert "held-out questions of arithmetic(hard) are among" in " ".join(text.replace("│", " ").split())
    session = prepare(settings(model, tmp_path, num_prompts=400, num_heldout=200, eval_task="arithmetic(hard)"))
    assert "held-out questions of arithmetic(hard) are among those that arithmetic(broad) trains on" in (
        session.contamination
    )


def test_a_study_says_so_once_a_task(model, tmp_path, capsys):
    given = {"num-prompts": 400, "num-heldout": 200, "eval-task": "arithmetic(hard)", "model": str(model)}
    asked = StudySettings(out=tmp_path, tasks=("arithmetic(broad)",), methods=("uniform", "cero"), settings=given)
    _missing(asked.chains())
    assert capsys.readouterr().out.count("warning: ") == 1
