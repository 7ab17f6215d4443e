"""A recorded training experiment as the replica sees it: what was run, and the tables of the uniform runs alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cerolab import AllocationProblem
from cerolab.errors import RecordError
from cerolab.records import method_label, read_infos, read_rows
from cerolab.records.settings import differing_keys
from cerolab.tools.method import Method

if TYPE_CHECKING:
    import pandas as pd

_BASELINE = "uniform"
_ALL = "all"  # the suite: mean over questions; the problem: mean of the suite
_EXACT_PASS = 16  # n of pass@n where success rates are known exactly, see the record's schema


@dataclass(frozen=True)
class Recorded:
    """The finished runs of one training experiment, all with the same problem and scenario.

    Attributes:
        experiment: its name.
        problem, scenario: of all its runs.
        methods: every method that was run, by label.
        num_seeds: most seeds of a method.
        results: of every run, by method label.
        uniform: ids of the uniform runs; the tables below are theirs, with the columns of the record behind run_id.
        groups, rounds: as recorded.
        evals: the evaluations of the mean over all held-out questions, of the kind of the first.
        pass_samples: n of pass@n in ``evals``.
    """

    experiment: str
    problem: AllocationProblem
    scenario: Mapping[str, Any]
    methods: Mapping[str, Method]
    num_seeds: int
    results: Mapping[str, list[Mapping[str, Any]]]
    uniform: tuple[str, ...]
    groups: pd.DataFrame
    rounds: pd.DataFrame
    evals: pd.DataFrame
    pass_samples: int


def read_recorded(directory: Path) -> Recorded:
    """The finished runs of a training experiment.

    Raises:
        RecordError: there is no finished run, one is of a simulator, the runs differ in problem or scenario, none is
            uniform's, or the uniform runs lack what the fit needs; says what would be right.
    """
    infos = read_infos(directory)
    if not infos:
        raise RecordError(f"{directory}: no finished run in it; give the folder of a training experiment")
    _refuse_unlike(infos, directory)
    first = next(iter(infos.values()))
    _refuse_other_questions(first["scenario"], directory)
    methods = {
        method_label(info["method"], info["options"]): Method(name=info["method"], options=info["options"])
        for info in infos.values()
    }
    results: dict[str, list[Mapping[str, Any]]] = {label: [] for label in sorted(methods)}
    for info in infos.values():
        results[method_label(info["method"], info["options"])].append(info["results"])
    uniform = tuple(sorted(run_id for run_id, info in infos.items() if info["method"] == _BASELINE))
    if not uniform:
        raise RecordError(
            f"{directory}: no finished run of {_BASELINE}, to which the replica is fitted; train one first"
        )
    evals = _table(directory, uniform, "evals")
    evals = evals[(evals["suite"] == _ALL) & (evals["problem"] == _ALL)]
    evals = evals[evals["samples"] == evals.groupby("run_id")["samples"].transform("first")]
    if evals["round"].nunique() < 4:
        raise RecordError(
            f"{directory}: the {_BASELINE} runs were evaluated at {evals['round'].nunique()} rounds, too few for a "
            "curve; evaluate 4 times or more (--eval-every)"
        )
    groups = _table(directory, uniform, "groups")
    if (groups["reward_sum"] % 1.0).any():
        raise RecordError(f"{directory}: rewards are graded; only a training with rewards 0 and 1 can be replicated")
    return Recorded(
        experiment=first["experiment"],
        problem=AllocationProblem(**first["problem"]),
        scenario=first["scenario"],
        methods={label: methods[label] for label in sorted(methods)},
        num_seeds=max(len(runs) for runs in results.values()),
        results=results,
        uniform=uniform,
        groups=groups,
        rounds=_table(directory, uniform, "rounds"),
        evals=evals,
        pass_samples=int(evals["samples"].iloc[0]) or _EXACT_PASS,
    )


def _refuse_unlike(infos: Mapping[str, Mapping[str, Any]], directory: Path) -> None:
    """Refuse runs of a simulator, and runs that do not share one problem and one scenario."""
    first_id, *others = sorted(infos)
    for run_id in (first_id, *others):
        if infos[run_id]["source"] == "sim":
            raise RecordError(
                f"{directory}: run {run_id} is of the simulator; give the folder of a training experiment"
            )
    for run_id in others:
        for part in ("problem", "scenario"):
            here, there = infos[first_id][part], infos[run_id][part]
            differ = [f"{key} ({here.get(key)!r} and {there.get(key)!r})" for key in differing_keys(here, there)]
            if differ:
                raise RecordError(
                    f"{directory}: runs {first_id} and {run_id} differ in {', '.join(differ)}; a replica is of runs "
                    "with one problem and one scenario, so put them in experiments of their own"
                )


def _refuse_other_questions(scenario: Mapping[str, Any], directory: Path) -> None:
    """Refuse evaluations that are not of the pool's own kind: the replica's held-out part is drawn like the pool."""
    if scenario.get("eval_task") is not None:
        raise RecordError(
            f"{directory}: eval_task={scenario['eval_task']!r} asks other questions than the pool has; "
            "only a training that holds out a part of its own task can be replicated"
        )
    train, test = scenario.get("temperature"), scenario.get("eval_temperature")
    if train != test:
        raise RecordError(
            f"{directory}: eval_temperature={test!r} is not the training's temperature={train!r}, so that accuracy is "
            "no mean success rate; only a training that is evaluated as it samples can be replicated"
        )


def _table(directory: Path, run_ids: tuple[str, ...], table: str) -> pd.DataFrame:
    rows = read_rows(directory, table).to_pandas()
    rows = rows[rows["run_id"].isin(run_ids)]
    bare = sorted(set(run_ids) - set(rows["run_id"]))
    if bare:
        raise RecordError(
            f"{directory}: no {table} table of run {bare[0]} and of {len(bare) - 1} other runs of {_BASELINE}; "
            f"the fit needs their groups, rounds and evals, and packed experiments keep no groups"
        )
    return rows
