"""All rules on one allocator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cerolab.errors import InvalidValueError
from cerolab.problem import AllocationProblem
from cerolab.registry import import_plugins
from cerolab.testing.play import Scenario
from cerolab.testing.rules import RULES, BrokenRuleError, Rule

# Sizes that have found mistakes: a pool of one, ties everywhere, a budget that fills every round, N_max that does not
# divide C, tokens; the widest last, on which rules are checked that are checked once.
_PROBLEMS = (
    AllocationProblem(num_prompts=7, num_rounds=6, budget=26, capacity=5, max_units=2, responses_per_unit=3),
    AllocationProblem(num_prompts=1, num_rounds=3, budget=4, capacity=2, max_units=2, responses_per_unit=2),
    AllocationProblem(num_prompts=5, num_rounds=7, budget=22, capacity=8, max_units=2),
    AllocationProblem(num_prompts=6, num_rounds=4, budget=20, capacity=5, max_units=3, responses_per_unit=2),
    AllocationProblem(
        num_prompts=6, num_rounds=5, budget=30, capacity=8, max_units=2, responses_per_unit=2,
        token_budget=120, max_tokens=5,
    ),
    AllocationProblem(
        num_prompts=40, num_rounds=8, budget=150, capacity=24, max_units=3, responses_per_unit=2, saturation=2.0
    ),
)  # fmt: skip
_RATES = (0.5, 0.2, 0.0, 1.0, 0.7, 0.4, 0.9)


@dataclass(frozen=True)
class Result:
    """What came of one rule.

    Attributes:
        rule: the promise.
        broken: how it is broken, and in which scenario; None where it is kept.
    """

    rule: Rule
    broken: str | None


@dataclass(frozen=True)
class Report:
    """What came of all rules.

    Attributes:
        name: of the allocator.
        results: in the order of ``RULES``.
    """

    name: str
    results: tuple[Result, ...]

    @property
    def broken(self) -> tuple[Result, ...]:
        """The rules that are broken."""
        return tuple(result for result in self.results if result.broken is not None)

    def raise_if_broken(self) -> None:
        """Raise ``BrokenRuleError`` that names every broken rule."""
        if self.broken:
            lines = [f"- {result.rule.words}\n  {result.broken}" for result in self.broken]
            rules = f"{len(self.broken)} of {len(self.results)} rules"
            raise BrokenRuleError(f"{self.name} breaks {rules}:\n" + "\n".join(lines))


def check_allocator(name: str, *, problem: AllocationProblem | None = None, **options: Any) -> None:
    """Check that an allocator keeps the contract; takes some seconds.

    Args:
        name: one of ``cerolab.available()``.
        problem: sizes to check it on; by default several small ones, of which those that it refuses are left out.
        **options: of the allocator.

    Raises:
        BrokenRuleError: names every broken rule, how it is broken, and in which scenario.
        CerolabError: no such allocator or option, or options that fit no problem.
    """
    report_on(name, problem=problem, **options).raise_if_broken()


def report_on(
    name: str,
    *,
    problem: AllocationProblem | None = None,
    plugins: Sequence[str] = (),
    rules: Sequence[str] = tuple(RULES),
    after_rule: Callable[[Result], None] | None = None,
    **options: Any,
) -> Report:
    """``check_allocator`` that returns what it found.

    Args:
        name, problem, **options: see ``check_allocator``.
        plugins: modules or files to import first.
        rules: names of those to check; by default all.
        after_rule: called with every result, to show how far it is.
    """
    import_plugins(plugins)
    chosen = scenarios(name, problem, options)
    results = []
    for rule in (RULES[rule] for rule in rules):
        results.append(Result(rule, _how_broken(rule, chosen[-1:] if rule.once else chosen)))
        if after_rule is not None:
            after_rule(results[-1])
    return Report(name, tuple(results))


def scenarios(name: str, problem: AllocationProblem | None, options: dict[str, Any]) -> list[Scenario]:
    """The scenarios that the allocator can be made for.

    Raises:
        CerolabError: there is none; the last reason.
    """
    found, refusal = [], None
    for index, sizes in enumerate(_PROBLEMS if problem is None else (problem,)):
        rates = tuple(_RATES[i % len(_RATES)] for i in range(sizes.num_prompts))
        scenario = Scenario(name, sizes, rates, seed=index + 1, options=options, luck_seed=5 + index)
        try:
            scenario.make()
        except InvalidValueError as error:  # sizes or tokens that the method does not serve
            refusal = error
            continue
        found += [scenario, replace(scenario, graded=True, luck_seed=50 + index)]
    if not found and refusal is not None:
        raise refusal
    return [s for s in found if s.graded] + [s for s in found if not s.graded]


def _how_broken(rule: Rule, chosen: Sequence[Scenario]) -> str | None:
    for scenario in chosen:
        try:
            rule.check(scenario)
        except BrokenRuleError as error:
            return f"{error} ({scenario})"
        except Exception as error:
            return f"{type(error).__name__}: {error} ({scenario})"
    return None
