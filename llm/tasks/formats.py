r"""What a row means in each format: question, answer and kind.

| format | question | answer |
|---|---|---|
| gsm8k | ``question`` | ``answer``, after "####" |
| math | ``problem`` | ``answer``, or the last ``\boxed{...}`` of ``solution``; kind: ``type`` or ``subject`` |
| dapo_math | ``prompt``, text or chat messages | ``ground_truth`` in ``reward_model`` |
| aime | ``problem`` or ``question`` | ``answer``, an integer from 0 to 999 |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llm.grading.verify import final_number, is_mathematical, last_box, mathematical, number
from llm.tasks.base import Question, Verifier
from llm.tasks.ids import question_id

NO_QUESTION = "no question"
NO_ANSWER = "no answer"
UNREADABLE_ANSWER = "answer cannot be parsed"


class BadRowError(Exception):
    """A row that makes no question; the text is the reason."""


class Format(NamedTuple):
    """A known format.

    Attributes:
        columns: alternatives; a file needs all columns of one of them.
        read: the question of a row.
        verify: grades a response.
        max_new_tokens: sensible limit on a response's length.
        repeats: whether the published set repeats its rows, so that a repeated row is nothing bad.
    """

    columns: tuple[tuple[str, ...], ...]
    read: Callable[[Mapping[str, Any]], Question]
    verify: Verifier
    max_new_tokens: int
    repeats: bool = False


def _gsm8k(row: Mapping[str, Any]) -> Question:
    _, mark, answer = _text(row, "answer", NO_ANSWER).rpartition("####")
    answer = answer.strip().replace(",", "").replace("$", "")
    if not mark or not answer:
        raise BadRowError(f"{NO_ANSWER} after ####")
    if number(answer) is None:
        raise BadRowError(UNREADABLE_ANSWER)
    return _question("gsm8k", _text(row, "question", NO_QUESTION), answer)


def _math(row: Mapping[str, Any]) -> Question:
    prompt = _text(row, "problem", NO_QUESTION)
    answer = _optional(row, "answer")
    if not answer:
        answer = last_box(_text(row, "solution", NO_ANSWER)) or ""
    if not answer:
        raise BadRowError(f"{NO_ANSWER} in a box")
    kind = _optional(row, "type") or _optional(row, "subject") or "math"
    return _question(kind, prompt, _mathematical(answer))


def _dapo_math(row: Mapping[str, Any]) -> Question:
    truth = _object(row.get("reward_model"))
    answer = _text(truth if isinstance(truth, Mapping) else {}, "ground_truth", NO_ANSWER)
    return _question("dapo_math", _turn(_object(row.get("prompt"))), _mathematical(answer))


def _aime(row: Mapping[str, Any]) -> Question:
    prompt = _optional(row, "problem") or _text(row, "question", NO_QUESTION)
    value = number(_text(row, "answer", NO_ANSWER))
    if value is None or value.denominator != 1 or not 0 <= value <= 999:
        raise BadRowError("answer is no integer from 0 to 999")
    return _question("aime", prompt, str(value))


FORMATS: Mapping[str, Format] = {
    "gsm8k": Format((("question", "answer"),), _gsm8k, final_number, 512),
    "math": Format((("problem", "solution"), ("problem", "answer")), _math, mathematical, 1024),
    "dapo_math": Format((("prompt", "reward_model"),), _dapo_math, mathematical, 2048, repeats=True),
    "aime": Format((("problem", "answer"), ("question", "answer")), _aime, mathematical, 2048),
}


def _question(suite: str, prompt: str, answer: str) -> Question:
    return Question(question_id(suite, prompt), prompt, answer, suite)


def _optional(row: Mapping[str, Any], column: str) -> str:
    """The text of a cell; empty for a missing one, and for a list or an object."""
    value = row.get(column)
    filled = isinstance(value, (str, int, float)) and value == value  # a missing number is written as NaN
    return str(value).strip() if filled else ""


def _text(row: Mapping[str, Any], column: str, reason: str) -> str:
    text = _optional(row, column)
    if not text:
        raise BadRowError(reason)
    return text


def _mathematical(answer: str) -> str:
    if not is_mathematical(answer):
        raise BadRowError(UNREADABLE_ANSWER)
    return answer


def _object(value: object) -> object:
    """A list or an object that a .csv file had to write as text."""
    if isinstance(value, str) and value.lstrip()[:2] in ("[{", '{"'):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _turn(prompt: object) -> str:
    """The user's turn; what a system message says goes before it."""
    if isinstance(prompt, str) and prompt.strip():
        return prompt.strip()
    if not isinstance(prompt, list) or not all(isinstance(message, Mapping) for message in prompt):
        raise BadRowError(NO_QUESTION)
    if [message.get("role") for message in prompt] not in (["user"], ["system", "user"]):
        raise BadRowError("prompt is not one user turn")
    turns = [_optional(message, "content") for message in prompt]
    if not turns[-1]:
        raise BadRowError(NO_QUESTION)
    return "\n\n".join(turn for turn in turns if turn)
