"""One figure, one file, each a ``plotting.draw.FigureModule``; the same for records of simulator and training."""

from analysis.figures import (
    accuracy,
    against_uniform,
    calibration,
    cost,
    effective_rate,
    exposure,
    heat_map,
    leaderboard,
    learning,
    pacing,
    proxy_tracking,
    regret_cumulative,
    regret_drift,
    regret_horizon,
    regret_pool,
    responses_to_target,
    selection_lift,
)
from analysis.plotting.draw import FigureModule

# Figures of runs that may be compared with one another.
OF_SETTING: dict[str, FigureModule] = {
    "accuracy": accuracy,
    "against_uniform": against_uniform,
    "responses_to_target": responses_to_target,
    "effective_rate": effective_rate,
    "pacing": pacing,
    "selection_lift": selection_lift,
    "proxy_tracking": proxy_tracking,
    "calibration": calibration,
    "exposure": exposure,
    "heat_map": heat_map,
    "cost": cost,
}
# Figures of the settings that a study of a sweep runs over, with the study's name.
OF_STUDY: dict[str, tuple[FigureModule, str]] = {
    "regret_horizon": (regret_horizon, "horizon"),
    "regret_cumulative": (regret_cumulative, "horizon"),
    "regret_drift": (regret_drift, "drift"),
    "regret_pool": (regret_pool, "pool"),
    "learning": (learning, "dynamics"),
    "leaderboard": (leaderboard, "leaderboard"),
}
