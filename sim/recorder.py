"""Turns the rounds of a simulated run into the tables of the run record."""

from __future__ import annotations

import numpy as np

from cerolab.records import RunWriter
from cerolab.records.rounds import RoundView, append_round
from sim.dynamics import Path


class Recorder:
    """Appends to the rounds, groups and evals tables; pass it to ``simulate`` as ``on_round``.

    Held-out accuracy, where there is any, is evaluated before the first round and 50 times over the horizon.
    """

    def __init__(self, writer: RunWriter, path: Path):
        self._writer = writer
        self._path = path
        self._every = max(1, int(writer.settings.problem["num_rounds"]) // 50)
        self._evaluate(0, 0)

    def _evaluate(self, rounds: int, responses: int) -> None:
        accuracy = self._path.heldout_accuracy()
        if "evals" in self._writer.settings.detail and not np.isnan(accuracy):
            self._writer.append(
                "evals",
                {
                    "round": rounds,
                    "responses_spent": responses,
                    "suite": "heldout",
                    "problem": "all",
                    "samples": 0,
                    "avg_at_n": accuracy,
                    "pass_at_n": float("nan"),
                },
            )

    def __call__(self, view: RoundView) -> None:
        """Record one round."""
        if (view.index + 1) % self._every == 0:
            spent = sum(wave.allocation.num_units for wave in view.waves) * view.ledger.problem.responses_per_unit
            self._evaluate(view.index, view.ledger.responses - spent)
        append_round(self._writer, view)
