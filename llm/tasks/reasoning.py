"""Tasks of generated questions: ``reasoning_gym(gcd, chain_sum)``, ``reasoning_gym(easy)``.

The arguments are data sets of reasoning-gym at their own default difficulty, and ``easy``, a mixture for small chat
models; without arguments, ``easy``. Each argument has the same share of the questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from cerolab.errors import InvalidValueError
from cerolab.tools.spec import Call
from llm.tasks.base import Question, Task
from llm.tasks.easy import EASY, Family
from llm.tasks.ids import shuffled
from llm.tasks.reasoning_gym_source import Drawn, GymVerifier, check_name, gym_questions
from llm.tasks.sizes import Sizes

_PATIENCE = 20  # draws for each question found so far, without a new one, after which there are no more
_LEAST_PATIENCE = 1000


def check(call: Call) -> None:
    """Refuse arguments that name no data set.

    Raises:
        UnknownNameError: no such data set.
        InvalidValueError: one given twice, or one that cannot be used.
    """
    _families(call)


def load(call: Call, sizes: Sizes) -> Task:
    """The task behind ``reasoning_gym(argument, ...)``.

    A family without enough distinct questions gives all that it has, and the others make up for it. Every family is
    held out in the share that it has of all questions.

    Args:
        call: its arguments are data sets of reasoning-gym, or ``easy``.
        sizes: of the pool and of what is held out, and the seed of the draw of all questions.

    Raises:
        UnknownNameError: no such data set.
        InvalidValueError: an argument given twice, sizes out of range, or fewer distinct questions than asked for.
    """
    num_train, num_heldout = sizes.generated(str(call))
    seed = sizes.seed
    supplies = [_Supply(family, seed) for family in _families(call)]
    drawn = _fill(supplies, num_train + num_heldout)
    if len(drawn) < num_train + num_heldout:
        counts = ", ".join(f"{supply.family.name} {len(supply.found)}" for supply in supplies)
        problem = f"has {len(drawn)} distinct questions ({counts}), not {num_train} and {num_heldout} held out"
        raise InvalidValueError("task", str(call), problem, "ask for fewer, or name more data sets")
    questions = shuffled((one.question for one in drawn), "pool", seed)
    heldout = _held_out(questions, num_heldout)
    ids = {question.id for question in heldout}
    return Task(
        name=str(call),
        train=tuple(question for question in questions if question.id not in ids),
        heldout=heldout,
        verify=GymVerifier({one.question.id: (one.dataset, one.entry) for one in drawn if one.entry is not None}),
        max_new_tokens=24 if set(call.arguments) <= {"easy"} else 256,
    )


def _families(call: Call) -> list[Family]:
    names = call.arguments or ("easy",)
    if len(set(names)) < len(names):
        raise InvalidValueError("task", str(call), "names a data set twice", "name each once")
    families = []
    for name in names:
        if name == "easy":
            whole = sum(family.weight for family in EASY)
            families += [family._replace(weight=family.weight / whole) for family in EASY]
        else:
            check_name(name)
            families.append(_default(name))
    return families


def _default(name: str) -> Family:
    return Family(name, 1.0, lambda seed: gym_questions(name, seed))


class _Supply:
    """Distinct questions of one family, drawn as they are asked for."""

    def __init__(self, family: Family, seed: int) -> None:
        self.family = family
        self.found: list[Drawn] = []
        self._source = family.draw(seed)

    def grow(self, size: int, seen: set[str]) -> bool:
        """Have ``size`` questions; whether there are as many.

        Args:
            size: of ``found`` afterwards.
            seen: prompts of all families, which grows too.
        """
        self.found += islice(self._new(seen), max(size - len(self.found), 0))
        return len(self.found) >= size

    def _new(self, seen: set[str]) -> Iterator[Drawn]:
        vain = 0
        for drawn in self._source:
            if drawn.question.prompt in seen:
                vain += 1
                if vain > max(_LEAST_PATIENCE, _PATIENCE * len(self.found)):
                    return
            else:
                vain = 0
                seen.add(drawn.question.prompt)
                yield drawn


def _fill(supplies: list[_Supply], size: int) -> list[Drawn]:
    """``size`` questions in the families' shares, or all that there are."""
    seen: set[str] = set()
    growing, exhausted = list(supplies), list[Drawn]()
    while growing:
        goals = _portions(size - len(exhausted), [supply.family.weight for supply in growing])
        short = [supply for supply, goal in zip(growing, goals, strict=True) if not supply.grow(goal, seen)]
        if not short:
            return exhausted + [one for supply, goal in zip(growing, goals, strict=True) for one in supply.found[:goal]]
        growing = [supply for supply in growing if supply not in short]
        exhausted += [one for supply in short for one in supply.found]
    return exhausted


def _held_out(questions: list[Question], size: int) -> tuple[Question, ...]:
    """The first questions of every suite, in the suites' shares of all."""
    suites: dict[str, list[Question]] = {}
    for question in questions:
        suites.setdefault(question.suite, []).append(question)
    goals = _portions(size, [float(len(members)) for members in suites.values()])
    ids = {member.id for members, goal in zip(suites.values(), goals, strict=True) for member in members[:goal]}
    return tuple(question for question in questions if question.id in ids)


def _portions(size: int, weights: list[float]) -> list[int]:
    """``size`` in whole portions by weight, the largest remainders rounded up; the first of equal ones."""
    exact = [size * weight / sum(weights) for weight in weights]
    portions = [int(share) for share in exact]
    order = sorted(range(len(weights)), key=lambda i: portions[i] - exact[i])
    for i in order[: size - sum(portions)]:
        portions[i] += 1
    return portions
