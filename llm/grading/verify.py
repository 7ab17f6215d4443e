"""Verifiers: (text of the response, question) -> reward, 1 when right and 0 when not.

A response that cannot be read is a wrong one. An answer that cannot be read is an error of the task, which ``number``
and ``is_mathematical`` find when the task is loaded.
"""

from __future__ import annotations

import re
from fractions import Fraction

from cerolab.errors import InvalidValueError
from llm.grading.answers import canonical
from llm.grading.final_answer import final_answers, last_box, without_asides
from llm.grading.math_equivalence import is_mathematical, means
from llm.grading.numbers import number as written_number
from llm.tasks.base import Question

__all__ = ["exact", "final_number", "is_mathematical", "last_box", "last_number", "mathematical", "number"]

_MOST_DIGITS = 1000  # a longer number is no answer

# The sign counts where it cannot be a minus between two terms; "3/4" is one number.
_NUMBER = re.compile(
    r"(?:(?<![\w.)\]}])[-+])?"
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:/[0-9]+)?"
)

_MARK = re.compile(
    r"\\(?:boxed|fbox)|####|</think|<answer>|\banswer\b|^[ \t]*(?:A|Ans)[ \t]*:", re.IGNORECASE | re.MULTILINE
)
_FORMULA = re.compile(r"[\\^_*+/()=<>]|[0-9]\s*[a-zA-Z]\b|(?<![\s])-|-(?=\s)")


def exact(text: str, question: Question) -> float:
    """1 when the first line of the response is the answer, spaces around it aside."""
    lines = text.strip().splitlines()
    return float(bool(lines) and lines[0].strip() == question.answer.strip())


def final_number(text: str, question: Question) -> float:
    """1 when the number that a response gives equals the answer: "The answer is 1,200." is right for 1200.

    It stands in the last box; without one after "####" or "answer is", and else it is the last number.

    Raises:
        InvalidValueError: the answer is no number.
    """
    answer = number(question.answer)
    if answer is None:
        raise InvalidValueError("answer", question.answer, f"of question {question.id} is no number", "drop it")
    if _MARK.search(text):
        for given in final_answers(text):
            value = _given_number(given)
            if value is not None or "boxed" in text:
                return float(value == answer)
    last = last_number(without_asides(text))
    return float(last is not None and number(last) == answer)


def _given_number(given: str) -> Fraction | None:
    """The one number of what a response gives as its answer; None where it is a formula, or says several."""
    found = canonical(given)
    value = written_number(found.rpartition("=")[2] if "=" in found else found)
    if value is None and not _FORMULA.search(re.sub(r"\\text\{([^{}]*)\}", r"\1", found)):
        said = _NUMBER.findall(_plain(given))
        value = number(said[0]) if len(said) == 1 else None
    return value


def mathematical(text: str, question: Question) -> float:
    """1 when the answer that a response gives means the same as the answer.

    Raises:
        InvalidValueError: the answer is not mathematical.
    """
    return float(means(text, question.answer))


def last_number(text: str) -> str | None:
    """The last number as it is written, e.g. "-1,200.5" or "3/4"; None when there is none."""
    found = _NUMBER.findall(_plain(text))
    return found[-1] if found else None


def number(text: str) -> Fraction | None:
    """The value of a text that is one number and nothing else; None for any other."""
    text = _plain(text).strip()
    if len(text) > _MOST_DIGITS or not _NUMBER.fullmatch(text):
        return None
    above, _, below = text.replace(",", "").partition("/")
    return None if below and not int(below) else Fraction(above) / int(below or 1)


def _plain(text: str) -> str:
    """With a plain minus, and without the braces that LaTeX puts around a thousands comma."""
    return text.replace("\N{MINUS SIGN}", "-").replace("{,}", ",")
