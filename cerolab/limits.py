"""Least and largest values of a state's arrays, declared beside them; what leaves them is no state of this problem.

A limit is a number, or a function of the problem that returns one, or one for each entry of the array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from cerolab.errors import StateError
from cerolab.problem import AllocationProblem

Limit = float | Callable[[AllocationProblem], npt.ArrayLike]
Limits = Mapping[str, tuple[Limit, Limit]]

_ROUNDING = 1.0 + 1e-6  # sums of floats, single precision among them


def resolved(limit: Limit, problem: AllocationProblem) -> npt.NDArray[np.float64]:
    """The limit in this problem."""
    return np.asarray(limit(problem) if callable(limit) else limit, np.float64)


def last_prompt(problem: AllocationProblem) -> int:
    """The largest id."""
    return problem.num_prompts - 1


def last_round(problem: AllocationProblem) -> int:
    """From 0."""
    return problem.num_rounds - 1


def num_rounds(problem: AllocationProblem) -> int:
    """K."""
    return problem.num_rounds


def capacity(problem: AllocationProblem) -> int:
    """C, units of a round, so groups too."""
    return problem.capacity


def round_units(problem: AllocationProblem) -> int:
    """Units of a prompt in a round."""
    return problem.max_units


def round_responses(problem: AllocationProblem) -> int:
    """Responses of a prompt in a round."""
    return problem.max_units * problem.responses_per_unit


def prompt_units(problem: AllocationProblem) -> int:
    """Units of a prompt over the horizon."""
    return min(problem.budget, problem.horizon_exposure)


def prompt_responses(problem: AllocationProblem) -> float:
    """Responses of a prompt over the horizon."""
    return _ROUNDING * prompt_units(problem) * problem.responses_per_unit


def all_responses(problem: AllocationProblem) -> float:
    """Responses of the whole pool over the horizon."""
    return _ROUNDING * problem.budget_responses


def tokens(problem: AllocationProblem) -> float:
    """The token budget."""
    return math.inf if problem.token_budget is None else problem.token_budget


def check_visited(name: str, visited_M: npt.NDArray[np.int64], round_index: int) -> None:
    """Check the round of each prompt's last visit, before ``round_index``.

    Raises:
        StateError: a visit that is still to come.
    """
    if int(visited_M.max()) >= round_index:
        raise StateError(f"{name}: the state's visited is up to {int(visited_M.max())}, in round {round_index}")
