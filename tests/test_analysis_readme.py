"""Generated blocks of the README: rewritten from records, stable, and with errors that name file and command."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.readme import PAGES, ROOT, main, rewritten
from cerolab.errors import RecordError, UnknownNameError
from cerolab.records import pack_experiment
from cerolab.records.files import write_json
from tests.test_analysis_data import horizon_infos, power_law, write_detailed_run, write_infos

README = """# Title

<!-- generated:regret_table -->
<!-- /generated -->

Words between.

<!-- generated:mechanism -->
old numbers
<!-- /generated -->
<!-- generated:benchmarks -->
<!-- /generated -->
The end.
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    sweep = tmp_path / "results" / "sim" / "regret_sweep"
    write_infos(sweep, horizon_infos({"cero": power_law(0.5, -0.5), "uniform": power_law(0.1, 0.0)}))
    pack_experiment(sweep)
    write_detailed_run(tmp_path / "results/sim/paper_scale", "cero", (4, 4, 4, 0))
    (tmp_path / "results/bench").mkdir()
    bench = {"machine": "2 cores", "rows": [{"quantity": "oracle, s", "goal": "<= 2", "measured": 0.51234}]}
    write_json(tmp_path / "results/bench/summary.json", bench)
    return tmp_path / "results"


def test_blocks_are_rewritten_and_the_rest_is_left(results: Path) -> None:
    made = rewritten(README, results)
    assert made.startswith("# Title\n\n<!-- generated:regret_table -->\n| population |")
    assert "| Beta(1, 1) | CERO | 0.02500 ± 0.03105 |" in made
    assert "3 seeds; M = 10 prompts; K = 100, 400, 1,600 rounds" in made
    assert "| rounds that spend | 488 | 3 |" in made
    assert "| oracle, s | <= 2 | 0.5123 |" in made
    assert "Measured on 2 cores." in made
    assert "\n\nWords between.\n\n" in made
    assert made.endswith("<!-- /generated -->\nThe end.\n")
    assert "old numbers" not in made


def test_rewriting_twice_changes_nothing(results: Path) -> None:
    made = rewritten(README, results)
    assert rewritten(made, results) == made


def test_text_without_blocks_needs_no_records(tmp_path: Path) -> None:
    assert rewritten("# Title\n", tmp_path / "none") == "# Title\n"


@pytest.mark.parametrize(
    ("missing", "command"),
    [
        ("sim/paper_scale", "python -m sim.paper_scale"),
        ("bench/summary.json", "python -m benchmarks.run"),
    ],
)
def test_missing_records_name_file_and_command(results: Path, missing: str, command: str) -> None:
    (results / missing).rename(results / "elsewhere")
    with pytest.raises(RecordError, match=f"{missing} does not exist; make it with `{command}`"):
        rewritten(README, results)


def test_a_missing_sweep_names_folder_and_command(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"regret_sweep does not exist; make it with `python -m sim\.regret_sweep`"):
        rewritten(README, tmp_path)


def test_damaged_rows_name_row_and_column(results: Path) -> None:
    rows = [{"quantity": "a", "goal": "1", "measured": "1"}, {"quantity": "b", "goal": "2"}]
    write_json(results / "bench/summary.json", {"machine": "2 cores", "rows": rows})
    with pytest.raises(RecordError, match=r"summary\.json: 'measured' is missing in row 1"):
        rewritten(README, results)
    write_json(results / "bench/summary.json", {"machine": "2 cores", "rows": []})
    with pytest.raises(RecordError, match=r"summary\.json: 'rows' is missing, empty or no list"):
        rewritten(README, results)


def test_an_unknown_block_lists_the_known(results: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown generated block 'regret_tabel'.*did you mean 'regret_table'"):
        rewritten("<!-- generated:regret_tabel -->\n<!-- /generated -->", results)


@pytest.mark.parametrize(
    "text",
    [
        "<!-- generated:benchmarks -->\nno end",
        "<!-- generated:benchmarks -->\n<!-- generated:mechanism -->\n<!-- /generated -->",
        "<!-- generated:benchmarks --> <!-- /generated -->",
    ],
)
def test_a_block_that_is_not_closed_is_refused(results: Path, text: str) -> None:
    with pytest.raises(RecordError, match="not closed"):
        rewritten(text, results)


def test_every_page_is_checked_and_named(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "first.md", tmp_path / "second.md"
    first.write_text("no block")
    second.write_text("<!-- generated:benchmarks -->\nold\n<!-- /generated -->\n")
    assert main(first, second, check=True, results=results) == 1
    out, err = capsys.readouterr()
    assert "first.md is up to date" in out
    assert "second.md is not up to date" in err
    assert main(second, first, results=results) == 0
    assert main(first, second, check=True, results=results) == 0
    assert "| oracle, s | <= 2 | 0.5123 |" in second.read_text()


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("| 0.02500 ± 0.03105 |", "| 0.02501 ± 0.03104 |", 0),  # a border of rounding, met by another machine
        ("| 0.02500 ± 0.03105 |", "| 0.02502 ± 0.03105 |", 1),
        ("3 seeds; M = 10 prompts", "4 seeds; M = 10 prompts", 1),
        ("| Beta(1, 1) | CERO |", "| Beta(1, 1) | Uniform |", 1),
        ("Words between.", "Other words between.", 0),  # not ours
    ],
)
def test_the_check_forgives_a_unit_of_the_last_decimal_and_nothing_else(
    results: Path, tmp_path: Path, old: str, new: str, status: int
) -> None:
    page = tmp_path / "README.md"
    page.write_text(README)
    assert main(page, results=results) == 0
    made = page.read_text()
    assert old in made
    page.write_text(made.replace(old, new, 1))
    assert main(page, check=True, results=results) == status


def test_the_committed_pages_are_those_with_blocks() -> None:
    found = {page for page in (ROOT / "docs").glob("*.md") if "<!-- generated:" in page.read_text()}
    assert found | {ROOT / "README.md"} == set(PAGES)


def test_command_line(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(README)
    assert main(readme, check=True, results=results) == 1
    assert "is not up to date" in capsys.readouterr().err
    assert readme.read_text() == README
    assert main(readme, results=results) == 0
    assert main(readme, check=True, results=results) == 0
    assert "is up to date" in capsys.readouterr().out
    (results / "bench/summary.json").unlink()
    assert main(readme, check=True, results=results) == 1
    assert "error: " in capsys.readouterr().err
