"""What a training writes down: rounds, groups, evaluations, the pool; and the progress bar."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from tqdm import tqdm

from cerolab import BudgetLedger
from cerolab.groups import mixed_groups, whole_groups
from cerolab.records import RunWriter
from cerolab.records.rounds import RoundView, append_round
from llm.evaluation.accuracy import ALL, SuiteScore

DETAIL = ("rounds", "groups", "evals", "pool")
_MEMORY = 0.9  # of the smoothed numbers on the progress bar
_LABEL = 10  # characters of the allocator's name there


class TrainRecorder:
    """Records rounds and evaluations; call ``flush`` before a checkpoint is taken.

    Args:
        writer: the run's record; None records nothing (processes other than the first).
        ledger: the training's.
        label: on the progress bar.
        quiet: no progress bar.
    """

    def __init__(self, writer: RunWriter | None, ledger: BudgetLedger, label: str, quiet: bool):
        self._writer, self.ledger = writer, ledger
        self._smooth: dict[str, float] = {}
        self._shown: dict[str, str] = {}
        self._bar = tqdm(
            total=ledger.problem.num_rounds, desc=_label(label), unit="round", disable=quiet, dynamic_ncols=True,
            smoothing=0.05, bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix} <{remaining}",
        )  # fmt: skip

    def __call__(self, view: RoundView) -> None:
        """Record one round and move the bar."""
        if self._writer is not None:
            append_round(self._writer, view)
        self._show(view)

    def flush(self) -> None:
        """Put all rounds and evaluations so far on disk."""
        if self._writer is not None:
            self._writer.flush()

    def _show(self, view: RoundView) -> None:
        self._bar.update(view.index + 1 - self._bar.n)
        whole = whole_groups(view.waves)
        if whole.allocation.num_groups:
            graded, total = float(np.sum(whole.feedback.num_responses)), float(np.sum(whole.feedback.reward_sum))
            effective = float(mixed_groups(whole).mean())
            for name, value in (("reward", total / max(graded, 1.0)), ("mixed", effective)):
                self._smooth[name] = _MEMORY * self._smooth.get(name, value) + (1 - _MEMORY) * value
        self._shown |= {name: f"{value:.2f}" for name, value in self._smooth.items()}
        self._bar.set_postfix_str(", ".join(f"{name} {value}" for name, value in self._shown.items()))

    def evaluated(self, found: Iterable[SuiteScore]) -> None:
        """Record an evaluation before the next round."""
        for score in found:
            if score.suite == ALL and score.problem == "all":
                self._shown["acc"] = f"{score.avg_at_n:.3f}"
            if self._writer is not None:
                self._writer.append(
                    "evals",
                    {
                        "round": self.ledger.round_index,
                        "responses_spent": self.ledger.responses,
                        "suite": score.suite,
                        "problem": score.problem,
                        "samples": score.samples,
                        "avg_at_n": score.avg_at_n,
                        "pass_at_n": score.pass_at_n,
                    },
                )

    def summary(self) -> dict[str, Any]:
        """The run's numbers, over its whole life, those before a resume too."""
        if self._writer is None:
            return {}
        rounds = self._writer.so_far("rounds").to_pandas()
        evals = self._writer.so_far("evals").to_pandas()
        overall = evals[(evals["suite"] == ALL) & (evals["problem"] == "all")]
        ledger = self.ledger
        pace = rounds["units"].cumsum() - (rounds["round"] + 1) * ledger.problem.mean_spend
        groups = int(rounds["groups"].sum())
        curve = overall[overall["samples"] == overall["samples"].iloc[0]] if len(overall) else overall
        return {
            "units_spent": ledger.units,
            "unspent_units": ledger.remaining,
            "responses": ledger.responses,
            "tokens": ledger.tokens,
            "updates": ledger.updates,
            "rounds": ledger.round_index,
            "rounds_spent": int((rounds["units"] > 0).sum()),
            "groups": groups,
            "effective_groups": int(rounds["effective_groups"].sum()),
            "effective_group_rate": int(rounds["effective_groups"].sum()) / groups if groups else None,
            "peak_pacing_gap_responses": float(pace.max()) * ledger.problem.responses_per_unit,
            "final_pacing_gap_responses": -ledger.remaining_responses,
            "heldout_start": float(curve["avg_at_n"].iloc[0]) if len(curve) else None,
            "heldout_end": float(curve["avg_at_n"].iloc[-1]) if len(curve) else None,
            **{
                f"seconds_{phase}": float(rounds[f"seconds_{phase}"].sum())
                for phase in ("allocate", "rollout", "train")
            },
        }

    def trained(self) -> None:
        """The training is over; rounds left without budget are as good as done."""
        self._bar.update(self.ledger.problem.num_rounds - self._bar.n)

    def close(self) -> None:
        """Let go of the bar, where it stands."""
        self._bar.close()


def _label(method: str) -> str:
    """A name that leaves a terminal of 80 columns room for the numbers."""
    return method if len(method) <= _LABEL else f"{method[: _LABEL - 1]}…"
