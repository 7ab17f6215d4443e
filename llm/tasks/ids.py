"""Names and draws of questions that depend on their content only, never on the order of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from cerolab.seeding import seed_from_names
from llm.tasks.base import Question


def question_id(suite: str, prompt: str) -> str:
    """``suite-0123456789abcdef``, the same for the same suite and prompt everywhere."""
    digest = hashlib.sha256(f"{suite}\x1f{prompt}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{suite}-{digest[:16]}"


def shuffled(questions: Iterable[Question], *names: object) -> list[Question]:
    """The questions in an order that depends on their ids and on ``names`` only.

    The first n of them are a random draw of n. A longer draw begins with a shorter one.
    """
    return sorted(questions, key=lambda question: (seed_from_names(*names, question.id), question.id))
