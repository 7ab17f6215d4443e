"""A training from its settings to its record: whole, exact, and the same when it was killed on the way.

This file is a test and, when run as a program, the one whose children are killed.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from cerolab.errors import RecordError
from cerolab.integrations.trl import checkpoint
from cerolab.records import find_runs, read_run
from llm.evaluation.evaluator import Evaluator
from llm.evaluation.oracle_rates import MeasuredRates
from llm.models.tiny import tiny_tokenizer
from llm.settings import TrainSettings
from llm.tasks import load_task
from llm.training.run import run_training
from llm.training.session import prepare
from tests.llm.small import learned_model

ROOT = Path(__file__).resolve().parents[2]
POOL, HELDOUT = 60, 26


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """The small model, having learned the pool half by heart."""
    return learned_model(tmp_path_factory.mktemp("model"), POOL, HELDOUT)


def settings(model, out, **given):
    """9 rounds of about 7 units of 4."""
    small = {
        "num_prompts": POOL, "num_heldout": HELDOUT, "num_rounds": 9, "budget": 62, "max_units": 2,
        "learning_rate": 3e-3, "batch_size": 16, "eval_every": 2, "final_samples": 4, "save_every": 2,
        "save_model": False, "bf16": False,
    }  # fmt: skip
    return TrainSettings(**{"model": str(model), "out": out, **small, **given})


def trained(given):
    return read_run(run_training(prepare(given), quiet=True))


@pytest.fixture(scope="module")
def results(model_folder, tmp_path_factory):
    """Folder with a finished cero run."""
    out = tmp_path_factory.mktemp("results")
    trained(settings(model_folder, out))
    return out


@pytest.fixture(scope="module")
def finished(results):
    (path,) = find_runs([results])
    return read_run(path)


def without_seconds(table):
    return table.drop(columns=[column for column in table if column.startswith("seconds")])


def assert_same_record(one, other):
    """All but the times."""
    for name in ("rounds", "groups", "evals", "pool"):
        pd.testing.assert_frame_equal(without_seconds(one.table(name)), without_seconds(other.table(name)))
    assert {k: v for k, v in one.info["results"].items() if "seconds" not in k} == {
        k: v for k, v in other.info["results"].items() if "seconds" not in k
    }


def test_the_tables_agree_with_each_other_and_with_the_ledger(finished):
    rounds, groups, evals, pool = (finished.table(name) for name in ("rounds", "groups", "evals", "pool"))
    problem, found = finished.info["problem"], finished.info["results"]
    assert rounds["round"].tolist() == list(range(found["rounds"]))
    by_round = groups.groupby("round").sum(numeric_only=True).reindex(rounds["round"], fill_value=0)
    for column in ("units", "responses", "reward_sum", "tokens"):
        assert by_round[column].tolist() == pytest.approx(rounds[column].tolist()), column
    assert by_round["trained"].tolist() == rounds["trained_groups"].tolist()
    assert groups.groupby("round").size().reindex(rounds["round"], fill_value=0).tolist() == rounds["groups"].tolist()
    mixed = groups[groups["reward_variance"] > 0].groupby("round").size().reindex(rounds["round"], fill_value=0)
    assert mixed.tolist() == rounds["effective_groups"].tolist()
    assert (groups["responses"] == groups["units"] * problem["responses_per_unit"]).all()
    assert (groups["reward_mean"] == groups["reward_sum"] / groups["responses"]).all()
    assert (groups["tokens"] >= groups["responses"]).all()
    assert not groups.duplicated(["round", "prompt"]).any()

    exposure = groups.groupby("prompt")["units"].sum().reindex(range(POOL), fill_value=0)
    assert exposure.tolist() == pool["exposure"].tolist()
    before = groups.groupby("prompt")["units"].cumsum() - groups["units"]
    assert before.tolist() == groups["exposure_before"].tolist()
    assert (problem["budget"] - rounds["units"].cumsum()).tolist() == rounds["remaining_units"].tolist()
    assert rounds["units"].max() <= problem["capacity"]
    assert groups["units"].max() <= problem["max_units"]

    assert found["units_spent"] == rounds["units"].sum() == problem["budget"] - found["unspent_units"]
    assert found["responses"] == rounds["responses"].sum() == problem["responses_per_unit"] * found["units_spent"]
    assert found["tokens"] == rounds["tokens"].sum()
    assert found["updates"] == rounds["updated"].sum()
    assert found["effective_group_rate"] == rounds["effective_groups"].sum() / rounds["groups"].sum()
    assert all(sum(histogram) == POOL for histogram in rounds["pool_histogram"])
    assert 0.1 < found["effective_group_rate"] < 1  # or nothing above would be tested

    spent = np.concatenate([[0], rounds["responses"].cumsum()])
    assert (evals["responses_spent"] == spent[evals["round"]]).all()
    overall = evals[(evals["suite"] == "all") & (evals["problem"] == "all")]
    assert overall["round"].tolist() == [0, 2, 4, 6, 8, found["rounds"], found["rounds"]]
    assert overall["samples"].tolist() == [0] * 6 + [4]
    assert found["heldout_start"] == overall["avg_at_n"].iloc[0]
    assert found["heldout_end"] == overall["avg_at_n"].iloc[-2] != found["heldout_start"]
    single = evals[(evals["samples"] == 4) & (evals["problem"] != "all")]
    assert single["avg_at_n"].mean() == pytest.approx(overall["avg_at_n"].iloc[-1])
    assert len(single) == HELDOUT


def test_a_finished_run_is_not_run_again(model_folder, results, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")}
    again = prepare(settings(model_folder, results))
    assert again.finished
    with pytest.raises(RecordError, match="finished"):
        run_training(again, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in finished.path.rglob("*")} == before


def test_evaluating_never_changes_the_training(model_folder, tmp_path):
    often = trained(settings(model_folder, tmp_path, eval_every=1, eval_samples=3))
    never = trained(settings(model_folder, tmp_path, eval_every=0, final_samples=0))
    pd.testing.assert_frame_equal(often.table("groups"), never.table("groups"))
    assert len(often.table("evals")) > len(never.table("evals"))
    assert often.info["results"]["effective_groups"] > 0


# --- kill -9 ----------------------------------------------------------------------------------------------------


def test_killed_by_the_system_and_started_again_the_record_is_the_same(model_folder, tmp_path):
    given = {"num_rounds": 60, "budget": 360, "capacity": 8, "save_every": 5, "eval_every": 20}
    whole = trained(settings(model_folder, tmp_path / "whole", **given))
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({
        key.replace("_", "-"): str(value) if isinstance(value, Path) else value
        for key, value in vars(settings(model_folder, tmp_path / "killed", **given)).items()
        if value not in (None, (), {}) and key != "trust_remote_code"  # no settings file may have it
    }))  # fmt: skip
    command = [sys.executable, "-m", "llm.train", "--config", str(file)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with (tmp_path / "output").open("w") as output:
        killed = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        while not list((tmp_path / "killed").rglob(f"checkpoint-*/{checkpoint.FILE}")):
            assert killed.poll() is None, (tmp_path / "output").read_text()
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL
    (path,) = find_runs([tmp_path / "killed"])
    with pytest.raises(RecordError, match="not finished"):
        read_run(path)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    again = read_run(path)
    assert again.info["resumed"][0]["round"] >= 5
    assert again.info["results"]["responses"] == again.table("groups")["responses"].sum() <= 4 * 360
    assert again.path.name == whole.path.name
    assert_same_record(again, whole)


def stages(kill):
    """Patches that call ``kill`` at some moment of a training, each with a name."""
    from cerolab import BudgetLedger
    from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
    from cerolab.records import RunWriter
    from llm.training import run
    from llm.training.recorder import TrainRecorder

    def after(owner, name, when=lambda *given: True, before=False):
        plain, place = getattr(owner, name), getattr(owner, "__name__", "")

        def patched(*given, **named):
            if before and when(*given):
                kill()
            answer = plain(*given, **named)
            if not before and when(*given):
                kill()
            return answer

        return f"{'before' if before else 'after'} {place}.{name}", patch.object(owner, name, patched)

    return dict(
        (
            after(RunWriter, "__init__"),
            after(BudgetLedger, "spend", lambda ledger, *_: ledger.round_index == 1),
            after(TrainRecorder, "__call__", lambda recorder, view: view.index == 1),
            after(checkpoint, "save", before=True),
            after(checkpoint, "save"),
            after(AllocatedGRPOTrainer, "training_step", lambda trainer, *_: trainer.ledger.round_index == 5),
            after(TrainRecorder, "evaluated", lambda recorder, *_: recorder.ledger.round_index == 6),
            after(AllocatedGRPOTrainer, "_calculate_rewards", lambda trainer, *_: trainer.ledger.round_index == 8),
            after(run, "_finish", before=True),
            after(RunWriter, "so_far", lambda writer, table: table == "evals" and writer._num_rows["pool"]),
            after(run.shutil, "rmtree", lambda path, *_: Path(path).name == "checkpoints", before=True),
        )
    )


def die_everywhere(model, out):
    """Starts the same training again and again, in children that kill themselves at another moment each."""
    torch.set_num_threads(1)
    given = settings(Path(model), Path(out))
    told = []
    for stage in [*stages(lambda: None), "never"]:
        child = os.fork()
        if child == 0:
            kill = stages(lambda: os.kill(os.getpid(), signal.SIGKILL))
            try:
                session = prepare(given)
                if not session.finished:
                    with kill.get(stage, nullcontext()):
                        run_training(session, quiet=True)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        told.append((stage, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
    Path(out, "told.json").write_text(json.dumps(told))


def test_killed_at_every_stage_the_record_is_the_same(model_folder, finished, tmp_path):
    command = [sys.executable, __file__, str(model_folder), str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())
    assert [code for _, code in told] == [-signal.SIGKILL] * (len(told) - 1) + [0], (told, done.stderr[-3000:])
    (path,) = find_runs([tmp_path])
    again = read_run(path)
    assert len(again.info["resumed"]) == len(told) - 2  # the first began it, the last found it finished
    assert_same_record(again, finished)


# --- allocators that need something from outside ------------------------------------------------------------------


def test_random_matched_replays_the_finished_run_of_the_same_settings(model_folder, results, finished, tmp_path):
    with pytest.raises(RecordError, match="train 'cero' first"):
        trained(settings(model_folder, tmp_path, allocator="random_matched"))
    assert not list(tmp_path.rglob("run.json"))
    with pytest.raises(RecordError, match="not finished"):
        trained(settings(model_folder, results, allocator="random_matched", seed=1))
    matched = trained(settings(model_folder, results, allocator="random_matched"))
    for column in ("units", "groups", "responses"):
        assert matched.table("rounds")[column].tolist() == finished.table("rounds")[column].tolist()
    assert sorted(matched.table("pool")["exposure"]) == sorted(finished.table("pool")["exposure"])
    assert matched.table("groups")["prompt"].tolist() != finished.table("groups")["prompt"].tolist()


@pytest.mark.parametrize("one_text", [True, False], ids=["exact rates", "sampled rates"])
def test_the_oracle_measures_beside_the_budget(model_folder, tmp_path, one_text):
    session = prepare(settings(model_folder, tmp_path, allocator="oracle(recovery=8)", oracle_every=3, eval_samples=2))
    session.task = replace(session.task, one_text=one_text)
    measured = []

    class Counted(MeasuredRates):
        def __call__(self):
            before = self._made
            rates = super().__call__()
            if self._made != before:
                measured.append((self.round_of(), rates))
            return rates

    with patch("llm.training.run.MeasuredRates", Counted):
        run = read_run(run_training(session, quiet=True))
    assert [at for at, _ in measured] == [0, 3, 6]
    assert all(rates.shape == (POOL,) and 0 < rates.max() <= 0.25 for _, rates in measured)
    groups, found = run.table("groups"), run.info["results"]
    assert found["responses"] == 4 * groups["units"].sum() == 4 * run.table("pool")["exposure"].sum() <= 4 * 62
    assert found["tokens"] == groups["tokens"].sum()
    first = groups[groups["round"] == 0]["prompt"]
    assert measured[0][1][first].mean() > measured[0][1].mean()  # it looks at what it measured


def test_stopped_between_two_measurements_the_oracle_goes_on_with_the_same_rates(model_folder, tmp_path):
    given = {"allocator": "oracle(recovery=8)", "oracle_every": 3, "save_every": 2}  # stopped at 5, back to 4
    whole = trained(settings(model_folder, tmp_path / "whole", **given))
    from llm.training.recorder import TrainRecorder

    plain = TrainRecorder.__call__

    def stop(recorder, view):
        if view.index == 5:
            raise KeyboardInterrupt
        plain(recorder, view)

    with patch.object(TrainRecorder, "__call__", stop), pytest.raises(KeyboardInterrupt):
        trained(settings(model_folder, tmp_path / "stopped", **given))
    again = trained(settings(model_folder, tmp_path / "stopped", **given))
    assert [entry["round"] for entry in again.info["resumed"]] == [4]
    assert_same_record(again, whole)


def test_a_training_that_had_spent_its_budget_early_is_not_trained_on(model_folder, tmp_path):
    given = {"allocator": "cero(price=0.0)", "capacity": 20}
    whole = trained(settings(model_folder, tmp_path / "whole", **given))
    assert whole.info["results"]["rounds"] < 9
    assert whole.info["results"]["unspent_units"] == 0
    with patch("llm.training.run._finish", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        trained(settings(model_folder, tmp_path / "stopped", **given))
    again = trained(settings(model_folder, tmp_path / "stopped", **given))
    assert again.info["resumed"][0]["round"] == whole.info["results"]["rounds"]
    assert_same_record(again, whole)


def test_sampled_and_exact_accuracy_agree(model_folder):
    """5,000 responses; the difference in standard errors of the sampling."""
    task, tokenizer = load_task("arithmetic", POOL, HELDOUT), tiny_tokenizer()
    session = prepare(settings(model_folder, Path("unused")))
    questions = (*task.train, *task.heldout)
    evaluator = Evaluator(task, questions, tokenizer, "{prompt}", 0, 7)
    from llm.generation.sampling import transformers_generate

    generate, samples = transformers_generate(session.model, tokenizer), 60
    exact = evaluator.exact_rates(session.model, 0.8)
    rewards = evaluator.rewards(session.model, generate, samples, 0.8, "test")
    error = np.sqrt(exact * (1 - exact) / samples)
    assert rewards.shape == (POOL + HELDOUT, samples)
    assert 0.1 < exact.mean() < 0.9
    assert abs(rewards.mean() - exact.mean()) < 3.5 * np.sqrt((error**2).sum()) / len(exact)
    assert (np.abs(rewards.mean(axis=1) - exact) < 5 * error + 0.02).all()
    few = evaluator.scores(session.model, generate, 4, 0.8, "test")
    whole = evaluator.scores(session.model, generate, 0, 0.8, "test")
    assert [score.suite for score in few] == [score.suite for score in whole]
    assert {score.samples for score in few} == {4}
    assert few[-2].avg_at_n == pytest.approx(whole[-2].avg_at_n, abs=0.1)


if __name__ == "__main__":
    die_everywhere(*sys.argv[1:])
