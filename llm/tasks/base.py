"""What a task is: a pool of questions to train on, others held out, and a verifier."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cerolab.errors import InvalidValueError

NUM_HELDOUT = 1000  # where nothing is said


@dataclass(frozen=True, slots=True)
class Question:
    """One problem.

    Attributes:
        id: stable name, made from the content: the same question has the same id in every run and on every machine.
        prompt: text that a completion model goes on with; for a chat model, the user's turn.
        answer: what the verifier compares with.
        suite: kind of question; held-out accuracy is averaged within a suite, then over suites.
    """

    id: str
    prompt: str
    answer: str
    suite: str


Verifier = Callable[[str, Question], float]  # (text of the response, question) -> reward in [0, 1]


@dataclass(frozen=True)
class Task:
    """A pool with its held-out questions.

    Attributes:
        name: canonical text, e.g. "arithmetic(broad)"; together with the sizes and the seed it fixes the questions.
        train: the pool; prompt i of the allocator is ``train[i]``. Empty where there is only an evaluation.
        heldout: questions for evaluation; none of them is in the pool.
        verify: grades a response.
        max_new_tokens: sensible limit on a response's length.
        one_text: whether a response succeeds only as the very text of the answer; then success rates can be computed.
        dropped: rows that were left out, by reason.

    Raises:
        InvalidValueError: an id named twice, or a held-out question that is also trained on.
    """

    name: str
    train: tuple[Question, ...]
    heldout: tuple[Question, ...]
    verify: Verifier
    max_new_tokens: int
    one_text: bool = False
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for question in (*self.train, *self.heldout):
            if question.id in seen:
                raise InvalidValueError("task", self.name, f"has question {question.id!r} twice", "name each once")
            seen.add(question.id)
