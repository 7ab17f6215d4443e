"""The fit of a replica: made once, from the uniform runs, and kept in the experiment's folder as ``fit.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cerolab.errors import RecordError
from cerolab.records.files import read_json, write_json
from sim.replica.dynamics import SEEDS, fit_learning
from sim.replica.population import fit_population
from sim.replica.recorded import Recorded

FIT_FILE = "fit.json"


def make_fit(recorded: Recorded, window: int | None, quiet: bool) -> dict[str, Any]:
    """Population and learning of a training, JSON-ready.

    Args:
        recorded: of which only the uniform runs are looked at.
        window: first rounds in which the policy counts as that of the start; None: a fiftieth of the horizon.
        quiet: no progress bar.

    Returns:
        training (name of the experiment), uniform_runs (those that it was fitted to), population, learning, seeds of
        the simulations, and start: mean success rate and pass@n of the fitted population beside the recorded held-out
        ones, which the fit has not seen.
    """
    population = fit_population(recorded.groups, window or max(1, recorded.problem.num_rounds // 50))
    learning = fit_learning(recorded, population.mixture.text, quiet)
    first = recorded.evals[recorded.evals["round"] == learning.evaluations[0]]
    passed = float(first["pass_at_n"].mean())
    return {
        "training": recorded.experiment,
        "uniform_runs": list(recorded.uniform),
        "population": population.to_dict(),
        "start": {
            "accuracy": {"population": population.mixture.mean(), "heldout": float(first["avg_at_n"].mean())},
            f"pass@{recorded.pass_samples}": {
                "population": population.mixture.pass_at(recorded.pass_samples),
                "heldout": passed if np.isfinite(passed) else None,
            },
        },
        "learning": learning.to_dict(),
        "seeds": list(SEEDS),
    }


def kept_fit(directory: Path, recorded: Recorded) -> dict[str, Any] | None:
    """The fit in an experiment's folder, None where there is none yet.

    Raises:
        RecordError: it is of another training.
    """
    file = directory / FIT_FILE
    if not file.exists():
        return None
    fit = read_json(file)
    try:
        training, _ = fit["training"], (fit["population"]["text"], fit["learning"]["text"])
    except (KeyError, TypeError):
        raise RecordError(f"{file}: population or learning is missing; fit anew with --refit") from None
    if training != recorded.experiment:
        raise RecordError(f"{file} is of the training {training!r}, not {recorded.experiment!r}; choose another --name")
    return fit


def keep_fit(directory: Path, fit: dict[str, Any]) -> None:
    """Write the fit into an experiment's folder, over the one that is there."""
    write_json(directory / FIT_FILE, fit)
