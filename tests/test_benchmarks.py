"""The benchmarks' own logic: memory found by looking, ratios compared, rows and figures made from a record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.scaling import main as draw
from analysis.tables import benchmark_tables
from benchmarks import check
from benchmarks.bench_scheduler import METHODS, fresh, play_round
from benchmarks.bench_scheduler import problem as problem_of_size
from benchmarks.measure import Ratio, measure, ratios
from benchmarks.rows import make_rows
from benchmarks.state import held_arrays, state_bytes_per_prompt
from cerolab import make
from cerolab.errors import CerolabError, RecordError
from cerolab.records.files import write_json


def round_timing(method: str, num_prompts: int, seconds: float, **more: Any) -> dict[str, Any]:
    name = f"test_round[{num_prompts}-{method}]"
    return {
        "name": name,
        "test": f"benchmarks/bench_scheduler.py::{name}",
        "median_seconds": seconds,
        "yardstick_seconds": seconds / 4,
        "ratios": {f"round of {method}, M = {num_prompts:,} / one copy of its state": 4.0},
        "slow": num_prompts > 1_000_000,
        "method": method,
        "num_prompts": num_prompts,
        "state_bytes_per_prompt": 40.0,
        **more,
    }


def oracle_timing(rates: str, seconds: float) -> dict[str, Any]:
    name = f"test_integer_oracle_million[{rates}]"
    at = {"name": name, "test": name, "slow": False, "rates": rates, "goal_seconds": 2.0}
    return {**at, "median_seconds": seconds, "relative_gap": 0.0}


TIMINGS = [
    round_timing("uniform", 1000, 2e-5),
    round_timing("cero", 1000, 1e-4),
    round_timing("cero", 1_000_000, 0.012, goal_seconds=0.03),
    round_timing("cero(forgetting=0.9)", 10_000_000, 0.25),
    oracle_timing("beta", 0.2),
    oracle_timing("all zero", 0.03),
    oracle_timing("equal", 0.4),
]


# --- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_no_array_with_a_row_a_prompt_is_overlooked(method: str) -> None:
    allocator = fresh(method, 1000)
    rng = np.random.default_rng(0)
    for _ in range(3):
        allocator.observe(*play_round(allocator, np.full(1000, 0.4), rng))
    held = {id(array) for array in held_arrays(allocator)}
    deep = {"posterior": ["num_responses", "reward_sum"], "ties": ["rank_M", "order_M"], "_kinds": ["kind_M"]}
    known = [x for x in vars(allocator).values() if isinstance(x, np.ndarray)]
    for part, names in deep.items():
        if getattr(allocator, part, None) is not None:
            known += [getattr(getattr(allocator, part), name) for name in names]
    assert held >= {id(array) for array in known}
    assert state_bytes_per_prompt(allocator) >= sum(array.nbytes for array in known) / 1000
    assert state_bytes_per_prompt(allocator) > 0


def test_memory_counts_once_and_a_view_counts_as_what_it_keeps() -> None:
    uniform = make("uniform", problem_of_size(1000), seed=0)  # holds its order twice
    assert state_bytes_per_prompt(uniform) == 8.0
    uniform.note = [{"view": np.zeros(5000)[:10]}, {"same view": None}]
    assert state_bytes_per_prompt(uniform) == 48.0
    uniform.note.append(uniform)  # a circle ends
    assert state_bytes_per_prompt(uniform) == 48.0


# --- comparing ratios -----------------------------------------------------------------------------------------------


def ratio_of(name: str, value: float) -> Ratio:
    return Ratio(name, value, slow=False, test=f"test of {name}")


class Machine:
    """Measures made-up ratios, one table a time it is asked."""

    def __init__(self, *tables: Mapping[str, float]):
        self.tables, self.asked = list(tables), []

    def __call__(self, *tests: str) -> dict[str, Ratio]:
        self.asked.append(tests)
        return {name: ratio_of(name, value) for name, value in self.tables.pop(0).items()}


COMMITTED = {"a": 2.0, "b": 0.001}


@pytest.mark.parametrize("times", [0.1, 1.0, 1.4])
def test_a_ratio_within_tolerance_passes(times: float) -> None:
    machine = Machine({name: times * value for name, value in COMMITTED.items()})
    assert check.complaints(COMMITTED, machine) == []
    assert machine.asked == [()]


def test_a_ratio_that_stays_worse_is_named_with_both_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine({"a": 3.2, "b": 0.001}, {"a": 3.4}, {"a": 3.3})
    (line,) = check.complaints(COMMITTED, machine)
    assert line == "a: 3.3, committed 2: 1.65 times as much, 1.5 are allowed"
    assert machine.asked == [(), ("test of a",), ("test of a",)]
    assert "3.2, committed 2: 1.60 times" in capsys.readouterr().out


def test_a_ratio_that_is_better_another_time_passes() -> None:
    second = Machine({"a": 3.2, "b": 0.001}, {"a": 2.8})
    third = Machine({"a": 3.2, "b": 0.01}, {"a": 3.1, "b": 0.001}, {"a": 2.8})
    for machine in (second, third):
        assert check.complaints(COMMITTED, machine) == []
        assert machine.tables == []
    assert third.asked == [(), ("test of a", "test of b"), ("test of a",)]


def test_a_ratio_that_is_no_number_fails() -> None:
    assert len(check.complaints(COMMITTED, Machine({"a": float("nan"), "b": 0.001}, *2 * [{"a": float("nan")}]))) == 1


def test_ratios_that_one_side_lacks_ask_for_make_bench() -> None:
    new, gone = check.complaints(COMMITTED, Machine({"a": 2.0, "c": 1.0}))
    assert new.startswith("c: measured, but not committed")
    assert gone.startswith("b: committed, but no longer measured")
    assert "make bench" in new
    assert "make bench" in gone


@pytest.mark.parametrize(
    ("summary", "problem"),
    [
        ({"rows": []}, "'ratios' is missing"),
        ({"ratios": []}, "'ratios' is missing, empty"),
        ({"ratios": [{"name": "a"}]}, "has no name, value or 'slow'"),
        ({"ratios": [{"name": "a", "value": "much", "slow": False}]}, "has no name, value or 'slow'"),
    ],
)
def test_a_damaged_summary_asks_for_make_bench(tmp_path: Path, summary: dict[str, Any], problem: str) -> None:
    write_json(tmp_path / "summary.json", summary)
    with pytest.raises(RecordError, match=rf"summary\.json: .*{problem}.*make bench"):
        check.committed_ratios(tmp_path / "summary.json")


def test_slow_ratios_are_not_checked(tmp_path: Path) -> None:
    rows = [{"name": "a", "value": 1.0, "slow": False}, {"name": "b", "value": 1.0, "slow": True}]
    write_json(tmp_path / "summary.json", {"ratios": rows})
    assert check.committed_ratios(tmp_path / "summary.json") == {"a": 1.0}


def test_the_command_fails_with_status_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    rows = [{"name": name, "value": value, "slow": False} for name, value in COMMITTED.items()]
    write_json(tmp_path / "summary.json", {"ratios": rows})
    monkeypatch.setattr(check, "_measured", Machine(COMMITTED, {"a": 3.2, "b": 0.001}, *2 * [{"a": 3.2}]))
    assert check.check(summary=tmp_path / "summary.json") == 0
    assert check.check(summary=tmp_path / "summary.json") == 1
    assert "a: 3.2, committed 2: 1.60 times" in capsys.readouterr().err


@pytest.mark.slow
def test_the_committed_ratios_are_kept() -> None:
    assert check.check() == 0


# --- measuring ------------------------------------------------------------------------------------------------------


def test_a_benchmark_gives_its_ratio_and_its_own_id() -> None:
    test = "benchmarks/bench_scheduler.py::test_round[1000-uniform]"
    (timing,), machine = measure(test)
    (ratio,) = ratios([timing])
    assert ratio.name == "round of uniform, M = 1,000 / one copy of its state"
    assert ratio.value == pytest.approx(timing["median_seconds"] / timing["yardstick_seconds"])
    assert (ratio.test, ratio.slow) == (test, False)
    assert timing["state_bytes_per_prompt"] == 8.0
    assert machine["cores"] >= 1
    assert machine["memory_gib"] > 0.1


def test_a_benchmark_that_fails_is_an_error() -> None:
    with pytest.raises(CerolabError, match="the benchmarks failed with status"):
        measure("benchmarks/bench_scheduler.py::test_no_such_thing")


# --- rows, tables, figure -------------------------------------------------------------------------------------------


def test_rows_of_what_was_measured() -> None:
    rows = {row["quantity"]: (row["goal"], row["measured"]) for row in make_rows(TIMINGS, 270.0)}
    assert rows["CERO round, allocate + observe, M = 1,000,000"] == (
        "<= 30 ms",
        "12 ms (4.0 plain copies of the state)",
    )
    assert rows["CERO state per prompt"] == ("<= 64 bytes", "40 bytes")
    slowest = rows["exact integer oracle, M = 1,000,000, slowest of 2 clustered and degenerate pools"]
    assert slowest == ("<= 2 s", "0.40 s (certified to 1e-12 of the value)")
    assert "4.5 minutes" in [measured for _, measured in rows.values()]
    assert len(rows) == 5
    assert make_rows([], None) == []


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "bench"
    folder.mkdir()
    write_json(folder / "benchmark.json", {"timings": TIMINGS})
    found = [{"name": r.name, "value": r.value, "better": "lower", "slow": r.slow} for r in ratios(TIMINGS)]
    write_json(folder / "summary.json", {"machine": "2 cores", "rows": make_rows(TIMINGS, None), "ratios": found})
    return tmp_path


def test_tables_show_the_record(results: Path) -> None:
    table = benchmark_tables.scaling(results)
    assert "| method | M = 1,000 | M = 1,000,000 | M = 10,000,000 | bytes a prompt |" in table
    assert "| CERO | 0.1 (4) | 12 (4) |  | 40 |" in table
    assert "| CERO (forgetting=0.9) |  |  | 250 (4) | 40 |" in table
    assert "| equal | <= 2 | 0.400 | 0 |" in benchmark_tables.oracle(results)
    assert "| round of cero(forgetting=0.9), M = 10,000,000 / one copy of its state | 4 | no |" in (
        benchmark_tables.ratios(results)
    )
    assert "Measured on 2 cores." in benchmark_tables.goals(results)


def test_an_earlier_record_says_what_to_do(results: Path) -> None:
    write_json(results / "bench/summary.json", {"machine": "2 cores", "rows": []})
    write_json(results / "bench/benchmark.json", {"timings": [{"name": "test_round", "median_seconds": 1.0}]})
    for table in (benchmark_tables.scaling, benchmark_tables.oracle, benchmark_tables.ratios):
        with pytest.raises(RecordError, match=r"make it again with `python -m benchmarks\.run`"):
            table(results)


def test_the_figure_is_drawn_from_the_record(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert draw(folder=results / "bench") == 0
    for end in ("png", "pdf"):
        assert (results / f"bench/figures/scaling.{end}").stat().st_size > 1000
    write_json(results / "bench/benchmark.json", {"timings": [{"name": "a", "median_seconds": 1.0}]})
    assert draw(folder=results / "bench") == 1
    assert "no timing has method, num_prompts" in capsys.readouterr().err
    (results / "bench/benchmark.json").unlink()
    assert draw(folder=results / "bench") == 1
    assert "does not exist; make it with `python -m benchmarks.run`" in capsys.readouterr().err
