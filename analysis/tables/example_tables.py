"""The tables of docs/scale.md and docs/resolve.md that the examples measure; ``make examples`` makes their records."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.data.describe import plain
from analysis.data.methods import method_name
from analysis.data.timings import read_rows
from analysis.tables.sweep_tables import to_markdown

COMMAND = "make examples"
_DECISIONS = {
    "regret_double": "regret a prompt in double precision",
    "regret_difference": "regret a prompt, single - double",
    "parted": "first round with another allocation",
    "slope_difference": "largest difference of slopes before it",
    "price_difference": "largest difference of prices",
    "spend_difference": "largest difference of units spent, of B",
}
_WAYS = {
    "bound": "bound",
    "resolve by tokens": "on tokens",
    "resolve by responses": "on responses",
    "uniform": "uniform",
}


def precision_memory(results: Path) -> str:
    """Bytes that an allocator keeps and needs at the peak of a round, in both precisions."""
    columns = ("kept_double", "peak_double", "kept_single", "peak_single")
    found = read_rows(_precision(results), "memory", ("method", "num_prompts", *columns), COMMAND)
    table = pd.DataFrame({"method": [method_name(method) for method in found["method"]]})
    for column in columns:
        table[column.replace("_", ", ")] = [f"{number:.1f}" for number in found[column]]
    (num_prompts,) = found["num_prompts"].unique()
    return f"{to_markdown(table)}\n\nBytes a prompt, {plain(num_prompts)} prompts."


def precision_decisions(results: Path) -> str:
    """CERO in both precisions on the same prompts and coins: regret, and where the two part."""
    found = read_rows(_precision(results), "decisions", ("num_rounds", "seed", *_DECISIONS), COMMAND)
    table = pd.DataFrame({"": list(_DECISIONS.values())})
    for num_rounds in found["num_rounds"].unique():
        runs = found[found["num_rounds"] == num_rounds]
        table[f"K = {plain(num_rounds)}"] = [_spread(runs[column].astype(float)) for column in _DECISIONS]
    return f"{to_markdown(table)}\n\n{found['seed'].nunique()} seeds: mean [least, most]."


def precision_stall(results: Path) -> str:
    """Slope over curvature of a prompt that nobody visits, by precision."""
    found = read_rows(_precision(results), "stall", ("num_rounds", "double", "single"), COMMAND)
    table = pd.DataFrame(
        {
            "K": [plain(num_rounds) for num_rounds in found["num_rounds"]],
            **{kind: [f"{slope:.6f}" for slope in found[kind]] for kind in ("double", "single")},
        }
    )
    return to_markdown(table)


def token_budget(results: Path) -> str:
    """Value of ``resolve``, planned on tokens and on responses, and of uniform at equal tokens, by lengths."""
    file = results / "examples" / "token_budget.json"
    found = read_rows(file, "rows", ("lengths", "seed", *_WAYS, "unspent share"), COMMAND)
    rows = []
    for lengths, runs in found.groupby("lengths", sort=False):
        ahead = (runs["resolve by tokens"] > runs["resolve by responses"]).sum()
        means = {shown: f"{runs[way].mean():.1f}" for way, shown in _WAYS.items()}
        unspent = f"{100 * runs['unspent share'].mean():.1f} %"
        rows.append({"lengths": lengths, **means, "tokens ahead in": f"{ahead} of {len(runs)}", "unspent": unspent})
    meaning = f"Means over {found['seed'].nunique()} seeds; unspent: of the tokens, by the plan on tokens."
    return f"{to_markdown(pd.DataFrame(rows))}\n\n{meaning}"


def _precision(results: Path) -> Path:
    return results / "examples" / "precision.json"


def _spread(numbers: pd.Series) -> str:
    mean, least, most = (f"{number:.3g}" for number in (numbers.mean(), numbers.min(), numbers.max()))
    return f"{mean} [{least}, {most}]"
