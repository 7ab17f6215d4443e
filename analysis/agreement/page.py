"""The agreement of a training and its replica: table, sentences and figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.agreement.effects import Effect, find_effects
from analysis.agreement.findings import CAUTION, effect_lines, score_lines
from analysis.data.describe import describe
from analysis.data.load import Runs
from analysis.data.methods import method_name
from analysis.figures import accuracy
from analysis.plotting import draw, style
from analysis.plotting.layout import set_heading
from analysis.stats.heldout import NOT_REACHED, REACHING
from analysis.stats.intervals import signed
from analysis.stats.scores import find_scores
from analysis.tables.sweep_tables import to_markdown
from analysis.tables.training_tables import training_summary
from cerolab.errors import RecordError
from cerolab.records.settings import differing_keys

CAPTION = "Held-out accuracy: measured in training, and predicted by its replica"
MEANING = (
    "Each cell: measured in training, then predicted by the replica, means over seeds. The replica was fitted to the "
    "uniform runs alone. Against Uniform: final held-out accuracy, percentage points. Curve: root mean "
    "square of predicted minus measured gain of accuracy since the start, percentage points. "
    f"{REACHING}"
)


@dataclass(frozen=True, eq=False)
class Agreement:
    """A training beside its replica.

    Attributes:
        table: a row an allocator, as text.
        sections: heading and sentences of each.
    """

    training: Runs
    replica: Runs
    table: pd.DataFrame
    sections: dict[str, list[str]]

    def markdown(self) -> str:
        """All of it as a page."""
        parts = [f"# {self.training.title} and its replica", to_markdown(self.table), MEANING]
        parts += [f"{runs.title}; {describe(runs)}." for runs in (self.training, self.replica)]
        for heading, lines in self.sections.items():
            parts += [f"## {heading}", "\n".join(f"- {line}" for line in lines)]
        return "\n\n".join([*parts, CAUTION]) + "\n"

    def draw(self, stem: Path, vector: str = "svg") -> list[Path]:
        """Accuracy curves of both, on the same axes, see ``style.save``; returns the paths."""
        both = [self.training, self.replica]
        figure = draw.draw(accuracy, both)
        set_heading(figure, CAPTION, draw.footer(accuracy, both))
        low, high = zip(*(panel.get_ylim() for panel in figure.axes), strict=True)
        for panel in figure.axes:
            panel.set_ylim(min(low), max(high))
        return style.save(figure, stem, vector)


def find_agreement(training: Runs, replica: Runs) -> Agreement:
    """Compare a training with its replica.

    Args:
        training, replica: each of one setting, see ``load_setting``.

    Raises:
        RecordError: they are not a training and a simulation of the same problem, or have no two allocators in common.
    """
    _refuse_unlike(training, replica)
    effects = find_effects(training, replica)
    if len(effects) < 2:
        raise RecordError(
            f"{_folder(replica)}: fewer than two allocators in common with {_folder(training)}; "
            "simulate what is missing by python -m sim.replica"
        )
    ours, theirs = ({score.name: score for score in find_scores(runs)} for runs in (training, replica))
    sections = {"Final accuracy against Uniform's": effect_lines(effects)}
    for name, score in ours.items():
        if name in theirs:
            sections[f"Ranking by {name}"] = score_lines(score, theirs[name])
    absent = sorted(set(training.frame["method"]) - set(replica.frame["method"]))
    if absent:
        names = ", ".join(method_name(method) for method in absent)
        sections["Left out"] = [f"Trained but not simulated: {names}."]
    return Agreement(training, replica, _table(training, replica, effects), sections)


def _refuse_unlike(training: Runs, replica: Runs) -> None:
    for runs, source in ((training, "llm"), (replica, "sim")):
        if runs.source != source:
            raise RecordError(
                f"{_folder(runs)}: its runs are of source {runs.source!r}, not {source!r}; "
                "give the folder of a training, then that of its replica"
            )
    differ = differing_keys(training.problem, replica.problem)
    if differ:
        values = [f"{key} ({training.problem.get(key)!r} and {replica.problem.get(key)!r})" for key in differ]
        raise RecordError(
            f"{_folder(training)} and {_folder(replica)} differ in {', '.join(values)}; "
            "give the replica of this training"
        )


def _table(training: Runs, replica: Runs, effects: list[Effect]) -> pd.DataFrame:
    ours, theirs = (
        {row["method"]: row for row in training_summary(runs).to_dict("records")} for runs in (training, replica)
    )
    rows = []
    for effect in effects:
        both = ours[effect.method], theirs[effect.method]
        rows.append(
            {
                "allocator": method_name(effect.method),
                "seeds": " | ".join(str(row["num_seeds"]) for row in both),
                "accuracy at end, %": _pair([row["accuracy_end"] for row in both]),
                "against Uniform, points": _pair([row["difference"] for row in both]),
                "curve, points": f"{effect.curve_misfit:.2f}",
                "effective groups, %": _pair([100.0 * row["effective_group_rate"] for row in both], 1),
                f"pass@{both[0]['n']:.0f}, %": _pair([row["pass_at_n"] for row in both]),
                "responses, %": " | ".join(_share(row["reach_share"], row["reach_seeds"]) for row in both),
            }
        )
    return pd.DataFrame(rows)


def _pair(numbers: Sequence[float], digits: int = 2) -> str:
    """``13.36 | 14.44``; nothing where neither is known."""
    texts = ["" if np.isnan(number) else signed(number, digits) for number in numbers]
    return " | ".join(texts) if any(texts) else ""


def _share(share: float, reached: int) -> str:
    if np.isnan(share):
        return ""
    return f"{100 * share:.0f}" if reached else NOT_REACHED


def _folder(runs: Runs) -> Path:
    return next(iter(runs.folders.values()))
