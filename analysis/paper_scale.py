"""The mechanism of the CERO paper: what a paper-scale run measured beside what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from analysis.figures import selection_lift
from analysis.gallery import draw_setting
from analysis.load import load_setting
from cerolab.errors import RecordError
from cerolab.records import Run, find_runs, read_run

# CERO (arXiv 2606.05606 v2), sec. 6: real GRPO training of DeepSeek-R1-Distill-Qwen-1.5B.
PUBLISHED = {
    "rounds that spend": "488",
    "peak of the pacing gap, responses": "+1,920",
    "end of the pacing gap, responses": "0",
    "prompts ending at 0.84 R, %": "57.5",
    "prompts ending at 1.12 R, %": "27.8",
    "prompts ending at 1.40 R, %": "14.7",
    "effective-group rate of CERO, %": "57.3",
    "effective-group rate of random-matched CERO, %": "52.7",
    "selection lift at predicted success 0.4 to 0.6": "1.72",
}


def paper_scale_rows(directory: Path) -> list[dict[str, str]]:
    """Rows of quantity, published and measured value (mean over seeds, and their range where they differ).

    Args:
        directory: ``results/sim/paper_scale``.

    Raises:
        RecordError: no runs there, or unfinished ones.
    """
    runs = [read_run(path) for path in find_runs([directory])]
    met = Counter((run.info["method"], run.info["seed"]) for run in runs)
    (method, seed), times = met.most_common(1)[0]
    if times > 1:
        raise RecordError(f"{directory}: {times} runs of {method} with seed {seed}; keep one settings' runs there")
    cero, uniform, matched = ([run for run in runs if run.info["method"] == m] for m in _METHODS)
    shares = {units: [_share_at(run, units) for run in cero] for units in (6, 8, 10)}
    measured: dict[str, list[float]] = {
        "rounds that spend": _results(cero, "rounds_spent"),
        "peak of the pacing gap, responses": _results(cero, "peak_pacing_gap_responses"),
        "end of the pacing gap, responses": _results(cero, "final_pacing_gap_responses"),
        "prompts ending at 0.84 R, %": shares[6],
        "prompts ending at 1.12 R, %": shares[8],
        "prompts ending at 1.40 R, %": shares[10],
        "effective-group rate of CERO, %": _results(cero, "effective_group_rate", 100.0),
        "effective-group rate of random-matched CERO, %": _results(matched, "effective_group_rate", 100.0),
        "effective-group rate of uniform, %": _results(uniform, "effective_group_rate", 100.0),
        "selection lift at predicted success 0.4 to 0.6": [
            selection_lift.overall_lift(run.table("rounds"), run.table("groups"), 0.4, 0.6)
            for run in cero
            if "groups" in run.info["detail"]
        ],
        "regret per prompt of CERO": _results(cero, "regret_per_prompt"),
        "regret per prompt of uniform": _results(uniform, "regret_per_prompt"),
        "regret per prompt of random-matched CERO": _results(matched, "regret_per_prompt"),
        "bound (11) on CERO's regret per prompt (1 is vacuous)": _results(cero, "bound_total"),
        "seconds of a CERO run": _results(cero, "seconds"),
    }
    return [
        {"quantity": name, "published": PUBLISHED.get(name, "not published"), "measured": _text(values)}
        for name, values in measured.items()
    ]


_METHODS = ("cero", "uniform", "random_matched")


def draw_paper_scale(directory: Path, out: Path) -> list[Path]:
    """Draw every figure that the runs have tables for."""
    return draw_setting(load_setting(directory), out)


def to_rich(rows: Iterable[dict[str, str]]) -> Table:
    """The rows for a terminal."""
    table = Table(title="The paper's mechanism: published (real training, 1.5B) and simulated")
    for column, justify in (("quantity", "left"), ("published", "right"), ("measured", "right")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(row["quantity"], row["published"], row["measured"])
    return table


def _results(runs: Iterable[Run], key: str, scale: float = 1.0) -> list[float]:
    return [scale * float(run.info["results"][key]) for run in runs]


def _share_at(run: Run, units: int) -> float:
    return 100.0 * float((run.table("pool")["exposure"] == units).mean())


def _text(values: list[float]) -> str:
    mean, low, high = float(np.mean(values)), min(values), max(values)
    show: Callable[[Any], str]
    if low == high and mean == int(mean):
        show = "{:,.0f}".format
    elif abs(mean) >= 100:
        show = "{:,.1f}".format
    elif abs(mean) >= 10:
        show = "{:.1f}".format
    else:
        show = "{:.3g}".format
    seeds = f" ({show(low)} to {show(high)}, {len(values)} seeds)" if low != high else f" ({len(values)} seeds)"
    return show(mean) + (seeds if len(values) > 1 else " (1 seed)")
