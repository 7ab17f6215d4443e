"""How large the tables of a sweep will be, told before its runs start.

Measured on README's sweep of several allocators and kinds of rates (400 runs, 340 MB): rows of groups take 4 (uniform)
to 22 bytes (rates that drift, evidence that fades), most where what is predicted of every prompt moves every round.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cerolab import AllocationProblem

_GROUP, _ROUND, _PROMPT = 14.0, 110.0, 18.0  # bytes a row: of a group of N_max units, a round, a prompt
_EMPTY = {"groups": 2_600, "rounds": 5_600, "pool": 2_000, "evals": 1_900}  # bytes of a table without rows
_MEGABYTE = 1e6
_WORTH_SAYING = 20 * _MEGABYTE


def table_bytes(problem: AllocationProblem, table: str) -> float:
    """About what a table of one run takes on disk; off by up to five times by allocator, by less over a sweep."""
    rows = {
        "groups": _GROUP * problem.budget / problem.max_units,
        "rounds": _ROUND * problem.num_rounds,
        "pool": _PROMPT * problem.num_prompts,
    }
    return _EMPTY.get(table, 0) + rows.get(table, 0.0)


def announcement(runs: Iterable[tuple[AllocationProblem, int]], detail: Sequence[str]) -> str:
    """A line on the tables of so many runs of each problem, and on the largest; "" where they are small.

    Args:
        runs: problems, each with its number of runs.
        detail: names of the tables.
    """
    every = list(runs)
    sizes = {table: sum(count * table_bytes(problem, table) for problem, count in every) for table in detail}
    total = sum(sizes.values())
    if total < _WORTH_SAYING:
        return ""
    largest = max(sizes, key=sizes.__getitem__)
    less = f"; a detail without {largest} would take about {_shown(total - sizes[largest])}" if len(sizes) > 1 else ""
    count = sum(count for _, count in every)
    runs_told = "1 run" if count == 1 else f"{count:,} runs"
    return f"tables of {runs_told}: about {_shown(total)}, {largest} {_shown(sizes[largest])} of it{less}"


def _shown(size: float) -> str:
    """``500 MB``, ``2.5 GB``, two digits."""
    megabytes = float(f"{max(size, _MEGABYTE) / _MEGABYTE:.2g}")
    return f"{megabytes / 1000:.2g} GB" if megabytes >= 1000 else f"{megabytes:g} MB"
