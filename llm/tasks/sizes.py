"""How many questions are asked for, and what for."""

from __future__ import annotations

from typing import NamedTuple

from cerolab.errors import InvalidValueError
from llm.tasks.base import NUM_HELDOUT


class Sizes(NamedTuple):
    """Sizes of a task.

    Attributes:
        train: of the pool; 0 for all questions that there are.
        heldout: held-out questions; None for as many as ``heldout_of`` and the like say.
        seed: of the draw.
        evaluation: the held-out questions alone are wanted.
    """

    train: int
    heldout: int | None
    seed: int
    evaluation: bool = False

    def check(self) -> None:
        """Refuse negative sizes.

        Raises:
            InvalidValueError: names the setting.
        """
        for name, value in (("num_prompts", self.train), ("num_heldout", self.heldout or 0)):
            if value < 0:
                raise InvalidValueError(name, value, "is negative", "give 0 or more")

    def generated(self, name: str) -> tuple[int, int]:
        """(questions to train on, questions held out) of a task whose questions have no end.

        Raises:
            InvalidValueError: all of them are asked for.
        """
        self.check()
        if not self.train and not self.evaluation:
            raise InvalidValueError("num_prompts", 0, f"takes all questions, and {name} has no end", "give 2000, say")
        return self.train, NUM_HELDOUT if self.heldout is None else self.heldout
