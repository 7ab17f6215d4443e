"""Tasks from files and the hub: ``gsm8k(train.jsonl, test.jsonl)``, ``math(FOLDER)``, ``dapo_math(owner/name)``.

The first argument is the data to train on, the second the data held out; without a second, the held-out questions are
split off the first by their ids, the same ones for every seed. The word ``strict`` refuses bad rows, which are else
named in the log, left out and counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from cerolab.errors import InvalidValueError
from cerolab.tools.spec import Call
from llm.tasks.base import NUM_HELDOUT, Question, Task
from llm.tasks.formats import FORMATS, BadRowError, Format
from llm.tasks.ids import shuffled
from llm.tasks.rows import Row, read_rows
from llm.tasks.sizes import Sizes

_NAMED = 3  # bad rows that the log names for each reason
_REPEATED = "duplicate question"
_CONTRADICTED = "duplicate question with another answer"
_HELD_OUT = "question is held out"

_logger = logging.getLogger(__name__)


def check(call: Call) -> None:
    """Refuse arguments that name no data.

    Raises:
        InvalidValueError: none, or more than two.
    """
    _sources(call)


def _sources(call: Call) -> tuple[str, ...]:
    sources = tuple(argument for argument in call.arguments if argument != "strict")
    if not 1 <= len(sources) <= 2:
        remedy = (
            f"write {call.name}(train.jsonl), {call.name}(train.jsonl, test.jsonl) or {call.name}(train.jsonl, strict)"
        )
        raise InvalidValueError("task", str(call), f"names {len(sources)} sources of data", remedy)
    return sources


def load(call: Call, sizes: Sizes) -> Task:
    """The task behind ``format(train, heldout, strict)``, the last two optional.

    Args:
        call: its name is the format.
        sizes: of the pool, and how many questions are held out, of a set of its own all by default; the seed is that
            of the draw of the pool, where it is not all. For an evaluation the last source is the set.

    Raises:
        InvalidValueError: no such data, data of another format, more questions asked for than there are; with
            ``strict``, the first bad row.
    """
    sources = _sources(call)
    sizes.check()
    reader = _Reader(FORMATS[call.name], call.name, strict="strict" in call.arguments)
    if sizes.evaluation:
        pool, heldout = {}, shuffled(reader.read(sources[-1]).values(), "held out")
        num_heldout = len(heldout) if sizes.heldout is None else sizes.heldout
    elif len(sources) == 2:
        held_out_file = reader.read(sources[1])
        pool = reader.read(sources[0], apart_from=held_out_file)
        heldout = shuffled(held_out_file.values(), "held out")
        num_heldout = len(heldout) if sizes.heldout is None else sizes.heldout
    else:
        heldout = shuffled(reader.read(sources[0]).values(), "held out")
        num_heldout = min(NUM_HELDOUT, len(heldout) // 5) if sizes.heldout is None else sizes.heldout
        pool = {question.prompt: question for question in heldout[num_heldout:]}
    reader.log_rest()
    if num_heldout > len(heldout):
        raise _too_many("num_heldout", num_heldout, len(heldout), call, "ask for fewer, or leave it out")
    if not pool and not sizes.evaluation:
        problem = f"has no question to train on, with {min(num_heldout, len(heldout))} held out"
        remedy = f"left out: {dict(reader.dropped) or 'none'}; a set of its own goes second, or into eval_task"
        raise InvalidValueError("task", str(call), problem, remedy)
    if sizes.train > len(pool) and not sizes.evaluation:
        raise _too_many("num_prompts", sizes.train, len(pool), call, "ask for fewer; --num-prompts 0 takes all")
    return Task(
        name=str(call),
        train=tuple(shuffled(pool.values(), "pool", sizes.seed)[: sizes.train or len(pool)]),
        heldout=tuple(heldout[:num_heldout]),
        verify=reader.form.verify,
        max_new_tokens=reader.form.max_new_tokens,
        dropped=dict(reader.dropped),
    )


def _too_many(name: str, asked: int, there: int, call: Call, remedy: str) -> InvalidValueError:
    return InvalidValueError(name, asked, f"is more than the {there} questions that {call} has for it", remedy)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


@dataclass
class _Reader:
    """Reads rows into questions and counts what it leaves out."""

    form: Format
    name: str
    strict: bool
    dropped: Counter[str] = field(default_factory=Counter)

    def read(self, source: str, apart_from: dict[str, Question] | None = None) -> dict[str, Question]:
        """Questions by prompt, in the order of their rows; of several with the same prompt, the first."""
        found: dict[str, Question] = {}
        columns: dict[str, set[str]] = {}
        for row in read_rows(source):
            columns.setdefault(row.file, set()).update(row.values or ())
            try:
                if row.values is None:
                    raise BadRowError("not a JSON object")
                question = self.form.read(row.values)
                if question.prompt in (apart_from or ()):
                    raise BadRowError(_HELD_OUT)
                first = found.setdefault(question.prompt, question)
                if first is not question:
                    raise BadRowError(_REPEATED if first.answer == question.answer else _CONTRADICTED)
            except BadRowError as error:
                self._drop(row, str(error))
        if not columns:
            raise InvalidValueError("file", source, "has no rows", "give a file with rows")
        for file, names in columns.items():
            self._check_columns(file, names)
        return found

    def _check_columns(self, file: str, names: set[str]) -> None:
        if not any(names.issuperset(wanted) for wanted in self.form.columns):
            raise InvalidValueError("file", file, f"has the columns {_listed(names)}", self._wanted())

    def _wanted(self) -> str:
        return f"{self.name} wants {' or '.join(' and '.join(wanted) for wanted in self.form.columns)}"

    def _drop(self, row: Row, reason: str) -> None:
        if self.strict and not self._is_harmless(reason):
            problem = f"has a bad row {row.number}: {reason} (columns: {_listed(row.values or ())})"
            raise InvalidValueError("file", row.file, problem, f"mend it, or do without strict; {self._wanted()}")
        self.dropped[reason] += 1
        if self.dropped[reason] <= _NAMED and not self._is_harmless(reason):
            _logger.warning("%s row %d left out: %s", row.file, row.number, reason)

    def log_rest(self) -> None:
        """Say how many rows went whose names were not logged."""
        for reason, count in self.dropped.items():
            if count > _NAMED:
                level = logging.INFO if self._is_harmless(reason) else logging.WARNING
                _logger.log(level, "%s: %d rows left out in all: %s", self.name, count, reason)

    def _is_harmless(self, reason: str) -> bool:
        return self.form.repeats and reason == _REPEATED
