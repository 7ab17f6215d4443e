"""What allocators buy where groups with mixed rewards teach: held-out accuracy, beside the effective-group rate."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order
from analysis.data.results import results_frame
from analysis.data.select import refuse_mixtures
from analysis.data.worlds import population_title
from analysis.plotting.draw import Panel
from analysis.plotting.lines import draw_points, rows_height
from analysis.stats.intervals import paired_difference

CAPTION = "Learning in the simulator: held-out gain and effective groups"
NOTE = (
    "Points: mean over seeds; bars: 95 % t-interval. Beside the gain: its difference from Uniform's, paired by seed, "
    "with its 95 % t-interval."
)


def usable(runs: Runs) -> pd.DataFrame:
    """The runs of the study "dynamics" with a held-out part of the pool."""
    data = results_frame(runs)
    learned = data["dynamics"].str.startswith("learning") & data["heldout_end"].notna()
    found = data[(data["study"] == "dynamics") & learned]
    refuse_mixtures(found, ["dynamics"])
    return found


def missing(runs: Runs) -> str:
    """What the sweep lacks to be drawn."""
    return "no run of the study 'dynamics' with learning and held-out accuracy" if usable(runs).empty else ""


def panels(runs: Runs) -> list[Panel]:
    """One row a population and learning rate: gain on the left, effective-group rate on the right, both in percent."""
    data = usable(runs)
    data = data.assign(
        gain=100.0 * (data["heldout_end"] - data["heldout_start"]), rate=100.0 * data["effective_group_rate"]
    )
    height = 0.9 + rows_height(set(data["method"]), 0.28)
    found = []
    for (population, rewards, dynamics), group in data.groupby(["population", "rewards", "dynamics"]):
        title = f"{population_title(str(population))}, {dynamics}"
        title += "" if rewards == "binary" else f", {rewards} rewards"
        found += [Panel(title, partial(paint, runs=group), height) for paint in (_draw_gain, _draw_rate)]
    return found


def _draw_gain(axes: Axes, runs: pd.DataFrame) -> None:
    """Beside each allocator, how much more it gained than Uniform under the same seeds."""
    draw_points(axes, runs, "gain", "held-out accuracy gained (percentage points)")
    gains = runs.pivot_table(index="seed", columns="method", values="gain")
    if "uniform" not in gains:
        return
    for place, method in enumerate(in_order(runs["method"])):
        if method != "uniform":
            found = paired_difference(gains[method].to_numpy(), gains["uniform"].to_numpy())
            axes.text(1.02, place, found.text(), transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)


def _draw_rate(axes: Axes, runs: pd.DataFrame) -> None:
    draw_points(axes, runs, "rate", "groups with mixed rewards (% of all groups)")
