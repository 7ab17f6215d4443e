"""The tables of the benchmarks, for README.md and docs/benchmarks.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.data.describe import plain
from analysis.data.methods import in_order, method_name
from analysis.data.timings import COMMAND, read_oracle, read_rounds, read_rows
from analysis.scaling import STEM
from analysis.tables.sweep_tables import to_markdown
from cerolab.errors import RecordError
from cerolab.records.files import read_json

_FOLDER = "bench"


def goals(results: Path) -> str:
    """The benchmarks' goals beside what was measured, and on which machine."""
    file = results / _FOLDER / "summary.json"
    table = read_rows(file, "rows", ("quantity", "goal", "measured"))
    machine = read_json(file).get("machine")
    if not isinstance(machine, str):
        raise RecordError(f"{file}: 'machine' is missing or no text; make it again with `{COMMAND}`")
    return f"{to_markdown(table)}\n\nMeasured on {machine}."


def scaling(results: Path) -> str:
    """The figure, milliseconds of a round by method and size of the pool, and bytes a prompt."""
    rounds = read_rounds(results / _FOLDER)
    times = zip(1e3 * rounds["median_seconds"], rounds["copies"], strict=True)
    rounds["text"] = [f"{plain(float(f'{milliseconds:.3g}'))} ({copies:.3g})" for milliseconds, copies in times]
    methods = in_order(rounds["method"])
    sizes = sorted(rounds["num_prompts"].unique())
    text = rounds.pivot_table(index="method", columns="num_prompts", values="text", aggfunc="first").fillna("")
    largest = rounds.sort_values("num_prompts").groupby("method")["state_bytes_per_prompt"].last()
    table = pd.DataFrame(
        {
            "method": [method_name(method) for method in methods],
            **{f"M = {plain(size)}": [text.loc[method, size] for method in methods] for size in sizes},
            "bytes a prompt": [f"{largest[method]:.0f}" for method in methods],
        }
    )
    meaning = "Milliseconds a round, median; in brackets, how many plain copies of the method's own state that is. "
    meaning += "Bytes of state a prompt in the largest pool."
    figure = f"![Time per round against the size of the pool](../results/{_FOLDER}/{STEM}.png)"
    return f"{figure}\n\n{to_markdown(table)}\n\n{meaning}"


def oracle(results: Path) -> str:
    """Seconds and certificate of the exact oracle on a million prompts, by kind of success rates."""
    found = read_oracle(results / _FOLDER)
    table = pd.DataFrame(
        {
            "success rates": found["rates"],
            "goal, s": [f"<= {goal:g}" for goal in found["goal_seconds"]],
            "s": [f"{seconds:.3f}" for seconds in found["median_seconds"]],
            "relative gap of the certificate": [f"{gap:.0e}" if gap else "0" for gap in found["relative_gap"]],
        }
    )
    return f"{to_markdown(table)}\n\nA gap below 1e-12, which rounding alone makes, counts as closed."


def ratios(results: Path) -> str:
    """Every ratio, and whether ``benchmarks.check`` measures it again."""
    found = read_rows(results / _FOLDER / "summary.json", "ratios", ("name", "value", "slow"))
    table = pd.DataFrame(
        {
            "ratio": found["name"],
            "value": [f"{value:.3g}" for value in found["value"]],
            "checked": ["no" if slow else "yes" for slow in found["slow"]],
        }
    )
    return to_markdown(table)
