"""The page: everything that it shows is gathered here, and a template puts it into HTML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from tqdm import tqdm

from analysis.data.describe import describe
from analysis.data.load import Runs
from analysis.data.results import results_frame
from analysis.report.charts import horizon_charts, setting_charts
from analysis.report.explorer import embedded, legend, library
from analysis.report.origins import notes, origins
from analysis.report.pictures import num_figures, richest, setting_galleries, study_galleries
from analysis.report.settings import World, by_experiment, find_worlds, setting_title
from analysis.stats.contrast import RULE
from analysis.stats.heldout import NOT_REACHED
from analysis.tables import sweep_tables, training_tables
from analysis.tables.offline import offline_check
from cerolab.errors import RecordError

_HERE = Path(__file__).parent
_NUMBER = re.compile(f"[-+\N{MINUS SIGN}]?[0-9]|$|{NOT_REACHED}$")


@dataclass(frozen=True, eq=False)
class Table:
    """A table of text with its heading, what its numbers are, and which of its columns hold numbers."""

    title: str
    rows: pd.DataFrame
    note: str = ""

    @property
    def named(self) -> int:
        """The column that says whose numbers a row holds: that of the allocators, else the first."""
        columns = list(self.rows.columns)
        return columns.index("allocator") if "allocator" in columns else 0

    @cached_property
    def numeric(self) -> list[bool]:
        """By column."""
        return [all(_NUMBER.match(str(cell)) for cell in self.rows[column]) for column in self.rows.columns]


def render(runs: Runs, quiet: bool = True) -> str:
    """The page on these runs; the same records give the same text.

    Args:
        runs: of any source, world and size.
        quiet: no progress bar.

    Raises:
        RecordError: a record is damaged, or two runs of a setting have the same method and seed; names the file.
    """
    settings = runs.settings()
    drawn, left = richest(runs)
    charts = [*setting_charts(drawn), *horizon_charts(runs)]
    parts = len(settings) + len(charts) + num_figures(runs, drawn) + 1
    with tqdm(total=parts, desc="report", unit="part", disable=quiet, dynamic_ncols=True) as bar:
        worlds = find_worlds(settings, bar.update)
        to_explore = []
        for number, chart in enumerate(charts):
            to_explore.append((f"chart-{number}", chart, embedded(chart, f"chart-{number}")))
            bar.update()
        galleries = [*study_galleries(runs, bar.update), *setting_galleries(drawn, bar.update)]
        text_tables = [*_training_tables(worlds), *_sweep_tables(runs)]
        bar.update()
    bare = sum(not setting.kept("rounds") for setting in settings)
    return _template().render(
        title=", ".join(dict.fromkeys(info["experiment"] for info in runs.infos.values())),
        num_runs=len(runs.infos),
        num_settings=len(settings),
        rule=RULE,
        notes=notes(runs),
        worlds=worlds,
        describe=describe,
        charts=to_explore,
        library=library() if charts else "",
        galleries=galleries,
        undrawn=[f"{setting_title(setting)}; {describe(setting)}" for setting in left],
        num_bare=bare,
        tables=text_tables,
        origins=origins(settings),
        table=Table,
        legend=legend,
    )


def _training_tables(worlds: list[World]) -> list[Table]:
    found = []
    for world in worlds:
        for label, runs in zip(world.labels, world.settings, strict=True):
            if runs.source == "llm" and runs.kept("rounds"):
                title = "; ".join(filter(None, [world.title, label]))
                rows = training_tables.readable(training_tables.training_summary(runs))
                found.append(Table(title, rows, training_tables.MEANING))
    return found


def _sweep_tables(runs: Runs) -> list[Table]:
    """One a sweep, at the largest K that all allocators share; where unlike runs would mix, one a setting."""
    found = []
    simulated = runs.only(run_id for run_id, info in runs.infos.items() if info["source"] == "sim")
    for experiment, own in by_experiment(simulated):
        try:
            title = f"{experiment}, at the largest K that all allocators share"
            found.append(Table(title, _sweep_rows(own), f"{sweep_tables.MEANING} {offline_check(own)}".rstrip()))
        except RecordError:
            for one in own.settings():
                title = f"{experiment}; {setting_title(one)}; {describe(one)}"
                found.append(Table(title, _sweep_rows(one), f"{sweep_tables.MEANING} {offline_check(one)}".rstrip()))
    return found


def _sweep_rows(runs: Runs) -> pd.DataFrame:
    return sweep_tables.readable(sweep_tables.sweep_summary(results_frame(runs)))


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.policies["json.dumps_kwargs"] = {}  # sorted keys would put references before what they refer to
    environment.globals["asset"] = _asset
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%")
    return environment.get_template("page.html")


def _asset(name: str) -> Any:
    """A file beside this one, to stand in the page as it is."""
    from markupsafe import Markup

    return Markup((_HERE / name).read_text(encoding="utf-8"))
