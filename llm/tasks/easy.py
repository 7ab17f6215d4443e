"""The mixture ``easy``: fit for a chat model of 135 million parameters, which succeeds at some of it sometimes.

The comments give the success of SmolLM2-135M-Instruct at temperature 1, and the share of questions with mixed outcomes
among 8 samples. One-digit facts are few; a large pool is mostly of what lies below .1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from llm.tasks.base import Question
from llm.tasks.ids import question_id, shuffled
from llm.tasks.reasoning_gym_source import Drawn, gym_questions


class Family(NamedTuple):
    """One kind of question.

    Attributes:
        name: of the family, and of the suite of its questions.
        weight: share of a mixture, for as long as there are distinct questions.
        draw: seed -> questions, endless or not, repeats included.
    """

    name: str
    weight: float
    draw: Callable[[int], Iterator[Drawn]]


def _gym(name: str, weight: float, dataset: str, **config: Any) -> Family:
    return Family(name, weight, partial(gym_questions, dataset, suite=name, **config))


def _arithmetic(name: str, weight: float, sign: str, pairs: Iterable[tuple[int, int]]) -> Family:
    """All "What is 3+4?" of some pairs, each once."""
    value: Callable[[int, int], int] = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[sign]
    questions = [_question(name, f"{a}{sign}{b}", value(a, b)) for a, b in pairs]
    return Family(name, weight, lambda seed: (Drawn(question) for question in shuffled(questions, "easy", seed)))


def _question(suite: str, expression: str, value: int) -> Question:
    prompt = f"What is {expression}? Reply with only the final number."
    return Question(question_id(suite, prompt), prompt, str(value), suite)


def _pairs(left: range, right: range) -> list[tuple[int, int]]:
    return [(a, b) for a in left for b in right]


_ONE, _TEENS, _TWO = range(10), range(10, 20), range(10, 100)

EASY: tuple[Family, ...] = (
    _arithmetic("add11", 2, "+", _pairs(_ONE, _ONE)),  # .23, mixed .83
    _arithmetic("mul11", 2, "*", _pairs(_ONE, _ONE)),  # .21, mixed .75
    _gym("products_1", 2, "products", max_digits=1),  # .23, mixed .75
    _gym("gcd_12", 2, "gcd", max_value=12),  # .19, mixed .69
    _gym("gcd_24", 3, "gcd", max_value=24),  # .16, mixed .62
    _gym("chain_sum_1", 2, "chain_sum", max_terms=2, max_digits=1),  # .15, mixed .69
    _gym("lcm_12", 1, "lcm", max_value=12),  # .13, mixed .50
    _arithmetic("add_teens", 1, "+", _pairs(_TEENS, _ONE)),  # .11, mixed .38
    _gym("gcd_three", 2, "gcd", min_numbers=3, max_numbers=3, max_value=12),  # .09, mixed .44
    _arithmetic("mul21", 1, "*", _pairs(_TWO, _ONE)),  # .08, mixed .29
    _arithmetic("add21", 1, "+", _pairs(_TWO, _ONE)),  # .06, mixed .25
    _arithmetic("sub11", 1, "-", [(a, b) for a, b in _pairs(_ONE, _ONE) if b <= a]),  # .03, mixed .25
    _gym("chain_sum_three", 1, "chain_sum", min_terms=3, max_terms=3, max_digits=1),  # .02, mixed .19
    _arithmetic("add22", 1, "+", _pairs(_TWO, _TWO)),  # .01, mixed .08
    _arithmetic("mul22", 0.5, "*", _pairs(_TWO, _TWO)),  # .01, mixed .03
)
