"""Loading run records: a million group rows to one checked data frame, beside reading the files alone."""

import numpy as np
import pandas as pd
import pytest

from analysis.data.load import load_setting
from benchmarks.yardstick import Yardstick
from cerolab.records import RunSettings, RunWriter

RUNS, ROWS = 10, 100_000
PROBLEM = {
    "num_prompts": 8000,
    "num_rounds": 500,
    "budget": 64_000,
    "capacity": 132,
    "max_units": 2,
    "responses_per_unit": 4,
    "saturation": 1.0,
}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    for seed in range(RUNS):
        settings = RunSettings(
            source="llm", experiment="study", method="cero", problem=PROBLEM, seed=seed, detail=("groups",)
        )
        writer = RunWriter(folder, settings, {})
        successes = rng.binomial(8, 0.3, ROWS).astype(float)
        writer.append(
            "groups",
            {
                "round": np.arange(ROWS) * PROBLEM["num_rounds"] // ROWS,
                "wave": np.zeros(ROWS, np.int64),
                "prompt": rng.integers(PROBLEM["num_prompts"], size=ROWS),
                "units": np.full(ROWS, 2),
                "responses": np.full(ROWS, 8),
                "reward_sum": successes,
                "reward_mean": successes / 8,
                "reward_variance": successes * (8 - successes) / 56,
                "predicted_success": rng.random(ROWS),
                "predicted_value": rng.random(ROWS) / 4,
                "true_success": np.full(ROWS, np.nan),
                "exposure_before": rng.integers(20, size=ROWS),
                "tokens": rng.integers(100, size=ROWS),
                "trained": np.ones(ROWS, np.bool_),
            },
        )
        writer.finish({})
    return folder


def test_load_million_groups(benchmark, records):
    files = sorted(records.rglob("groups.parquet"))
    assert len(files) == RUNS
    plain = Yardstick("reading the parquet files", lambda: pd.concat([pd.read_parquet(file) for file in files]))

    def load():
        assert len(load_setting(records).table("groups")) == RUNS * ROWS

    benchmark.pedantic(load, setup=plain.time, rounds=5, warmup_rounds=1)
    plain.note(benchmark, "run records, a million group rows read and checked")
