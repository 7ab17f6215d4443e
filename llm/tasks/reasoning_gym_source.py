"""Questions and scorers of reasoning-gym."""

from __future__ import annotations

import re
from cmath import isfinite
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.seeding import seed_from_names
from llm.grading.verify import final_number, last_number, number
from llm.tasks.base import Question
from llm.tasks.ids import question_id

# Their scorers evaluate the response as Python code, and nothing that a model writes should be run.
RUNS_RESPONSES = frozenset(
    {
        "binary_matrix",
        "countdown",
        "intermediate_integration",
        "n_queens",
        "polynomial_multiplication",
        "puzzle24",
        "simple_integration",
        "spiral_matrix",
        "string_insertion",
    }
)

# Their scorers pay one text, whatever is asked: every text is true, and "P or Q" follows from most premises.
PAYS_FOR = {"game_of_life_halting": "every response", "propositional_logic": "'P or Q' on 4 of 5 questions"}

_CHUNK = 500  # questions of one data set object; some can give no more than their size
_NEAR = 0.005  # of the answer: scorers that allow for rounding look at three digits
_AROUND = " .*`\"'$"  # what chat models put around an answer
_ANSWER = re.compile(r"\banswer\b(?:\s+is\b)?\s*:?", re.IGNORECASE)


class Drawn(NamedTuple):
    """A question; of reasoning-gym's, also the data set that scores it and its entry there."""

    question: Question
    dataset: Any = None
    entry: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class GymVerifier:
    """Grades by reasoning-gym's own scorer, and other questions by their final number."""

    entries: Mapping[str, tuple[Any, Mapping[str, Any]]]  # by id of the question: its data set, its entry there

    def __call__(self, text: str, question: Question) -> float:
        """1 for full score, 0 for less.

        Where the answer is a number, the last number of the response is scored: "The answer is 7." is right. Elsewhere
        it is the whole response, its last line, or what follows "answer is" there.
        """
        if question.id not in self.entries:
            return final_number(text, question)
        dataset, entry = self.entries[question.id]
        candidates = (one for one in _candidates(text, question.answer) if _may_be(one, question))
        return float(any(_full_score(dataset, entry, one) for one in candidates))


def gym_names() -> tuple[str, ...]:
    """Data sets that can be used."""
    from reasoning_gym.factory import DATASETS

    return tuple(sorted(set(DATASETS) - RUNS_RESPONSES - set(PAYS_FOR) - {"composite"}))


def check_name(name: str) -> None:
    """Refuse a data set that does not exist or cannot be used.

    Raises:
        UnknownNameError: no such data set.
        InvalidValueError: its scorer would run a response as code, or pays for a constant.
    """
    if name in RUNS_RESPONSES or name in PAYS_FOR:
        does = "runs the response as code" if name in RUNS_RESPONSES else f"pays for {PAYS_FOR[name]}"
        raise InvalidValueError("reasoning-gym data set", name, f"has a scorer that {does}", "choose another")
    if name not in gym_names():
        raise UnknownNameError("reasoning-gym data set", name, gym_names())


def gym_questions(name: str, seed: int, suite: str = "", **config: Any) -> Iterator[Drawn]:
    """Endless questions of one data set, repeats included.

    Args:
        name: of the data set.
        seed: of the draw.
        suite: kind of question; the data set's name by default.
        config: difficulty, in the data set's own words; its defaults by default.
    """
    import reasoning_gym

    suite = suite or name
    for chunk in count():
        chunk_seed = seed_from_names("reasoning-gym", suite, seed, chunk) % 2**31
        dataset = reasoning_gym.create_dataset(name, seed=chunk_seed, size=_CHUNK, **config)
        for index in range(_CHUNK):
            entry = dataset[index]
            if entry["answer"] == "":  # no response says that nothing is left
                continue
            prompt, answer = str(entry["question"]).strip(), str(entry["answer"] if entry["answer"] is not None else "")
            yield Drawn(Question(question_id(suite, prompt), prompt, answer, suite), dataset, entry)


def _full_score(dataset: Any, entry: Mapping[str, Any], candidate: str) -> bool:
    try:
        return bool(dataset.score_answer(answer=candidate, entry=entry) >= 1.0)
    except Exception:  # scorers trip over odd responses in many ways
        return False


def _may_be(candidate: str, question: Question) -> bool:
    """Whether a text can be the answer at all, asked before a scorer sees it.

    Scorers measure a distance: nan is near everything, and 0 is near every small probability. So what stands for no
    finite number is no answer, and where the answer is a number, one further away than its third digit is wrong. Nor
    is a line of the question an answer to it. The answer's own text always may be it.
    """
    if candidate.casefold() == question.answer.strip().casefold():
        return True
    found, answer = _value(candidate), _value(question.answer)
    if found is not None and not isfinite(found):
        return False
    if answer is None:
        return candidate not in {question.prompt, *map(str.strip, question.prompt.splitlines())}
    return found is not None and isfinite(answer) and abs(found - answer) <= _NEAR * abs(answer)


def _value(text: str) -> complex | None:
    """The number that a text is, real or complex, nan and inf too; None for any other text."""
    exact = number(text)
    plain = re.sub(r"[\s,]", "", text).strip("()").lower()
    for written in (plain, plain.replace("i", "j")):
        try:
            return complex(written if exact is None else exact)
        except OverflowError:
            return complex("inf")
        except ValueError:
            continue
    return None


def _candidates(text: str, answer: str) -> list[str]:
    """What a response may have meant as its answer."""
    if number(answer) is not None:
        last = last_number(text)
        return [] if last is None else list(dict.fromkeys((last, last.replace(",", ""))))
    whole = text.strip()
    if not whole:
        return []
    last_line = whole.splitlines()[-1].strip()
    parts = (whole, last_line, _ANSWER.split(last_line)[-1].strip())
    return list(dict.fromkeys(form for part in parts for form in (part, part.strip(_AROUND)) if form))
