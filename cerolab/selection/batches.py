"""Batches of prompts from shuffled epochs, over which a method distributes the units of a round.

Published methods of this kind count a group in responses n, between a least and a most. Here a group is units of g
responses, so n is a multiple of g: at least ceil(least / g) units and at most floor(most / g), within 1..N_max.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cerolab.checks import real_number, whole_number
from cerolab.errors import InvalidValueError
from cerolab.problem import AllocationProblem
from cerolab.selection.epochs import Epochs
from cerolab.selection.top_k import largest_increments
from cerolab.types import IntArray


@dataclass(frozen=True, slots=True)
class GroupSizes:
    """Units that a group may have.

    Attributes:
        least, most: 1 <= least <= most <= N_max.
        mean: units that a batch has on average for a prompt.
    """

    least: int
    mean: float
    most: int

    @property
    def usual(self) -> int:
        """Units of a prompt of which nothing is known: the mean, rounded down."""
        return int(self.mean)

    @classmethod
    def of(
        cls, problem: AllocationProblem, mean: float | None, least_responses: int, most_responses: int
    ) -> GroupSizes:
        """The sizes that a problem leaves room for.

        Args:
            problem: gives g and N_max.
            mean: in units; None means half-way between the least and the most, so that units can move either way.
            least_responses, most_responses: the method's own bounds.

        Raises:
            InvalidValueError: ``mean`` is not between the least and the most.
        """
        unit = problem.responses_per_unit
        least = min(-(-least_responses // unit), problem.max_units)
        most = max(least, min(most_responses // unit, problem.max_units))
        if mean is None:
            mean = (least + most) / 2.0
        if not least <= mean <= most:
            raise InvalidValueError(
                "group_units",
                mean,
                f"is outside {least}..{most}, the units that a group may have here",
                f"these are {least_responses} to {most_responses} responses, {unit} a unit, up to "
                f"max_units={problem.max_units}",
            )
        return cls(least, mean, most)


def check_group_units(options: Any) -> None:
    """Check ``group_units`` of frozen options, in place; None stands for the default.

    Raises:
        InvalidValueError: no positive number.
    """
    if options.group_units is not None:
        mean = real_number("group_units", options.group_units, 0.0, math.inf, "leave it out for the default", True)
        object.__setattr__(options, "group_units", mean)


def check_group_options(options: Any, least_allowed: int = 1) -> None:
    """Check ``group_units``, ``least_responses`` and ``most_responses`` of frozen options, in place.

    Raises:
        InvalidValueError: no number, too small, or in the wrong order.
    """
    check_group_units(options)
    least = whole_number("least_responses", options.least_responses, least=least_allowed)
    most = whole_number("most_responses", options.most_responses, least=1)
    if most < least:
        raise InvalidValueError("most_responses", most, f"is below least_responses={least}", "swap them")
    object.__setattr__(options, "least_responses", least)
    object.__setattr__(options, "most_responses", most)


class Batches:
    """The batch of each round: as many of the next prompts of an epoch as the quota gives ``sizes.mean`` units each.

    State: that of ``epochs``.

    Args:
        epochs: where the prompts come from.
        sizes: units of a group.
    """

    def __init__(self, epochs: Epochs, sizes: GroupSizes):
        self.epochs, self.sizes = epochs, sizes

    def draw(self, quota: int) -> IntArray:
        """The prompts [A] of a round of ``quota`` units, the same ones again until ``epochs.advance``.

        A is at most the quota, and groups of ``sizes.most`` use the quota unless the whole pool is in the batch.
        """
        count = max(int(quota / self.sizes.mean), -(-quota // self.sizes.most))
        return self.epochs.draw(min(count, self.epochs.num_prompts))


def spread_evenly(room_A: IntArray, count: int) -> IntArray:
    """``count`` units one after the other to every row with room, in order, round after round while there is room."""
    levels = np.arange(int(room_A.max(initial=0)))
    return largest_increments(np.where(levels < room_A[:, None], 0.0, -np.inf), count)
