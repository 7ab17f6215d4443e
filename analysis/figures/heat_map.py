"""Where and when every allocator spends: units by difficulty of the prompt and by round (not in the paper)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.data.text import counted
from analysis.data.types import FloatArray
from analysis.plotting.draw import Panel

ROWS, COLUMNS = 40, 50  # at most
UNSAMPLED = 0.5  # success of a prompt without responses: the prior's mean
CAPTION = "Allocation by difficulty and round"
NOTE = (
    "Units a prompt and round, over the even share B/(M K); 1 is uniform. Rows: equally many prompts each, hardest on "
    "top, by their success rate: in the simulator the true one before the first round; in training successes over "
    f"responses in all runs together, {UNSAMPLED:g} for prompts never sampled (with equally few successes, prompts "
    "sampled more come first). Mean over the seeds that kept their groups. Colours end at the 99th percentile of all "
    "cells."
)
_SPENT = ["run_id", "method", "prompt", "round", "units"]
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)  # shares of the prompts
_COLOURS = "cividis_r"  # even steps of lightness, also in grey and for the colour-blind; much is dark


def success_rates(runs: Runs) -> dict[str, FloatArray]:
    """By id of the runs that kept their groups: success rate of every prompt [M], true at the start or estimated.

    Where no truth is known the estimate is the same for all runs, whose pool is the same.
    """
    groups, size = runs.table("groups"), runs.problem["num_prompts"]
    if _truth_known(runs):
        pool = runs.table("pool")
        kept = pool[pool["run_id"].isin(groups["run_id"].unique())]
        return {str(run_id): of_run["true_success_start"].to_numpy() for run_id, of_run in kept.groupby("run_id")}
    successes, responses = (
        np.bincount(groups["prompt"], groups[column], minlength=size) for column in ("reward_sum", "responses")
    )
    estimate = np.divide(successes, responses, out=np.full(size, UNSAMPLED), where=responses > 0)
    return dict.fromkeys(groups["run_id"].unique(), estimate)


def rows_by_difficulty(success: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Row of every prompt [M], 0 for the hardest; equal rates stand in the order of their ids."""
    order = np.argsort(np.asarray(success), kind="stable")
    row_M = np.empty(order.size, np.int64)
    row_M[order] = np.arange(order.size) * min(ROWS, order.size) // order.size
    return row_M


def allocation_map(groups: pd.DataFrame, row_M: npt.NDArray[np.int64], num_rounds: int, budget: int) -> FloatArray:
    """Mean units a prompt and round over the even share B/(M K) [rows, columns], columns of equally many rounds.

    Args:
        groups: of one run.
        row_M: from ``rows_by_difficulty``.
        num_rounds: K.
        budget: units.
    """
    prompts = np.bincount(row_M)
    columns = min(COLUMNS, num_rounds)
    rounds = np.bincount(np.arange(num_rounds) * columns // num_rounds)
    cell = row_M[groups["prompt"]] * columns + groups["round"].to_numpy() * columns // num_rounds
    units = np.bincount(cell, groups["units"], minlength=prompts.size * columns).reshape(-1, columns)
    return units / np.outer(prompts, rounds) / (budget / (row_M.size * num_rounds))


def maps(runs: Runs, success: Mapping[str, npt.ArrayLike]) -> dict[str, list[FloatArray]]:
    """``allocation_map`` of every run in ``success``, by method in the order of legends."""
    found: dict[str, list[FloatArray]] = {}
    for run_id, of_run in runs.table("groups")[_SPENT].groupby("run_id", sort=False):
        if str(run_id) in success:
            rows = rows_by_difficulty(success[str(run_id)])
            drawn = allocation_map(of_run, rows, runs.problem["num_rounds"], runs.problem["budget"])
            found.setdefault(str(of_run["method"].iloc[0]), []).append(drawn)
    return {method: found[method] for method in in_order(found)}


def missing(runs: Runs) -> str:
    """What the runs lack to be drawn."""
    for table in ("groups", "pool") if runs.source == "sim" else ("groups",):
        if not runs.kept(table):
            return f"no run kept its {table}"
    return "" if success_rates(runs) else "no run kept groups and pool"


def panels(runs: Runs) -> list[Panel]:
    """One map an allocator, all in the same colours."""
    success = success_rates(runs)
    found = maps(runs, success)
    means = {method: np.mean(of_runs, axis=0) for method, of_runs in found.items()}
    paint = partial(
        _draw_map,
        num_rounds=runs.problem["num_rounds"],
        top=float(np.quantile(list(means.values()), 0.99)),
        ticks=np.mean([np.quantile(rates, _TICKS) for rates in success.values()], axis=0),
        kind="true" if _truth_known(runs) else "estimated",
    )
    return [
        Panel(f"{method_name(method)}, {counted(len(found[method]), 'seed')}", partial(paint, units=units), 3.5)
        for method, units in means.items()
    ]


def _truth_known(runs: Runs) -> bool:
    return runs.kept("pool") and bool(runs.table("pool")["true_success_start"].notna().all())


def _draw_map(axes: Axes, units: FloatArray, num_rounds: int, top: float, ticks: FloatArray, kind: str) -> None:
    image = axes.imshow(
        units,
        cmap=_COLOURS,
        vmin=0.0,
        vmax=top,
        extent=(0.0, num_rounds, 1.0, 0.0),
        aspect="auto",
        interpolation="nearest",
    )
    bar = axes.figure.colorbar(image, ax=axes, extend="max" if units.max() > top else "neither", pad=0.02)
    bar.set_label("units over the even share")
    axes.set_yticks(_TICKS, [f"{rate:.3f}" for rate in ticks])
    axes.grid(visible=False)
    axes.set_xlabel("round")
    axes.set_ylabel(f"{kind} success rate of prompts")
