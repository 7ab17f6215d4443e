"""Turns the rounds of a simulated run into the tables of the run record."""

from __future__ import annotations

import numpy as np

from cerolab.records import RunWriter
from cerolab.records.rounds import RoundView, append_round
from sim.worlds.success_path import Path

_EXACT_PASS = 16  # responses of pass@n where success rates are known exactly, see the record's schema


class Recorder:
    """Appends to the rounds, groups and evals tables; pass it to ``simulate`` as ``on_round``.

    Held-out accuracy, where there is any, is evaluated before every round whose number is a multiple of K / 50; call
    ``evaluate`` once more after the last.
    """

    def __init__(self, writer: RunWriter, path: Path):
        self._writer = writer
        self._path = path
        self._every = max(1, int(writer.settings.problem["num_rounds"]) // 50)
        self.evaluate(0, 0)

    def evaluate(self, rounds: int, responses: int) -> None:
        """Record the held-out accuracy, exact, after so many rounds and responses."""
        success = self._path.heldout_success
        if "evals" in self._writer.settings.detail and success.size:
            self._writer.append(
                "evals",
                {
                    "round": rounds,
                    "responses_spent": responses,
                    "suite": "heldout",
                    "problem": "all",
                    "samples": 0,
                    "avg_at_n": float(success.mean()),
                    "pass_at_n": float(np.mean(1.0 - (1.0 - success) ** _EXACT_PASS)),
                },
            )

    def __call__(self, view: RoundView) -> None:
        """Record one round."""
        if view.index and view.index % self._every == 0:  # the policy moves only after this
            spent = sum(wave.allocation.num_units for wave in view.waves) * view.ledger.problem.responses_per_unit
            self.evaluate(view.index, view.ledger.responses - spent)
        append_round(self._writer, view)
