"""The replica of a training: the fit finds a known truth, looks at uniform alone, and the command goes on."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cerolab.errors import CerolabError, InvalidValueError
from cerolab.records import read_infos
from sim.experiment.cell import Cell, Scenario
from sim.replica.__main__ import replica
from sim.replica.curves import recorded_curves, simulated_curves
from sim.replica.dynamics import fit_learning
from sim.replica.population import Mixture, fit_population
from sim.replica.recorded import read_recorded
from sim.worlds.populations import parse_population
from tests.replicas import DYNAMICS, POPULATION, PROBLEM, relabel, train
from tests.test_plugins import TEMPLATE, plugin

__all__ = ["plugin"]


def groups(text, num_prompts=6000, seed=0):
    """First groups of prompts of a population, half of them of 4 responses and half of 8."""
    success = parse_population(text).draw(num_prompts, seed)
    responses = np.where(np.arange(num_prompts) % 2, 8, 4)
    hits = np.random.default_rng(seed).binomial(responses, success)
    return pd.DataFrame({"round": 0, "exposure_before": 0, "responses": responses, "reward_sum": hits.astype(float)})


@pytest.mark.parametrize(
    ("text", "num_betas", "hopeless"),
    [("beta(0.5, 1.5)", 1, 0.0), ("0.5*point(0) + 0.5*beta(4, 4)", 1, 0.5), (POPULATION, 2, 0.0)],
)
def test_the_population_is_found_and_no_larger_one_is_taken(text, num_betas, hopeless):
    fit = fit_population(groups(text), window=1)
    truth = parse_population(text).draw(200_000, seed=9)
    assert fit.mixture.a.size == num_betas
    assert fit.mixture.hopeless == pytest.approx(hopeless, abs=0.03)
    assert fit.mixture.mean() == pytest.approx(truth.mean(), abs=0.01)
    assert fit.mixture.pass_at(16) == pytest.approx(np.mean(1 - (1 - truth) ** 16), abs=0.025)
    assert fit.p_value > 0.01
    drawn = parse_population(fit.mixture.text).draw(200_000, seed=9)
    assert drawn.mean() == pytest.approx(fit.mixture.mean(), abs=0.003)
    assert json.loads(json.dumps(fit.to_dict()))["num_groups"] == 6000


def test_only_first_groups_of_the_window_count():
    early = groups("beta(2, 2)")
    late = groups("point(1)").assign(round=5)
    again = groups("point(1)").assign(exposure_before=2)
    alone, mixed = (fit_population(table, window=5) for table in (early, pd.concat([early, late, again])))
    assert mixed.to_dict() == alone.to_dict()
    with pytest.raises(CerolabError, match=r"window=5 has 49 groups of new prompts.*give a wider --window"):
        fit_population(early.iloc[:49], window=5)


def test_moments_of_a_mixture_by_hand():
    mixture = Mixture(np.array([0.5]), np.array([1.0]), np.array([1.0]), 0.5)
    assert mixture.mean() == pytest.approx(0.25)
    assert mixture.pass_at(3) == pytest.approx(0.5 * (1 - 1 / 4))  # of a uniform rate, none of n succeeds: 1 / (n + 1)
    chances = np.exp(mixture.log_chance(np.full(3, 2), np.arange(3)))
    assert chances == pytest.approx([0.5 + 0.5 / 3, 0.5 / 3, 0.5 / 3])
    assert mixture.text == "0.5*beta(1, 1) + 0.5*point(0)"


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    directory = tmp_path_factory.mktemp("llm") / "study-toy"
    train(directory, ("uniform", "cero", "random_matched", "oracle(recovery=4)"))
    return directory


def test_curves_of_records_and_of_a_simulation_are_the_same_numbers(training):
    recorded = read_recorded(training)
    cells = [Cell(Scenario(population=POPULATION, dynamics=DYNAMICS), PROBLEM, seed) for seed in range(3)]
    ours = recorded_curves(recorded)
    theirs = simulated_curves(cells, np.unique(recorded.evals["round"]), recorded.pass_samples)
    assert set(ours) == {"accuracy", "pass", "reward", "effective"}
    for kind, curve in ours.items():
        assert curve == pytest.approx(theirs[kind], abs=1e-12), kind
    assert ours["reward"].size == ours["effective"].size == 20
    first = recorded.rounds[recorded.rounds["round"] < 4]
    assert ours["effective"][0] == pytest.approx(first["effective_groups"].sum() / first["groups"].sum())
    assert ours["reward"][0] == pytest.approx(first["reward_sum"].sum() / first["responses"].sum())


def test_the_learning_is_found(training):
    recorded = read_recorded(training)
    fit = fit_learning(recorded, POPULATION, quiet=True)
    assert fit.learning.power == pytest.approx(0.6, abs=0.2)
    assert fit.learning.sharpening == pytest.approx(0.5, abs=0.25)
    assert fit.learning.rate == pytest.approx(1.5, rel=0.4)
    assert fit.learning.transfer > 0.6
    for kind in ("accuracy", "pass"):
        assert fit.misfit[kind] < 0.1 * np.ptp(fit.recorded[kind]), kind
    assert fit.loss / fit.num_points < 4
    assert set(fit.standard_errors) == {"rate", "transfer", "sharpening", "power"}
    assert json.loads(json.dumps(fit.to_dict()))["text"] == fit.text


def result_table(directory):
    return {
        (info["method"], info["seed"]): {key: value for key, value in info["results"].items() if key != "seconds"}
        for info in read_infos(directory).values()
    }


@pytest.fixture(scope="module")
def replicated(training, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    replica(training, out=out, window=8, workers=1, quiet=True)
    return out / "sim" / "replica-toy"


def test_every_method_is_simulated_with_its_options_and_five_seeds(training, replicated):
    infos = read_infos(replicated).values()
    assert {info["method"] for info in infos} == {"uniform", "cero", "random_matched", "oracle"}
    assert len(infos) == 4 * 5
    fit = json.loads((replicated / "fit.json").read_text())
    for info in infos:
        assert info["problem"] == PROBLEM.to_dict()
        assert info["options"] == ({"recovery": 4} if info["method"] == "oracle" else {})
        assert info["detail"] == ["rounds", "evals"]
        assert info["scenario"]["oracle_every"] == 5
        assert info["scenario"]["dynamics"] == fit["learning"]["text"]
        assert info["scenario"]["population"] == fit["population"]["text"]
    assert fit["training"] == "study-toy"
    assert fit["uniform_runs"] == sorted(path.name for path in training.glob("uniform-*"))
    assert fit["start"]["accuracy"]["population"] == pytest.approx(fit["start"]["accuracy"]["heldout"], abs=0.05)
    assert str(training.parent) not in (replicated / "fit.json").read_text()


def test_in_the_known_world_the_replica_foretells_every_allocator(training, replicated):
    def gains(directory):
        table = pd.DataFrame.from_dict(result_table(directory), orient="index")
        gain = table["heldout_end"] - table["heldout_start"]
        return pd.DataFrame({"gain": gain, "rate": table["effective_group_rate"]}).groupby(level=0).mean()

    truth, found = gains(training), gains(replicated)
    assert found["gain"].to_numpy() == pytest.approx(truth["gain"].to_numpy(), rel=0.25)
    assert found["rate"].to_numpy() == pytest.approx(truth["rate"].to_numpy(), abs=0.06)
    assert truth["gain"].idxmax() == found["gain"].idxmax() == "oracle"


def test_the_fit_is_given_the_tables_of_uniform_alone(training):
    recorded = read_recorded(training)
    assert len(recorded.uniform) == 3
    for table in (recorded.groups, recorded.rounds, recorded.evals):
        assert set(table["run_id"]) == set(recorded.uniform)
        assert all(run_id.startswith("uniform-") for run_id in recorded.uniform)
    assert recorded.num_seeds == 3
    assert list(recorded.methods) == ["cero", "oracle(recovery=4)", "random_matched", "uniform"]


@pytest.fixture
def quick_fit(monkeypatch):
    """A fit that takes no time, of the window that it is told."""

    def made(recorded, window, quiet):
        learning = {"text": DYNAMICS, "misfit": {"accuracy": 0.01}, "loss": 1.0, "num_points": 2}
        population = {"text": "beta(1, 2)" if window else "beta(1, 1)"}
        return {"training": recorded.experiment, "uniform_runs": ["u"], "population": population, "learning": learning}

    monkeypatch.setattr("sim.replica.__main__.make_fit", made)


def test_only_what_is_missing_is_simulated_and_the_fit_stays(quick_fit, tmp_path, capsys):
    few = tmp_path / "llm" / "study-few"
    train(few, seeds=1)
    replica(few, out=tmp_path, workers=1, quiet=True, seeds=2)
    directory = tmp_path / "sim" / "replica-few"
    first = result_table(directory)
    train(few, ("cero",), seeds=1)
    replica(few, out=tmp_path, workers=1, quiet=True, seeds=2, window=40)
    assert "2 of 4 runs are done already" in capsys.readouterr().out
    assert json.loads((directory / "fit.json").read_text())["population"]["text"] == "beta(1, 1)"
    assert result_table(directory).items() >= first.items()
    replica(few, out=tmp_path, workers=1, quiet=True, seeds=2, window=40, refit=True)
    infos = read_infos(directory).values()
    assert len(infos) == 4
    assert {info["scenario"]["population"] for info in infos} == {"beta(1, 2)"}


def test_an_own_allocator_is_simulated_beside_no_committed_runs(quick_fit, plugin, tmp_path, monkeypatch):
    plugin(TEMPLATE)
    small = replace(PROBLEM, num_prompts=20, num_rounds=16, budget=128, capacity=8)
    few = tmp_path / "llm" / "study-few"
    train(few, ("uniform", "mine"), seeds=1, problem=small)
    directory = tmp_path / "sim" / "replica-few"
    monkeypatch.setattr("sim.replica.__main__.is_committed", lambda folder: folder == directory)
    told = "name='replica-few' is committed, and mine is not built in; choose another --name"
    with pytest.raises(InvalidValueError, match=told):
        replica(few, out=tmp_path, workers=1, quiet=True, seeds=1)
    assert not directory.exists()
    replica(few, out=tmp_path, name="elsewhere", workers=1, quiet=True, seeds=1)
    assert {info["method"] for info in read_infos(tmp_path / "sim" / "elsewhere").values()} == {"uniform", "mine"}


def test_a_fit_of_another_training_is_refused(quick_fit, tmp_path):
    for name in ("study-toy", "study-other"):
        train(tmp_path / "llm" / name, seeds=1)
    replica(tmp_path / "llm" / "study-toy", out=tmp_path, workers=1, quiet=True, seeds=1)
    with pytest.raises(CerolabError, match=r"holds an experiment with other settings.*study-toy.*study-other"):
        replica(tmp_path / "llm" / "study-other", out=tmp_path, name="replica-toy", quiet=True)
    file = tmp_path / "sim" / "replica-toy" / "fit.json"
    kept = json.loads(file.read_text())
    for damaged, message in (
        (kept | {"training": "study-other"}, "is of the training 'study-other', not 'study-toy'"),
        ({"training": "study-toy"}, "population or learning is missing; fit anew with --refit"),
    ):
        file.write_text(json.dumps(damaged))
        with pytest.raises(CerolabError, match=message):
            replica(tmp_path / "llm" / "study-toy", out=tmp_path, quiet=True)


def graded(path):
    import pyarrow.parquet as pq

    rows = pq.read_table(path / "groups.parquet")
    half = rows["reward_sum"].to_numpy() * 0.5
    pq.write_table(rows.set_column(rows.schema.get_field_index("reward_sum"), rows.schema.field("reward_sum"), [half]),
                   path / "groups.parquet")  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda paths: [relabel(path, method="cero") for path in paths], "no finished run of uniform, to which"),
        (lambda paths: relabel(paths[1], problem=PROBLEM.to_dict() | {"budget": 4000}),
         r"differ in budget \((4800 and 4000|4000 and 4800)\).*one problem and one scenario"),
        (lambda paths: relabel(paths[1], scenario={"task": "else"}), r"differ in .*task \("),
        (lambda paths: [relabel(path, source="sim") for path in paths], "is of the simulator; give the"),
        (lambda paths: [(path / "groups.parquet").unlink() for path in paths], "groups.parquet does not exist"),
        (lambda paths: [relabel(path, detail=["rounds", "evals"]) for path in paths],
         "no groups table of run uniform-.* and of 1 other runs of uniform"),
        (lambda paths: [relabel(path, scenario={"eval_task": "aime"}) for path in paths], "eval_task='aime' asks"),
        (lambda paths: [relabel(path, scenario={"temperature": 1.0, "eval_temperature": 0.6}) for path in paths],
         "eval_temperature=0.6 is not the training's temperature=1.0"),
        (lambda paths: graded(paths[0]), "rewards are graded"),
        (lambda paths: [relabel(path, status="running") for path in paths], "no finished run in it"),
    ],
)  # fmt: skip
def test_what_cannot_be_replicated_is_refused_with_its_reason(tmp_path, change, message):
    paths = train(tmp_path / "study-bad", seeds=2)
    change(paths)
    with pytest.raises(CerolabError, match=re.compile(message, re.DOTALL)):
        replica(tmp_path / "study-bad", out=tmp_path, quiet=True)
    assert not (tmp_path / "sim").exists()


def test_too_few_evaluations_and_unknown_methods_are_named(tmp_path):
    paths = train(tmp_path / "study-bad", seeds=1)
    for _ in range(2):
        relabel(paths[0])  # keeps every fourth evaluation
    with pytest.raises(CerolabError, match="were evaluated at 2 rounds, too few for a curve"):
        replica(tmp_path / "study-bad", out=tmp_path, quiet=True)
    (strange,) = train(tmp_path / "study-more", ("cero",), seeds=1)
    train(tmp_path / "study-more", seeds=1)
    relabel(strange, method="thompson")
    with pytest.raises(CerolabError, match="unknown allocator 'thompson'"):
        replica(tmp_path / "study-more", out=tmp_path, quiet=True)
    with pytest.raises(CerolabError, match="seeds=0 is below 1"):
        replica(tmp_path / "study-more", out=tmp_path, quiet=True, seeds=0)


def test_the_command_prints_measured_and_predicted_numbers(training, replicated):
    done = subprocess.run(
        [sys.executable, "-m", "sim.replica", str(training), "--out", str(replicated.parents[1]), "--quiet"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "20 of 20 runs are done already" in done.stdout
    assert "fitted to 3 uniform runs of study-toy" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "oracle" in line)
    numbers = [float(number) for number in re.findall(r"\d+\.\d+", row)]
    truth = [info for info in result_table(training).items() if info[0][0] == "oracle"]
    assert numbers[0] == pytest.approx(100 * np.mean([result["heldout_end"] for _, result in truth]), abs=0.006)
    assert "3 | 5" in row


def test_a_replica_needs_neither_training_nor_drawing():
    lines = "import sys, sim.replica.__main__; print({'matplotlib', 'analysis', 'llm', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True).stdout.strip() == "set()"
