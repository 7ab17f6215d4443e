"""A sweep of the simulator and a training, as small as they come: seconds from start to end."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cerolab.records import find_runs
from cerolab.records.files import read_json
from tests.faults.records import differences

SWEEP = {
    "name": "tiny", "horizons": (10, 40), "num_prompts": 20, "seeds": 1, "populations": ("beta(1, 1)",),
    "allocators": ("cero", "uniform"), "ablations": ("cero(catch_up=true)",), "pool_sizes": (10,), "pool_horizon": 10,
    "drifts": (0.1,), "drift_prompts": 10, "drift_horizon": 10, "dynamics": ("learning(0.2)",),
    "dynamics_prompts": 20, "dynamics_horizon": 10, "detail": ("rounds", "groups", "evals", "pool"),
}  # fmt: skip
STACK = SWEEP | {"seeds": 2, "detail": ()}  # both seeds of a cell at once
TRAINING = {
    "name": "tiny", "num_prompts": 24, "num_heldout": 13, "num_rounds": 6, "budget": 24, "max_units": 2,
    "learning_rate": 3e-3, "batch_size": 16, "eval_every": 2, "final_samples": 2, "save_every": 1,
    "save_model": False, "bf16": False,
}  # fmt: skip


@dataclass
class Sweep:
    """``python -m sim.regret_sweep`` in one process; from a shell with two workers and figures."""

    settings: dict[str, Any] = field(default_factory=lambda: SWEEP)
    name: str = "sweep"

    def run(self, out: Path) -> None:
        from sim.experiment.engine import run_experiment
        from sim.sweep_settings import SweepSettings

        settings = SweepSettings(**self.settings, out=out)
        run_experiment(settings, settings.detail, workers=1, quiet=True)

    def command(self, out: Path) -> list[str]:
        return [sys.executable, "-m", "sim.regret_sweep", *_options(self.settings), "--out", str(out), "--workers", "2"]

    def state(self, out: Path) -> str:
        folder = out / "sim" / "tiny"
        if not folder.exists():
            return "nothing written"
        status = [read_json(path / "run.json")["status"] for path in _runs(folder)]
        if "running" in status:
            return "some runs done, one half-way" if "finished" in status else "the first run half-way"
        if (folder / "runs.parquet").exists():
            return "all runs done and packed"
        return f"between two runs, {'some' if status else 'none'} done"

    def mismatches(self, out: Path, whole: Path, done: bool) -> list[str]:
        return differences(out / "sim" / "tiny", whole / "sim" / "tiny", done)


@dataclass
class Training:
    """``python -m llm.train`` of a model of a few thousand weights, a checkpoint every round."""

    model: Path
    name = "training"

    def run(self, out: Path) -> None:
        import torch

        from llm.settings import TrainSettings
        from llm.training.run import remove_checkpoints, run_training
        from llm.training.session import prepare

        torch.set_num_threads(1)
        session = prepare(TrainSettings(**TRAINING, model=str(self.model), out=out))
        if session.finished:  # as the command does
            remove_checkpoints(session)
        else:
            run_training(session, quiet=True)

    def command(self, out: Path) -> list[str]:
        given = TRAINING | {"model": str(self.model), "out": str(out), "threads": 1}
        return [sys.executable, "-m", "llm.train", *_options(given), "--quiet"]

    def state(self, out: Path) -> str:
        from cerolab.integrations.trl import checkpoint

        runs = _runs(out)
        if not runs:
            return "nothing written"
        if read_json(runs[0] / "run.json")["status"] == "finished":
            return "finished, checkpoints not yet removed"
        folders = list((runs[0] / "checkpoints").glob("checkpoint-*"))
        whole = [folder for folder in folders if (folder / checkpoint.FILE).exists()]
        if len(whole) < len(folders):
            return "a checkpoint half-written"
        if any(runs[0].glob("*.parquet")):
            return "trained, tables being joined"
        return "with a checkpoint" if whole else "before the first checkpoint"

    def mismatches(self, out: Path, whole: Path, done: bool) -> list[str]:
        return differences(out / "llm" / "tiny", whole / "llm" / "tiny", done)


def make_model(folder: Path) -> None:
    """A small model that knows some of the questions."""
    from tests.llm.small import learned_model

    learned_model(folder, TRAINING["num_prompts"], TRAINING["num_heldout"])


def _runs(folder: Path) -> list[Path]:
    return find_runs([folder]) if any(not path.parent.name.startswith(".") for path in folder.rglob("run.json")) else []


def _options(settings: dict[str, Any]) -> list[str]:
    words = []
    for key, value in settings.items():
        if value is False:
            words.append(f"--no-{key.replace('_', '-')}")
        else:
            words += [f"--{key.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,))]
    return words


def shown(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON."""
    return json.loads(json.dumps(settings))
