"""The numbers that have goals, and a few that tell the most, as rows of a table: quantity, goal, measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

Row = dict[str, str]

_TRAINERS = {
    "allocated": "training of 0.8 M parameters on a CPU, 64 groups of 8: allocated trainer against TRL's, equal work",
    "defaults": "the same, rows without advantage left out and prompts read once",
}
_SWEEP = (
    "default sweep: CERO and uniform at K = 50 ... 10,000, ablations to 1,000; M = 1,000, 4 populations, 10 seeds; and "
    "three more studies"
)


def make_rows(timings: Iterable[Mapping[str, Any]], sweep_seconds: float | None) -> list[Row]:
    """The rows that these timings can fill; those of a part that was left out are not there."""
    named = {entry["name"]: entry for entry in timings}
    rows = [*_scheduler(named), *_oracle(named), *_simulator(named), *_records(named), *_trainer(named)]
    if sweep_seconds is not None:
        rows.append(_row(_SWEEP, "<= 5 minutes", f"{sweep_seconds / 60:.1f} minutes"))
    return rows


def _scheduler(named: Mapping[str, Any]) -> Iterable[Row]:
    of_cero = [entry for name, entry in named.items() if name.startswith("test_round[") and entry["method"] == "cero"]
    for entry in of_cero:
        if "goal_seconds" in entry:
            seconds = entry["median_seconds"]
            text = f"{1e3 * seconds:.0f} ms ({seconds / entry['yardstick_seconds']:.1f} plain copies of the state)"
            goal = f"<= {1e3 * entry['goal_seconds']:.0f} ms"
            yield _row(f"CERO round, allocate + observe, M = {entry['num_prompts']:,}", goal, text)
    if of_cero:
        largest = max(of_cero, key=lambda entry: entry["num_prompts"])
        yield _row("CERO state per prompt", "<= 64 bytes", f"{largest['state_bytes_per_prompt']:.0f} bytes")


def _oracle(named: Mapping[str, Any]) -> Iterable[Row]:
    million = [entry for entry in named.values() if "rates" in entry]
    random = [entry for entry in million if entry["rates"] == "beta"]
    hard = [entry for entry in million if entry["rates"] != "beta"]
    for entries, which in (
        (random, "B = 64,000,000, beta rates"),
        (hard, f"slowest of {len(hard)} clustered and degenerate pools"),
    ):
        if entries:
            seconds, gap = (max(entry[key] for entry in entries) for key in ("median_seconds", "relative_gap"))
            text = f"{seconds:.2f} s (certified to {_power(gap)} of the value)"
            name = f"exact integer oracle, M = 1,000,000, {which}"
            yield _row(name, f"<= {entries[0]['goal_seconds']:.0f} s", text)
    goals = {"integer": ">= 1,000 times faster than cvxpy, objectives equal to 1e-6", "continuous": "none"}
    for kind, goal in goals.items():
        if entry := named.get(f"test_oracle_two_thousand[{kind}]"):
            seconds, off = entry["median_seconds"], _power(entry["relative_difference"])
            faster = entry["yardstick_seconds"] / seconds
            text = f"{1e3 * seconds:.2f} ms, {faster:,.0f} times faster, objectives equal to {off}"
            yield _row(f"{kind} oracle against cvxpy on the same problem, M = 2,000", goal, text)


def _simulator(named: Mapping[str, Any]) -> Iterable[Row]:
    for test, other in (("test_simulated_horizon", "a plain Python loop"), ("test_seeds_at_once", "one by one")):
        for name, entry in named.items():
            if name.startswith(test) and entry["method"] == "cero":
                seconds = entry["median_seconds"]
                rate, faster = entry["prompt_rounds"] / seconds, entry["yardstick_seconds"] / seconds
                at_once = f", {entry['seeds']} seeds at once" if "seeds" in entry else ""
                what = f"simulator with CERO, M = {entry['num_prompts']:,}{at_once}, prompts x rounds a second"
                yield _row(what, "none", f"{rate / 1e6:.1f} million, {faster:.1f} times {other}")


def _records(named: Mapping[str, Any]) -> Iterable[Row]:
    if entry := named.get("test_load_million_groups"):
        text = f"{entry['median_seconds']:.2f} s"
        yield _row("run records: a million group rows, read and checked", "<= 2 s", text)


def _trainer(named: Mapping[str, Any]) -> Iterable[Row]:
    if found := named.get("test_training"):  # needs the extra llm
        speed = found["seconds_per_million_tokens"]
        for kind, what in _TRAINERS.items():
            ratios = found[f"{kind}_to_stock"]
            text = f"{speed[kind]:.0f} s a million tokens, TRL's own {speed['stock']:.0f} s, "
            text += f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            yield _row(what, "none", text)


def _power(number: float) -> str:
    """An accuracy, not better than double precision over a large sum can show."""
    return f"{max(number, 1e-12):.0e}"


def _row(quantity: str, goal: str, measured: str) -> Row:
    return {"quantity": quantity, "goal": goal, "measured": measured}
