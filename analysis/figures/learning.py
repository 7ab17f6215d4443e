"""What allocators buy where groups with mixed rewards teach: held-out accuracy, beside the effective-group rate."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import style
from analysis.curves import draw_points
from analysis.layout import describe, make_panels, set_heading
from analysis.select import population_title, refuse_mixtures
from analysis.statistics import paired_difference
from cerolab.errors import RecordError

CAPTION = "Learning in the simulator: held-out gain and effective groups"

DIFFERENCES = "Beside the gain: its difference from Uniform's, paired by seed, with a 95 % bootstrap interval."


def usable(data: pd.DataFrame) -> pd.DataFrame:
    """The runs of the study "dynamics" with a held-out part of the pool."""
    runs = data[
        (data["study"] == "dynamics") & data["dynamics"].str.startswith("learning") & data["heldout_end"].notna()
    ]
    refuse_mixtures(runs, ["dynamics"])
    return runs


def draw(data: pd.DataFrame) -> Figure:
    """One row a population and learning rate: gain on the left, effective-group rate on the right, both in percent."""
    runs = usable(data)
    if runs.empty:
        raise RecordError("the sweep has no run of the study 'dynamics' with learning and held-out accuracy")
    runs = runs.assign(
        gain=100.0 * (runs["heldout_end"] - runs["heldout_start"]), rate=100.0 * runs["effective_group_rate"]
    )
    parts = [
        (
            f"{population_title(str(population))}, {dynamics}"
            + ("" if rewards == "binary" else f", {rewards} rewards"),
            g,
        )
        for (population, rewards, dynamics), g in runs.groupby(["population", "rewards", "dynamics"])
    ]
    with style.applied():
        figure, axes = make_panels(
            [title for title, _ in parts for _ in range(2)], height=0.9 + 0.28 * runs["method"].nunique()
        )
        for row, (_, group) in enumerate(parts):
            draw_points(axes[2 * row], group, "gain", "held-out accuracy gained (percentage points)")
            _write_differences(axes[2 * row], group)
            draw_points(axes[2 * row + 1], group, "rate", "groups with mixed rewards (% of all groups)")
        set_heading(figure, CAPTION, f"{describe(runs)}. Points: mean over seeds; bars: 95 % t-interval. {DIFFERENCES}")
    return figure


def _write_differences(axes: Axes, runs: pd.DataFrame) -> None:
    """Beside each allocator, how much more it gained than Uniform under the same seeds."""
    gains = runs.pivot_table(index="seed", columns="method", values="gain")
    if "uniform" not in gains:
        return
    for place, method in enumerate(style.in_order(runs["method"])):
        if method != "uniform":
            found = paired_difference(gains[method].to_numpy(), gains["uniform"].to_numpy())
            axes.text(1.02, place, found.text(), transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
