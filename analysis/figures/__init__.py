"""One figure, one file, each an ``analysis.draw.FigureModule``; the same for records of simulator and training."""

from analysis.draw import FigureModule
from analysis.figures import (
    accuracy,
    against_uniform,
    effective_rate,
    exposure,
    learning,
    pacing,
    regret_cumulative,
    regret_drift,
    regret_horizon,
    regret_pool,
    selection_lift,
)

# Figures of runs that may be compared with one another.
OF_SETTING: dict[str, FigureModule] = {
    "accuracy": accuracy,
    "against_uniform": against_uniform,
    "effective_rate": effective_rate,
    "pacing": pacing,
    "selection_lift": selection_lift,
    "exposure": exposure,
}
# Figures of the settings that a study of a sweep runs over, with the study's name.
OF_STUDY: dict[str, tuple[FigureModule, str]] = {
    "regret_horizon": (regret_horizon, "horizon"),
    "regret_cumulative": (regret_cumulative, "horizon"),
    "regret_drift": (regret_drift, "drift"),
    "regret_pool": (regret_pool, "pool"),
    "learning": (learning, "dynamics"),
}
