"""How the policy learns, from the course of the uniform runs alone: least squares over whole simulated runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

import numpy as np
from scipy import optimize
from tqdm import tqdm

from cerolab.types import FloatArray
from sim.experiment.cell import Cell, Scenario
from sim.replica.curves import Curves, evaluated_rounds, recorded_curves, simulated_curves
from sim.replica.recorded import Recorded
from sim.worlds.policy_learning import Learning

SEEDS = (100, 101, 102)  # of the simulations of the fit; not those that the replica is made of
_LOW, _HIGH = Learning(1e-3, 0.0, 0.0, 0.05), Learning(1e4, 1.0, 10.0, 1.0)
_START = Learning(2.0, 0.7, 0.5, 0.6)
_SCALE = Learning(1.0, 0.3, 0.3, 0.3)
_STEP = 0.1  # of the numerical derivatives, relative: coins make the loss rough below that
_LEAST_NOISE = 1e-3  # a tenth of a percentage point


@dataclass(frozen=True)
class LearningFit:
    """How the policy learns, and how well that describes the uniform runs.

    Attributes:
        learning: the four numbers.
        standard_errors: of each; from the curvature at the best fit, with the misfit taken for noise.
        loss: sum over all points of the curves of (simulated - recorded)^2 / noise^2.
        num_points: points of all curves.
        simulated, recorded: the curves, see ``simulated_curves``.
        noise: standard error of a point of each recorded curve, from its jumps from point to point.
        misfit: root mean square of simulated - recorded of each curve, in its unit.
        evaluations: [E] rounds completed at the evaluations.
    """

    learning: Learning
    standard_errors: Mapping[str, float]
    loss: float
    num_points: int
    simulated: Curves
    recorded: Curves
    noise: Mapping[str, float]
    misfit: Mapping[str, float]
    evaluations: list[int]

    @property
    def text(self) -> str:
        """In the text form of ``sim.worlds.dynamics``, four digits a number."""
        return dynamics_text(self.learning)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        whole = {"text": self.text, **asdict(self)}
        return whole | {name: _plain(whole[name]) for name in ("simulated", "recorded")}


def dynamics_text(learning: Learning) -> str:
    """``learning(2.4, 0.8, 0.5, 0.5)``."""
    return f"learning({', '.join(f'{number:.4g}' for number in astuple(learning))})"


def fit_learning(recorded: Recorded, population: str, quiet: bool = False) -> LearningFit:
    """The learning under which simulated uniform runs take the course of the recorded ones.

    Args:
        recorded: only its uniform runs are looked at.
        population: text form of the pool at the start.
        quiet: no progress bar.
    """
    evaluations, target = evaluated_rounds(recorded), recorded_curves(recorded)
    known = {kind: curve for kind, curve in target.items() if np.isfinite(curve).all()}
    noise = {kind: max(float(np.diff(curve).std() / np.sqrt(2.0)), _LEAST_NOISE) for kind, curve in known.items()}
    bar = tqdm(desc="fit", unit="run", disable=quiet, dynamic_ncols=True)

    def curves(numbers: FloatArray) -> Curves:
        scenario = Scenario(population=population, dynamics=dynamics_text(Learning(*numbers.tolist())))
        cells = [Cell(scenario, recorded.problem, seed) for seed in SEEDS]
        bar.update(len(cells))
        return simulated_curves(cells, evaluations, recorded.pass_samples)

    def residuals(numbers: FloatArray) -> FloatArray:
        found = curves(numbers)
        return np.concatenate([(found[kind] - known[kind]) / noise[kind] for kind in known])

    with bar:
        best = optimize.least_squares(
            residuals,
            astuple(_START),
            bounds=(astuple(_LOW), astuple(_HIGH)),
            x_scale=astuple(_SCALE),
            diff_step=[_STEP] * 4,
            xtol=1e-2,
            ftol=1e-3,
            max_nfev=30,
        )
        simulated = curves(best.x)
    num_points = best.fun.size
    variance = 2.0 * best.cost / max(num_points - best.x.size, 1)
    slope = np.asarray(best.jac)
    errors = np.sqrt(np.diag(np.linalg.pinv(slope.T @ slope)) * variance)
    names = [field.name for field in fields(Learning)]
    return LearningFit(
        learning=Learning(*(float(f"{number:.4g}") for number in best.x)),
        standard_errors={name: float(f"{error:.3g}") for name, error in zip(names, errors, strict=True)},
        loss=2.0 * float(best.cost),
        num_points=num_points,
        simulated={kind: simulated[kind] for kind in known},
        recorded=known,
        noise=noise,
        misfit={kind: float(np.sqrt(np.mean((simulated[kind] - known[kind]) ** 2))) for kind in known},
        evaluations=evaluations.tolist(),
    )


def _plain(curves: Curves) -> dict[str, list[float]]:
    return {kind: [round(float(value), 5) for value in curve] for kind, curve in curves.items()}
