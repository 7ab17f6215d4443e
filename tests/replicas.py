"""A training of known truth for the tests: simulated runs, relabelled as if a language model had been trained."""

import json

import pyarrow as pa
import pyarrow.parquet as pq

from cerolab import AllocationProblem
from cerolab.tools.method import Method
from sim.experiment.cell import Cell, Scenario
from sim.experiment.runs import run_method

PROBLEM = AllocationProblem(
    num_prompts=1500, num_rounds=80, budget=4800, capacity=62, max_units=2, responses_per_unit=4
)
POPULATION = "0.7*beta(0.4, 4) + 0.3*beta(20, 10)"
DYNAMICS = "learning(1.5, 0.9, 0.5, 0.6)"
DETAIL = ("rounds", "groups", "evals")
SCENARIO = {"task": "toy", "model": "tiny", "temperature": 1.0, "eval_temperature": 1.0, "oracle_every": 5}


def train(directory, methods=("uniform",), seeds=3, detail=DETAIL, problem=PROBLEM, dynamics=DYNAMICS, **scenario):
    """Runs of the methods in the known world below ``directory``, as records of a training; returns their folders."""
    written = []
    for seed in range(seeds):
        cell = Cell(Scenario(population=POPULATION, dynamics=dynamics, oracle_every=5), problem, seed)
        for method in map(Method.parse, methods):
            run_method(cell, method, directory, detail, {})
            path = directory / cell.settings(directory.name, method, detail).run_id
            relabel(path, source="llm", scenario=SCENARIO | scenario)
            written.append(path)
    return written


def relabel(path, **changes):
    """Change a run's run.json, call its held-out part as training does, and keep every fourth evaluation."""
    info = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps(info | changes))
    file = path / "evals.parquet"
    if file.exists():
        rows = pq.read_table(file)
        suites = pa.array(["all"] * rows.num_rows)
        rows = rows.set_column(rows.schema.get_field_index("suite"), rows.schema.field("suite"), suites)
        pq.write_table(rows.take(list(range(0, rows.num_rows, 4))), file)
