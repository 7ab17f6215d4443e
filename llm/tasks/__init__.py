"""Tasks by name: ``load_task("arithmetic(broad)", num_train=8000, num_heldout=1000, seed=0)``."""

from __future__ import annotations

import importlib

from cerolab.errors import UnknownNameError
from cerolab.spec import parse_call
from llm.tasks.base import Question, Task, Verifier

__all__ = ["Question", "Task", "Verifier", "load_task", "task_names"]

# Each module has ``load(call, num_train, num_heldout, seed) -> Task``.
_MODULES = {
    "arithmetic": "llm.tasks.arithmetic",
    "reasoning_gym": "llm.tasks.reasoning",
    "gsm8k": "llm.tasks.files",
    "math": "llm.tasks.files",
    "dapo_math": "llm.tasks.files",
    "aime": "llm.tasks.files",
}


def task_names() -> tuple[str, ...]:
    """Names of all tasks."""
    return tuple(sorted(_MODULES))


def load_task(text: str, num_train: int, num_heldout: int, seed: int = 0) -> Task:
    """The task behind ``name(argument, ...)``.

    Args:
        text: e.g. "arithmetic(hard)", "reasoning_gym(gcd, chain_sum)", "gsm8k(data/train.jsonl)".
        num_train: size of the pool, M.
        num_heldout: held-out questions.
        seed: of the draw of questions; nothing else depends on it.

    Raises:
        UnknownNameError: no such task; lists the known ones.
        InvalidValueError: arguments or sizes that the task cannot serve.
    """
    call = parse_call("task", text)
    if call.name not in _MODULES:
        raise UnknownNameError("task", call.name, task_names())
    return importlib.import_module(_MODULES[call.name]).load(call, num_train, num_heldout, seed)
