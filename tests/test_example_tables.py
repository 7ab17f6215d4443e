"""Tables of docs that the examples measure: every number from their records, errors that name file and command."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.tables.example_tables import precision_decisions, precision_memory, precision_stall, token_budget
from cerolab.errors import RecordError
from cerolab.records.files import write_json

DECISION = {"parted": 7, "slope_difference": 1e-7, "price_difference": 0.0, "spend_difference": 0.25}
PRECISION = {
    "decisions": [
        {"num_rounds": 50, "seed": seed, "regret_double": 0.1 * (seed + 1), "regret_difference": -1e-6, **DECISION}
        for seed in range(3)
    ],
    "stall": [{"num_rounds": 1000, "double": 0.62898, "single": 0.5}],
    "memory": [
        {"method": "cero", "num_prompts": 1000, "kept_double": 40.06, "peak_double": 41, "kept_single": 24.1,
         "peak_single": 25},
        {"method": "uniform", "num_prompts": 1000, "kept_double": 8, "peak_double": 9, "kept_single": 8,
         "peak_single": 9},
    ],
}  # fmt: skip
TOKENS = [
    {"lengths": lengths, "seed": seed, "bound": 10 + seed, "resolve by tokens": 9 - short * seed,
     "resolve by responses": 8.5, "uniform": 4, "unspent share": 0.02}
    for lengths, short in (("long", 0), ("alike", 1))
    for seed in range(2)
]  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "examples").mkdir()
    write_json(tmp_path / "examples" / "precision.json", PRECISION)
    write_json(tmp_path / "examples" / "token_budget.json", {"rows": TOKENS})
    return tmp_path


def test_memory_in_both_precisions(results: Path) -> None:
    made = precision_memory(results)
    assert "| CERO | 40.1 | 41.0 | 24.1 | 25.0 |" in made
    assert "| Uniform | 8.0 | 9.0 | 8.0 | 9.0 |" in made
    assert made.endswith("Bytes a prompt, 1,000 prompts.")


def test_decisions_have_mean_least_and_most(results: Path) -> None:
    made = precision_decisions(results)
    assert "| K = 50 |" in made.splitlines()[0]
    assert "| regret a prompt in double precision | 0.2 [0.1, 0.3] |" in made
    assert "| first round with another allocation | 7 [7, 7] |" in made
    assert made.endswith("3 seeds: mean [least, most].")


def test_a_stalled_slope_is_seen(results: Path) -> None:
    assert "| 1,000 | 0.628980 | 0.500000 |" in precision_stall(results)


def test_token_budgets_count_the_seeds_in_which_tokens_are_ahead(results: Path) -> None:
    made = token_budget(results)
    assert "| long | 10.5 | 9.0 | 8.5 | 4.0 | 2 of 2 | 2.0 % |" in made
    assert "| alike | 10.5 | 8.5 | 8.5 | 4.0 | 1 of 2 | 2.0 % |" in made


def test_missing_and_damaged_records_name_file_and_command(results: Path) -> None:
    (results / "examples" / "token_budget.json").unlink()
    with pytest.raises(RecordError, match=r"token_budget\.json does not exist; make it with `make examples`"):
        token_budget(results)
    write_json(results / "examples" / "precision.json", PRECISION | {"stall": [{"num_rounds": 3}]})
    with pytest.raises(RecordError, match=r"precision\.json: 'double' is missing in row 0.*`make examples`"):
        precision_stall(results)
