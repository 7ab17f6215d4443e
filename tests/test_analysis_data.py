"""Hand-made sweeps that the tests of analysis share, and a check that they can be loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.load import load_runs
from analysis.data.results import results_frame
from cerolab.records import RunSettings, RunWriter
from cerolab.records.files import write_json

Info = dict[str, Any]


def make_info(
    method: str = "cero",
    seed: int = 0,
    num_prompts: int = 10,
    num_rounds: int = 100,
    study: str = "horizon",
    population: str = "beta(1, 1)",
    dynamics: str = "static",
    options: Mapping[str, Any] | None = None,
    saturation: float = 1.0,
    **results: Any,
) -> Info:
    """The run.json of a run with round numbers; ``results`` replaces some of them."""
    settings = RunSettings(
        source="sim",
        experiment="sweep",
        method=method,
        seed=seed,
        options=dict(options or {}),
        problem={
            "num_prompts": num_prompts,
            "num_rounds": num_rounds,
            "budget": num_prompts * num_rounds // 2,
            "capacity": num_prompts,
            "max_units": 2,
            "responses_per_unit": 4,
            "saturation": saturation,
        },
        scenario={"study": study, "population": population, "dynamics": dynamics, "rewards": "binary"},
    )
    budget = settings.problem["budget"]
    estimates = method not in ("uniform", "oracle")
    numbers = {
        "value": 5.0,
        "optimum": 5.0 + 0.1 * num_prompts,
        "optimum_kind": "static exact" if dynamics == "static" else "same-path upper bound",
        "regret": 0.1 * num_prompts,
        "regret_per_prompt": 0.1,
        "variation": 0.0,
        "estimation_error": 0.02 if estimates else None,
        "bound_total": 1.0 if estimates else None,
        "bound_optimisation": 0.5 if estimates else None,
        "bound_estimation": 0.6 if estimates else None,
        "bound_variation": 0.0 if estimates else None,
        "units_spent": budget,
        "unspent_units": 0,
        "responses": 4 * budget,
        "rounds_spent": num_rounds,
        "groups": budget,
        "effective_groups": budget // 2,
        "effective_group_rate": 0.5,
        "peak_pacing_gap_responses": 8.0,
        "final_pacing_gap_responses": 0,
        "heldout_start": None,
        "heldout_end": None,
        "seconds": 0.25,
    }
    return {
        "schema_version": 1,
        "run_id": settings.run_id,
        **settings.to_dict(),
        "provenance": {},
        "started": "2026-01-01T00:00:00+00:00",
        "finished": "2026-01-01T00:00:01+00:00",
        "status": "finished",
        "results": numbers | results,
    }


def write_infos(directory: Path, infos: Sequence[Info]) -> Path:
    """Write each run.json into its run's folder; returns ``directory``."""
    for info in infos:
        (directory / info["run_id"]).mkdir(parents=True)
        write_json(directory / info["run_id"] / "run.json", info)
    return directory


def load_sweep(directory: Path) -> pd.DataFrame:
    """The results of all runs of a sweep."""
    return results_frame(load_runs(directory))


def power_law(scale: float, power: float) -> Callable[[int, int], float]:
    """Regret per prompt of a seed and horizon: a power law, scaled by 1 + seed."""
    return lambda seed, num_rounds: scale * (1 + seed) * num_rounds**power


def horizon_infos(
    laws: Mapping[str, Callable[[int, int], float]],
    seeds: int = 3,
    horizons: Sequence[int] = (100, 400, 1600),
    population: str = "beta(1, 1)",
    **results: Any,
) -> list[Info]:
    """A study of horizons in which each method's regret per prompt follows its law."""
    return [
        make_info(
            method,
            seed,
            num_rounds=horizon,
            population=population,
            **({"regret_per_prompt": law(seed, horizon), "regret": 10 * law(seed, horizon)} | results),
        )
        for method, law in laws.items()
        for seed in range(seeds)
        for horizon in horizons
    ]


def write_detailed_run(directory: Path, method: str, units_per_round: Sequence[int], predicts: bool = True) -> Path:
    """A run of 4 prompts with all tables: round k gives one unit each to prompts 0, 1, ...; half are effective.

    The pool holds two prompts of predicted success 0.1 and two of 0.5; prompts 0 and 1 are those of 0.5.
    """
    settings = RunSettings(
        source="sim",
        experiment="sweep",
        method=method,
        seed=0,
        problem={
            "num_prompts": 4,
            "num_rounds": len(units_per_round),
            "budget": 12,
            "capacity": 4,
            "max_units": 2,
            "responses_per_unit": 4,
            "saturation": 1.0,
        },
        scenario={"study": "single", "population": "beta(1, 1)", "dynamics": "static", "rewards": "binary"},
        detail=("rounds", "groups", "pool"),
    )
    writer = RunWriter(directory, settings, {})
    predicted = np.array([0.5, 0.5, 0.1, 0.1]) if predicts else np.full(4, np.nan)
    histogram = np.zeros(20, np.int64)
    if predicts:
        histogram[[2, 10]] = 2
    exposure, remaining = np.zeros(4, np.int64), 12
    for k, units in enumerate(units_per_round):
        prompts = np.arange(units)
        remaining -= units
        writer.append(
            "rounds",
            {
                "round": k,
                "price": 0.5,
                "virtual_units": units,
                "units": units,
                "remaining_units": remaining,
                "waves": 1,
                "groups": units,
                "effective_groups": units // 2,
                "trained_groups": units,
                "responses": 4 * units,
                "reward_sum": 2.0 * units,
                "tokens": 0,
                "updated": units > 0,
                "predicted_value_mean": 0.2,
                "observed_value_mean": 0.2,
                "true_value_mean": 0.2,
                "value": 0.1 * k,
                "pool_histogram": histogram[None, :],
                "seconds_allocate": 0.0,
                "seconds_rollout": 0.0,
                "seconds_train": 0.0,
                "seconds_observe": 0.0,
            },
        )
        writer.append(
            "groups",
            {
                "round": np.full(units, k),
                "wave": np.zeros(units, np.int64),
                "prompt": prompts,
                "units": np.ones(units, np.int64),
                "responses": np.full(units, 4),
                "reward_sum": np.full(units, 2.0),
                "reward_mean": np.full(units, 0.5),
                "reward_variance": np.full(units, 0.25),
                "predicted_success": predicted[:units],
                "predicted_value": np.full(units, 0.2),
                "true_success": np.full(units, 0.5),
                "exposure_before": exposure[:units],
                "tokens": np.zeros(units, np.int64),
                "trained": np.ones(units, np.bool_),
            },
        )
        exposure[:units] += 1
    writer.append(
        "pool",
        {
            "prompt": np.arange(4),
            "exposure": exposure,
            "true_success_start": np.full(4, 0.5),
            "true_success_end": np.full(4, 0.5),
            "optimal_exposure": np.full(4, 3),
        },
    )
    writer.finish(make_info(method)["results"])
    return writer.path


def test_hand_made_sweep_can_be_loaded(tmp_path: Path) -> None:
    infos = horizon_infos({"cero": power_law(0.5, -0.5), "uniform": power_law(0.1, 0.0)}, seeds=2)
    write_detailed_run(tmp_path, "cero", (3, 3, 3, 3))
    assert len(load_sweep(write_infos(tmp_path, infos))) == 13
