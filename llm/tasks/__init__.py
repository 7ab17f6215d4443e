"""Tasks by name: ``load_task("arithmetic(broad)", num_train=8000, num_heldout=1000, seed=0)``."""

from __future__ import annotations

import importlib
import os

from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.tools.spec import Call, parse_call
from llm.paths import is_file, is_folder
from llm.tasks.base import NUM_HELDOUT, Question, Task, Verifier
from llm.tasks.sizes import Sizes

__all__ = [
    "NUM_HELDOUT",
    "Question",
    "Task",
    "Verifier",
    "check_task",
    "has_an_end",
    "has_one_text",
    "has_own_heldout",
    "load_evaluation",
    "load_task",
    "task_names",
]

# Each module has ``load(call, sizes) -> Task``.
_MODULES = {
    "arithmetic": "llm.tasks.arithmetic",
    "reasoning_gym": "llm.tasks.reasoning",
    "gsm8k": "llm.tasks.files",
    "math": "llm.tasks.files",
    "dapo_math": "llm.tasks.files",
    "aime": "llm.tasks.files",
}
_FROM_FILES = tuple(name for name, module in _MODULES.items() if module == "llm.tasks.files")
_DATA = (".csv", ".json", ".jsonl", ".parquet")


def task_names() -> tuple[str, ...]:
    """Names of all tasks."""
    return tuple(sorted(_MODULES))


def load_task(text: str, num_train: int, num_heldout: int | None = None, seed: int = 0) -> Task:
    """The task behind ``name(argument, ...)``, to train on.

    Args:
        text: e.g. "arithmetic(hard)", "reasoning_gym(gcd, chain_sum)", "gsm8k(data/train.jsonl)".
        num_train: size of the pool, M; 0 takes all questions that there are.
        num_heldout: held-out questions; None takes a held-out file whole, and else ``NUM_HELDOUT`` or a fifth.
        seed: of the draw of questions; nothing else depends on it.

    Raises:
        UnknownNameError: no such task; lists the known ones.
        InvalidValueError: arguments or sizes that the task cannot serve.
    """
    task = _load(text, Sizes(num_train, num_heldout, seed))
    if not task.train:
        raise InvalidValueError("task", text, "has no question to train on", f"dropped: {dict(task.dropped) or 'none'}")
    return task


def load_evaluation(text: str, num_heldout: int | None = None, seed: int = 0, num_train: int = 0) -> Task:
    """The task whose held-out questions are asked; it needs no question to train on.

    Args:
        text: as in ``load_task``.
        num_heldout: held-out questions; None takes all of a file, and ``NUM_HELDOUT`` of generated ones.
        seed: of the draw of questions.
        num_train: size of the pool that generated questions are kept apart from.

    Raises:
        UnknownNameError: no such task; lists the known ones.
        InvalidValueError: arguments or sizes that the task cannot serve; no question.
    """
    task = _load(text, Sizes(num_train, num_heldout, seed, evaluation=True))
    if not task.heldout:
        raise InvalidValueError("num_heldout", num_heldout, f"leaves no question of {text}", "leave it out for all")
    return task


def _load(text: str, sizes: Sizes) -> Task:
    call = _call(text, "task")
    task: Task = importlib.import_module(_MODULES[call.name]).load(call, sizes)
    return task


def check_task(text: str, field: str, model: str) -> None:
    """Refuse what can be no task, and a task that the tiny model cannot read, before anything is read.

    Args:
        text: of the task.
        field: the setting that it stands in.
        model: name of the model that is to be asked.

    Raises:
        UnknownNameError, InvalidValueError: as ``load_task``.
    """
    call = _call(text, field)
    if model == "tiny" and call.name != "arithmetic":
        problem = "is not for the model tiny, which reads arithmetic only"
        raise InvalidValueError(field, text, problem, "give --model smollm2, or another chat model")
    importlib.import_module(_MODULES[call.name]).check(call)


def has_an_end(text: str) -> bool:
    """Whether a task has a fixed number of questions, all of which can be taken."""
    return _call(text, "task").name in _FROM_FILES


def has_one_text(text: str) -> bool:
    """Whether a response succeeds only as one text, so that success rates can be computed."""
    return _call(text, "task").name == "arithmetic"


def has_own_heldout(text: str) -> bool:
    """Whether the held-out questions are a file of their own."""
    call = _call(text, "task")
    return call.name in _FROM_FILES and len([one for one in call.arguments if one != "strict"]) == 2


def _call(text: str, field: str) -> Call:
    """The parts of a task's text.

    Raises:
        UnknownNameError, InvalidValueError: no task; of a file alone, with the forms that it could be meant in.
    """
    try:
        call = parse_call(field, text)
    except InvalidValueError:
        call = Call("", ())
    if call.name in _MODULES:
        return call
    if is_folder(text) or is_file(text) or text.lower().endswith(_DATA) or (not call.name and os.sep in text):
        forms = ", ".join(f"{name}({text})" for name in _fitting(text))
        raise InvalidValueError(field, text, "says where the data is, not of what form", f"write {forms}")
    if not call.name:
        raise InvalidValueError(field, text, "is not of the form name(argument, ...)", "write arithmetic(broad), say")
    raise UnknownNameError(field.replace("_", " "), call.name, task_names())


def _fitting(source: str) -> tuple[str, ...]:
    """Forms that a file's first row fits; all where that cannot be told."""
    if not (is_file(source) or is_folder(source)):
        return _FROM_FILES
    from llm.tasks.formats import FORMATS
    from llm.tasks.rows import read_rows

    try:
        columns = set(next(iter(read_rows(source))).values or ())
    except (InvalidValueError, StopIteration):
        return _FROM_FILES
    return tuple(name for name, form in FORMATS.items() if any(columns.issuperset(c) for c in form.columns)) or (
        _FROM_FILES
    )
