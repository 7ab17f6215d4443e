"""Questions too long for the model: left out with a count, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cerolab.errors import InvalidValueError
from llm.tasks.base import Question, Task


def drop_long(task: Task, tokenizer_length: Callable[[str], int], most: int, strict: bool) -> Task:
    """The task without the questions whose prompt has more than ``most`` tokens.

    Args:
        task: left as it is.
        tokenizer_length: tokens of a prompt, the chat template's included.
        most: the longest prompt that stays, in tokens.
        strict: refuse instead.

    Returns:
        the same task when nothing is too long; else a smaller one that counts in ``dropped`` what went.

    Raises:
        InvalidValueError: ``most`` below 1; with ``strict``, the first question that is too long; no question is left
            to train on, or none of those that were held out.
    """
    if most < 1:
        raise InvalidValueError("most", most, "leaves no prompt", "give a number of tokens of at least 1")

    def fits(question: Question) -> bool:
        length = tokenizer_length(question.prompt)
        if strict and length > most:
            problem = f"has a prompt of {length} tokens"
            raise InvalidValueError("question", question.id, problem, f"allow more than {most}, or do without strict")
        return length <= most

    train, heldout = tuple(filter(fits, task.train)), tuple(filter(fits, task.heldout))
    num_dropped = len(task.train) + len(task.heldout) - len(train) - len(heldout)
    if not num_dropped:
        return task
    for part, left in (("train on", train), ("evaluate", heldout)):
        if not left and (task.train if part == "train on" else task.heldout):
            raise InvalidValueError("max_prompt_tokens", most, f"leaves no question to {part}", "allow more")
    dropped = {**task.dropped, f"prompt longer than {most} tokens": num_dropped}
    return replace(task, train=train, heldout=heldout, dropped=dropped)
