"""Sums, products and strings for the character-level model: short prompts with a wide spread of difficulty."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cerolab import seeding
from cerolab.errors import InvalidValueError, UnknownNameError
from cerolab.tools.spec import Call
from llm.grading.verify import exact
from llm.tasks.base import Question, Task
from llm.tasks.sizes import Sizes

DIGITS = "0123456789"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ALPHABET = DIGITS + LETTERS + "+-*=:"
MAX_NEW_TOKENS = 7
_PATIENCE, _LEAST_PATIENCE = 50, 1000  # draws without a new question, for each found so far, that end the search

Rng = np.random.Generator
Maker = Callable[[Rng], tuple[str, str]]  # -> (prompt, answer)


def _number(rng: Rng, digits: int) -> int:
    low = 10 ** (digits - 1)
    return int(rng.integers(low, 10 * low))


def _word(rng: Rng, least: int, most: int) -> str:
    return "".join(rng.choice(list(LETTERS), int(rng.integers(least, most + 1))))


def _written(number: int) -> str:
    """A number from its lowest digit up: a small model adds as carries flow."""
    return str(number)[::-1]


def _binary(sign: str, left: int, right: int) -> Maker:
    operations: dict[str, Callable[[int, int], int]] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
    }

    def make(rng: Rng) -> tuple[str, str]:
        a, b = _number(rng, left), _number(rng, right)
        if sign == "-":
            a, b = max(a, b), min(a, b)
        elif rng.random() < 0.5:
            a, b = b, a
        return f"{_written(a)}{sign}{_written(b)}=", _written(operations[sign](a, b))

    return make


def _reverse(rng: Rng) -> tuple[str, str]:
    word = _word(rng, 3, 6)
    return f"r:{word}=", word[::-1]


def _sort(rng: Rng) -> tuple[str, str]:
    word = _word(rng, 3, 6)
    return f"s:{word}=", "".join(sorted(word))


KINDS: Mapping[str, Maker] = {
    **{f"add{a}{b}": _binary("+", a, b) for a, b in ((2, 2), (3, 3), (4, 4))},
    **{f"sub{a}{b}": _binary("-", a, b) for a, b in ((2, 2), (3, 3))},
    **{f"mul{a}{b}": _binary("*", a, b) for a, b in ((2, 1), (2, 2), (3, 2))},
    "rev": _reverse,
    "sort": _sort,
}

# Share of each kind in a pool, and in the warm start of the tiny model.
WARM_START: Mapping[str, float] = {
    "add22": 1, "add33": 1.5, "add44": 1.5, "sub22": 1, "sub33": 1, "mul21": 1, "mul22": 1, "rev": 1, "sort": 1,
}  # fmt: skip
POOLS: Mapping[str, Mapping[str, float]] = {
    "broad": {
        "add22": 1, "add33": 1, "add44": 1, "sub22": 1, "sub33": 1, "mul21": 1, "mul22": 1, "rev": 1, "sort": 1,
    },
    "hard": {
        "add22": 0.5, "add33": 3, "add44": 5, "sub22": 0.3, "sub33": 2, "mul21": 1, "mul22": 5, "mul32": 6,
        "rev": 0.7, "sort": 0.7,
    },
}  # fmt: skip


def draw(kind: str, rng: Rng) -> Question:
    """One question of a kind."""
    prompt, answer = KINDS[kind](rng)
    return Question(id=prompt, prompt=prompt, answer=answer, suite=kind)


def check(call: Call) -> None:
    """Refuse arguments that name no pool.

    Raises:
        UnknownNameError: no such pool; lists the known ones.
        InvalidValueError: more than one.
    """
    if len(call.arguments) > 1:
        raise InvalidValueError("task", str(call), "names more than one pool", f"choose one of {', '.join(POOLS)}")
    if call.arguments and call.arguments[0] not in POOLS:
        raise UnknownNameError("pool of arithmetic", call.arguments[0], POOLS)


def load(call: Call, sizes: Sizes) -> Task:
    """The task ``arithmetic(broad)`` or ``arithmetic(hard)``; the text of a prompt is its id.

    Raises:
        UnknownNameError: no such pool; lists the known ones.
        InvalidValueError: more questions asked for than a kind has.
    """
    check(call)
    pool = call.arguments[0] if call.arguments else "broad"
    num_train, num_heldout = sizes.generated(str(call))
    seed = sizes.seed
    shares = POOLS[pool]
    rng = seeding.generator("arithmetic", pool, num_train, num_heldout, seed)
    questions: list[Question] = []
    for kind, count in _split(num_train + num_heldout, shares).items():
        questions += _distinct(kind, count, rng)
    order = rng.permutation(len(questions))
    mixed = [questions[i] for i in order]
    return Task(
        name=f"arithmetic({pool})",
        train=tuple(mixed[:num_train]),
        heldout=tuple(mixed[num_train:]),
        verify=exact,
        max_new_tokens=MAX_NEW_TOKENS,
        one_text=True,
    )


def _split(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole counts that sum to ``total``, in proportion to the shares."""
    edges = np.floor(total * np.cumsum([0.0, *shares.values()]) / sum(shares.values()) + 0.5).astype(int)
    return dict(zip(shares, np.diff(edges).tolist(), strict=True))


def _distinct(kind: str, count: int, rng: Rng) -> list[Question]:
    found: dict[str, Question] = {}
    vain = 0
    while len(found) < count:
        question = draw(kind, rng)
        vain = vain + 1 if question.id in found else 0
        found.setdefault(question.id, question)
        if vain > _LEAST_PATIENCE + _PATIENCE * len(found):
            raise InvalidValueError(
                "num_prompts", count, f"questions of kind {kind!r} are more than it has ({len(found)})", "ask for fewer"
            )
    return list(found.values())
