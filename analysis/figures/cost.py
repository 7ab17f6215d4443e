"""What a run costs: seconds by phase, and seconds per million generated tokens (figure 8 of the paper)."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.describe import plain
from analysis.data.load import RUN, Runs
from analysis.data.methods import in_order
from analysis.data.rounds import every_round
from analysis.plotting.draw import Panel
from analysis.plotting.layout import legend_below, plain_axis
from analysis.plotting.lines import draw_points, name_rows, rows_height
from analysis.plotting.style import look

STALL_RATIO, STALL_SECONDS = 100.0, 10.0
CAPTION = "What a run costs: seconds by phase, and per million tokens or responses"
NOTE = (
    "Left: mean over seeds; beside the bar its length, and the allocator's part of it, allocate and observe. Right: "
    "points are means, dots seeds, bars, where there are several, 95 % t-intervals. Evaluations are not counted. A "
    f"phase that took over {STALL_SECONDS:g} s and over {STALL_RATIO:g} times its run's median stalled: it counts as "
    "the median."
)
# Name, colour and hatching, told apart also in grey.
_PHASES = {
    "seconds_allocate": ("allocate", "#000000", ""),
    "seconds_rollout": ("rollout", "#9ecae1", ""),
    "seconds_train": ("train", "#E69F00", "///"),
    "seconds_observe": ("observe", "#882255", "xxx"),
}
_WORK = ["seconds_rollout", "seconds_train"]  # of a round: as much as it has responses, never a hundredfold
_OWN = ["seconds_allocate", "seconds_observe"]  # the allocator's


def without_stalls(rounds: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The rounds, those in which the machine stood still taking their run's median; and how many stood still.

    Rounds of generation and updates only: an allocator may well plan for a long time once in a while.
    """
    spending = rounds[_WORK].where(rounds["units"] > 0)
    medians = spending.groupby(rounds["run_id"]).transform("median")
    stalled = (spending > STALL_SECONDS) & (spending > STALL_RATIO * medians)
    return rounds.assign(**rounds[_WORK].mask(stalled, medians)), int(stalled.any(axis=1).sum())


def costs(rounds: pd.DataFrame) -> pd.DataFrame:
    """A row a run: ``RUN``, seconds of each phase, and ``per_million`` seconds, tokens or, without any, responses."""
    found = rounds.groupby(RUN, as_index=False)[[*_PHASES, "tokens", "responses"]].sum()
    generated = found[_unit(rounds)].where(found[_unit(rounds)] > 0)
    return found.assign(per_million=1e6 * found[list(_PHASES)].sum(axis=1) / generated)


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    if not runs.kept("rounds"):
        return "no run kept its rounds"
    return "" if every_round(runs)[list(_PHASES)].to_numpy().any() else "no seconds were recorded"


def panels(runs: Runs) -> list[Panel]:
    """Stacked bars of the phases; then what a million tokens, in the simulator responses, cost."""
    rounds, stalls = without_stalls(every_round(runs))
    found, unit = costs(rounds), _unit(rounds)
    height = 1.7 + rows_height(set(found["method"]), 0.3)
    stalled = f"; {stalls} round{'' if stalls == 1 else 's'} stalled" if stalls else ""
    return [
        Panel(f"Seconds of a run{stalled}", partial(_draw_phases, found=found), height),
        Panel(f"Seconds per million {unit}", partial(_draw_rate, found=found, unit=unit), height),
    ]


def _unit(rounds: pd.DataFrame) -> str:
    return "tokens" if rounds["tokens"].any() else "responses"


def _draw_phases(axes: Axes, found: pd.DataFrame) -> None:
    methods = in_order(found["method"])
    means = found.groupby("method")[list(_PHASES)].mean().loc[methods]
    ends = means.cumsum(axis=1)
    for phase, (name, colour, hatch) in _PHASES.items():
        axes.barh(
            range(len(methods)),
            means[phase],
            left=ends[phase] - means[phase],
            height=0.6,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.0,
            label=name,
        )
    for place, method in enumerate(methods):
        total, own = (means.loc[[method], phases].to_numpy().sum() for phases in (list(_PHASES), _OWN))
        text = f"{plain(float(f'{total:.3g}'))} s; allocator {100 * own / total:.2g} %"
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=7.5)
    name_rows(axes, methods)
    plain_axis(axes, "x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("seconds")
    legend_below(axes, columns=4)


def _draw_rate(axes: Axes, found: pd.DataFrame, unit: str) -> None:
    draw_points(axes, found, "per_million", f"seconds per million generated {unit}")
    for place, method in enumerate(in_order(found["method"])):
        seeds = found.loc[found["method"] == method, "per_million"].to_numpy()
        if seeds.size > 1:
            places = np.full(seeds.size, place + 0.28)
            axes.plot(seeds, places, ".", color=look(method).colour, markersize=3.5, alpha=0.7)
    plain_axis(axes, "x")
    axes.set_xlim(left=0.0)
