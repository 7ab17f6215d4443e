"""The paper's tables from our own records, the published numbers beside them in rows or columns of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.data.load import Runs
from analysis.data.methods import in_order, method_name
from analysis.data.worlds import population_title
from analysis.stats.heldout import BASELINE, MACRO, OVERALL, suite_scores
from analysis.stats.intervals import NO_INTERVAL, PLUS_MINUS, Interval, mean_interval, plus_minus, welch_difference
from analysis.tables.mechanism import mechanism
from analysis.tables.published import ABLATIONS, MAIN, MECHANISM, SOURCE
from analysis.tables.same import row_written
from analysis.tables.sweep_tables import sweep_summary, to_markdown
from cerolab.records.files import write_text

_MEANING = (
    f"Means over seeds; {PLUS_MINUS}; brackets: 95 % t-interval of a difference, Welch's, for trainings share no luck. "
    "No interval for one seed; none is corrected for the number of rows."
)
_PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class PaperTable:
    """A table as people read it, and its numbers.

    Attributes:
        stem: name of its files.
        caption: what it holds, with seeds and sources.
        cells: text, a column each.
        numbers: the same, tidy: a row a number or an estimate with its interval, all in one unit.
    """

    stem: str
    caption: str
    cells: pd.DataFrame
    numbers: pd.DataFrame

    @property
    def markdown(self) -> str:
        """For README and pages."""
        return f"{to_markdown(self.cells)}\n\n{self.caption}\n"

    @property
    def latex(self) -> str:
        """A ``table*`` with booktabs rules."""
        made = self.cells.to_latex(index=False, escape=True, caption=_tex(self.caption), label=f"tab:{self.stem}")
        return _signs(made).replace("{table}", "{table*}").replace("\\begin{tabular}", "\\small\n\\begin{tabular}")

    def save(self, folder: Path) -> list[Path]:
        """Write STEM.md, STEM.tex and STEM.csv; returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = [row_written({str(name): x for name, x in row.items()}) for row in self.numbers.to_dict("records")]
        numbers = pd.DataFrame(rows, columns=self.numbers.columns).to_csv(index=False)
        contents = {"md": self.markdown, "tex": self.latex, "csv": numbers}
        for kind, text in contents.items():
            write_text(folder / f"{self.stem}.{kind}", text)
        return [folder / f"{self.stem}.{kind}" for kind in contents]


def main_results(trainings: Sequence[Runs]) -> PaperTable:
    """Table 1: avg@16 and pass@16 by suite and macro-averaged, every method in every training."""
    numbers, cells = [], []
    for runs in trainings:
        scores = suite_scores(runs)
        exact = bool((scores["samples"] == 0).all())
        suites = [MACRO, OVERALL, *sorted(set(scores["suite"]) - {MACRO, OVERALL})]
        for method in in_order(runs.frame["method"]):
            row = {"where": runs.title, "method": method_name(method)}
            for suite in suites:
                of_suite = scores[scores["suite"] == suite]
                of_method = of_suite[of_suite["method"] == method]
                difference = _difference(of_suite, method, BASELINE)
                numbers.append(_estimate(runs.title, method, suite, of_method, difference))
                row[_heading(suite)] = _scores(of_method, spread=suite in (MACRO, OVERALL))
                if suite == MACRO and method != BASELINE:
                    row["against Uniform, points"] = difference.text()
            cells.append(row | {"seeds": str(numbers[-1]["num_seeds"])})
    for backbone, by_method in MAIN.items():
        for method, score in by_method.items():
            where = f"Published: {backbone}"
            numbers.append(
                {"where": where, "source": _PUBLISHED, "method": method, "suite": MACRO, "num_seeds": 1}
                | {"avg_at_n": score.avg_at_16, "pass_at_n": score.pass_at_16}
            )
            text = f"{score.avg_at_16:.2f} / {score.pass_at_16:.2f}"
            cells.append({"where": where, "method": method_name(method), _heading(MACRO): text, "seeds": "1"})
    caption = (
        "Table 1. avg@16 / pass@16 in percent after equal responses. Ours: held-out questions at the rollout "
        + ("temperature, exact success rates in place of 16 samples. " if exact else "temperature. ")
        + f"{_MEANING} Published rows ({SOURCE}) are other models and suites, one seed: for the shape, not to compare."
    )
    columns = ["where", "method", "seeds", _heading(MACRO), "against Uniform, points", _heading(OVERALL)]
    found = pd.DataFrame(cells)
    rest = sorted(set(found.columns) - set(columns))
    return PaperTable("table1_main", caption, found[[*columns, *rest]].fillna(""), pd.DataFrame(numbers))


def ablations(trainings: Sequence[Runs], sweep: pd.DataFrame | None = None) -> PaperTable:
    """Table 2: CERO and its ablations: avg@16 of each training, and regret in the simulator.

    Args:
        trainings: one setting each.
        sweep: results of the study "horizon", see ``analysis.data.results``.
    """
    numbers: list[dict[str, object]] = []
    cells = pd.DataFrame({"method": [method_name(method) for method in ABLATIONS]}, index=list(ABLATIONS))
    cells["published avg@16, % (standard deviation)"] = [f"{mean:.2f} ({sd:.2f})" for mean, sd in ABLATIONS.values()]
    for method, (mean, sd) in ABLATIONS.items():
        numbers.append(
            {"where": "DeepSeek-R1-Distill-Qwen-1.5B", "source": _PUBLISHED, "method": method}
            | {"quantity": "avg_at_16", "mean": mean, "sd": sd, "num_seeds": 3}
        )
    for runs in trainings:
        scores = suite_scores(runs)
        macro = scores[scores["suite"] == MACRO]
        for method in ABLATIONS:
            values = macro[macro["method"] == method]["avg_at_n"]
            if values.empty:
                continue
            difference = _difference(macro, method, "cero")
            cells.loc[method, f"{runs.title}: avg@16, %"] = f"{plus_minus(values)} ({_seeds(len(values))})"
            if method != "cero":
                cells.loc[method, f"{runs.title}: against CERO, points"] = difference.text()
            numbers.append(
                {"where": runs.title, "source": runs.source, "method": method, "quantity": "avg_at_16"}
                | _moments(values)
                | _bounds(difference)
            )
    if sweep is not None and not sweep.empty:
        summary = sweep_summary(sweep)
        summary = summary[summary["method"].isin(list(ABLATIONS))]
        for row in summary.to_dict("records"):
            where, horizon = str(row["population"]), row["num_rounds"]
            column = f"Simulator: regret per prompt, {population_title(where)}, K = {horizon:,}"
            half = "" if np.isnan(row["regret_half"]) else f" ± {row['regret_half']:.5f}"
            cells.loc[row["method"], column] = f"{row['regret_mean']:.5f}{half}"
            numbers.append(
                {"where": where, "source": "sim", "method": row["method"]}
                | {"quantity": f"regret_per_prompt at K = {horizon}", "mean": row["regret_mean"]}
                | {"half": row["regret_half"], "num_seeds": row["num_seeds"]}
            )
    caption = (
        f"Table 2. CERO and its ablations. avg@16: macro-average over suites. {_MEANING} Published ({SOURCE}): "
        "1.5B model, mean and, in brackets, standard deviation of three seeds. Regret: static success rates, lower is "
        "better."
    )
    return PaperTable("table2_ablations", caption, cells.reset_index(drop=True).fillna(""), pd.DataFrame(numbers))


def mechanisms(settings: Sequence[Runs]) -> PaperTable:
    """Table 3: what CERO does, in the paper and in every setting here, see ``analysis.tables.mechanism``."""
    measured = {runs.title: mechanism(runs) for runs in settings}
    names = list(dict.fromkeys([*MECHANISM, *(name for found in measured.values() for name in found)]))
    cells = pd.DataFrame({"quantity": names, "published": [MECHANISM.get(name, "") for name in names]})
    numbers: list[dict[str, object]] = [
        {"quantity": name, "where": "DeepSeek-R1-Distill-Qwen-1.5B", "source": _PUBLISHED, "published": text}
        for name, text in MECHANISM.items()
    ]
    for runs in settings:
        found = measured[runs.title]
        cells[runs.title] = [_told(found[name]) if name in found else "" for name in names]
        numbers += [
            {"quantity": name, "where": runs.title, "source": runs.source} | _moments(values)
            for name, values in found.items()
        ]
    seeds = "; ".join(f"{runs.title}: {_seeds(runs.frame['seed'].nunique())}" for runs in settings)
    caption = (
        f"Table 3. The mechanism of CERO. Means over seeds ({seeds}); {PLUS_MINUS}; of CERO over Uniform the "
        f"ratio of the two means, whose seeds are not paired. Published ({SOURCE}): real "
        "training of a 1.5B model, one seed; pools and models differ, so rates need not agree. Seconds of our "
        "trainings were taken on a machine that had other work, and say little."
    )
    return PaperTable("table3_mechanism", caption, cells, pd.DataFrame(numbers))


def _difference(scores: pd.DataFrame, method: str, baseline: str) -> Interval:
    """Of avg@n to the baseline's, in training."""
    by_seed = scores.pivot_table(index="seed", columns="method", values="avg_at_n")
    if not {method, baseline} <= set(by_seed.columns):
        return NO_INTERVAL
    return welch_difference(by_seed[method].to_numpy(), by_seed[baseline].to_numpy())


def _estimate(where: str, method: str, suite: str, scores: pd.DataFrame, difference: Interval) -> dict[str, object]:
    return {
        "where": where,
        "source": "llm",
        "method": method,
        "suite": suite,
        "num_seeds": len(scores),
        "avg_at_n": scores["avg_at_n"].mean(),
        "avg_half": mean_interval(scores["avg_at_n"]).half,
        "pass_at_n": scores["pass_at_n"].mean(),
        "pass_half": mean_interval(scores["pass_at_n"]).half,
        **_bounds(difference),
    }


def _told(found: Sequence[float] | Interval) -> str:
    return found.plus_minus(digits=None) if isinstance(found, Interval) else plus_minus(found, digits=None)


def _moments(values: Sequence[float] | pd.Series[float] | Interval) -> dict[str, object]:
    found = values if isinstance(values, Interval) else mean_interval(values)
    return {"mean": found.estimate, "half": found.half, "num_seeds": found.num_seeds}


def _bounds(difference: Interval) -> dict[str, float]:
    return {"difference": difference.estimate, "difference_low": difference.low, "difference_high": difference.high}


def _scores(scores: pd.DataFrame, spread: bool) -> str:
    """avg@n / pass@n, with their intervals or without."""
    if scores.empty:
        return ""
    if spread:
        return " / ".join(plus_minus(scores[name]) for name in ("avg_at_n", "pass_at_n"))
    return " / ".join(f"{scores[name].mean():.1f}" for name in ("avg_at_n", "pass_at_n"))


def _heading(suite: str) -> str:
    return {MACRO: "macro-average", OVERALL: "all questions"}.get(suite, suite)


def _seeds(count: int) -> str:
    return f"{count} seed{'' if count == 1 else 's'}"


def _tex(text: str) -> str:
    return text.replace("%", "\\%").replace("_", "\\_")


def _signs(text: str) -> str:
    return text.replace("±", "$\\pm$").replace("\N{MINUS SIGN}", "$-$").replace("·", "$\\cdot$")
