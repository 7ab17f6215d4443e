"""Trainings on bad ground: full disks, damaged or hostile checkpoints and models, verifiers that hang."""

import asyncio
import os
import pickle
import resource
import shutil
import signal
import threading
import time
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch

from cerolab.errors import InvalidValueError, RecordError, StateError
from cerolab.integrations.trl import checkpoint
from cerolab.integrations.trl.rewards import RewardError
from cerolab.integrations.trl.time_limit import TooSlowError, time_limit
from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
from llm.evaluation.oracle_rates import MeasuredRates
from llm.grading.reward import graded_by
from llm.models.loading import load_model
from llm.settings import TrainSettings
from llm.tasks import load_task
from tests.llm.small import allocated, digits, run, weights

SIZES = {"num_rounds": 6, "budget": 48}
GIVEN = {"method": "cero", "problem_given": SIZES, "save_strategy": "steps", "save_steps": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A training of six rounds with its three checkpoints: (folder, weights)."""
    folder = tmp_path_factory.mktemp("trained")
    trainer = allocated(folder, **GIVEN)
    run(trainer)
    return folder, weights(trainer)


@pytest.fixture
def checkpoints(trained, tmp_path):
    """A copy without the last checkpoint: 2 and 4 of 6."""
    folder = tmp_path / "copy"
    shutil.copytree(trained[0], folder)
    shutil.rmtree(folder / "checkpoint-6")
    return folder


def forget_checksums(folder):
    """As checkpoints of earlier versions, or one whose maker wrote what he liked."""
    with np.load(folder / checkpoint.FILE) as saved:
        kept = {name: saved[name] for name in saved.files if not name.startswith("file/")}
    np.savez(folder / checkpoint.FILE, **kept)


def resumed(folder, out):
    trainer = allocated(out, **GIVEN)
    trainer.train(resume_from_checkpoint=str(folder))
    return trainer


# --- damaged checkpoints --------------------------------------------------------------------------------------------


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lose(path):
    path.unlink()


@pytest.mark.parametrize("damage", [cut, flip, lose])
def test_whichever_file_of_the_last_checkpoint_is_damaged_the_one_before_is_used(checkpoints, damage, caplog):
    last = checkpoints / "checkpoint-4"
    names = {path.name for path in last.iterdir()}
    assert {"model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json", checkpoint.FILE} <= names
    assert checkpoint.latest(checkpoints) == last
    for path in sorted(last.iterdir()):
        if path.name == checkpoint.FILE and damage is lose:
            continue  # then it was never whole
        kept = path.read_bytes()
        damage(path)
        caplog.clear()
        assert checkpoint.latest(checkpoints).name == "checkpoint-2", path.name
        assert str(path) in caplog.text
        path.write_bytes(kept)
    assert checkpoint.latest(checkpoints) == last


def test_gone_on_from_the_one_before_the_training_is_the_same(checkpoints, trained):
    cut(checkpoints / "checkpoint-4" / "optimizer.pt")
    again = resumed(checkpoint.latest(checkpoints), checkpoints)
    assert torch.equal(weights(again), trained[1])
    assert [path.name for path in sorted(checkpoints.glob("checkpoint-*"))] == [
        "checkpoint-2", "checkpoint-4", "checkpoint-6"
    ]  # fmt: skip
    checkpoint.verify(checkpoints / "checkpoint-4")  # written anew


def test_where_none_is_whole_all_are_named(checkpoints):
    cut(checkpoints / "checkpoint-4" / "optimizer.pt")
    flip(checkpoints / "checkpoint-2" / "model.safetensors")
    words = r"no checkpoint is whole: .*4/optimizer\.pt.*2/model\.safetensors.*remove .*copy to start the run"
    with pytest.raises(StateError, match=words):
        checkpoint.latest(checkpoints)


ENTRIES = {
    "three numbers": np.arange(3), "one number": np.array(5), "a list in a list": np.ones((1, 2), np.int64),
    "nothing": np.zeros(0, np.int64), "text": np.array(["5", "6"]), "fractions": np.array([5.0, 6.0]),
    "no number": np.array([np.nan, np.nan]), "truths": np.array([True, False]), "complex": np.array([1j, 1j]),
    "below 0": np.array([-1, 5]), "dates": np.array(["2026-01-01", "2026-01-02"], "M8[D]"),
    "more than there is": np.array([2**64 - 1, 2**64 - 1], np.uint64),
}  # fmt: skip


def altered(folder, **entries):
    """Write the checkpoint's last file anew, with these entries instead of, or beside, its own."""
    with np.load(folder / checkpoint.FILE) as saved:
        kept = {name: saved[name] for name in saved.files}
    np.savez(folder / checkpoint.FILE, **kept | entries)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_a_checkpoint_with_an_entry_of_a_wrong_shape_is_passed_over(checkpoints, entry, caplog):
    last = checkpoints / "checkpoint-4"
    altered(last, **{"file/optimizer.pt": entry})
    with pytest.raises(StateError, match=r"optimizer\.pt.* (is no size and checksum|were saved)"):
        checkpoint.verify(last)
    assert checkpoint.latest(checkpoints).name == "checkpoint-2"
    assert "optimizer.pt" in caplog.text
    assert "checkpoint-2" in caplog.text


@pytest.mark.parametrize("name", ["../outside", "/{folder}/../outside", "a/../../outside", "", ".", "x" * 300, "a\nb"])
def test_a_checkpoint_that_names_what_is_no_file_of_it_is_passed_over_and_nothing_outside_is_read(
    checkpoints, name, monkeypatch
):
    last, looked = checkpoints / "checkpoint-4", []
    (checkpoints / "outside").write_text("secret")
    altered(last, **{f"file/{name.format(folder=last)}": np.array(checkpoint.checksum(checkpoints / "outside"))})
    plain = checkpoint.checksum
    monkeypatch.setattr(checkpoint, "checksum", lambda path: (looked.append(path.resolve()), plain(path))[1])
    with pytest.raises(StateError, match=r"names no file of the checkpoint|is missing|cannot be read"):
        checkpoint.verify(last)
    assert checkpoint.latest(checkpoints).name == "checkpoint-2"
    assert looked
    assert all(path.is_relative_to(checkpoints / "checkpoint-4") or "checkpoint-2" in path.parts for path in looked)


@pytest.mark.parametrize("name", ["stranger", "other/key"])
def test_a_checkpoint_with_an_entry_of_nobody_is_passed_over(checkpoints, name):
    altered(checkpoints / "checkpoint-4", **{name: np.zeros(2)})
    assert checkpoint.latest(checkpoints).name == "checkpoint-2"


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"])
def test_a_damaged_checkpoint_without_checksums_is_a_clear_error(checkpoints, tmp_path, name):
    folder = checkpoints / "checkpoint-4"
    forget_checksums(folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:20])
    with pytest.raises(StateError, match=r"checkpoint-4 cannot be loaded: .*the checkpoint before it"):
        resumed(folder, tmp_path / "out")


def test_a_whole_checkpoint_that_cannot_be_loaded_is_not_called_damaged(checkpoints):
    folder = checkpoints / "checkpoint-4"
    words = r"checkpoint-4 cannot be loaded: RuntimeError: odd.*keep it(?!.*move it away)"
    with pytest.raises(StateError, match=words), checkpoint.reading(folder):
        raise RuntimeError("odd")
    cut(folder / "optimizer.pt")
    with pytest.raises(StateError, match="odd; move it away"), checkpoint.reading(folder):
        raise RuntimeError("odd")


def test_only_the_last_whole_ones_are_kept(tmp_path):
    for step in (1, 2, 3, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (1, 2, 9):  # 3 was cut short; 9 is of a life that went further, and was damaged
        (tmp_path / f"checkpoint-{step}" / checkpoint.FILE).write_text("")
    (tmp_path / "checkpoint-4").mkdir()
    (tmp_path / "checkpoint-4" / checkpoint.FILE).write_text("")
    checkpoint.keep_newest(tmp_path / "checkpoint-4", 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-2", "checkpoint-4"]


def test_the_one_before_stays_until_the_new_one_is_whole(tmp_path):
    trainer, plain = allocated(tmp_path, **GIVEN, save_total_limit=1), checkpoint.save

    def stopped_at_the_second(folder, *states):
        if folder.name == "checkpoint-4":
            raise KeyboardInterrupt
        plain(folder, *states)

    with patch.object(checkpoint, "save", stopped_at_the_second), pytest.raises(KeyboardInterrupt):
        run(trainer)
    assert checkpoint.latest(tmp_path).name == "checkpoint-2"


def test_measured_rates_that_were_damaged_are_named(tmp_path):
    rates = MeasuredRates(lambda _: np.full(3, 0.5), 5, tmp_path)
    rates.round_of = lambda: 2
    rates()
    cut(tmp_path / "rates-0.npy")
    again = MeasuredRates(lambda _: np.full(3, 0.5), 5, tmp_path)
    again.round_of = lambda: 3
    with pytest.raises(StateError, match=r"rates-0\.npy is damaged.*restore it"):
        again()
    for wrong in (np.array(0.5), np.full((3, 1), 0.5), np.full(3, np.nan), np.full(3, 2.0), np.array(["a", "b", "c"])):
        np.save(tmp_path / "rates-0.npy", wrong)
        with pytest.raises(StateError, match=r"rates-0\.npy is damaged.*restore it"):
            again()


# --- a full disk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [4_000, 30_000], ids=["in the model", "in the optimizer"])
def test_a_disk_that_is_full_in_a_checkpoint_leaves_the_one_before(tmp_path, trained, limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    plain = AllocatedGRPOTrainer._save_checkpoint

    def filled(trainer, *given):
        if trainer.state.global_step == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # Python ignores SIGXFSZ: writes fail
        plain(trainer, *given)

    trainer = allocated(tmp_path, **GIVEN)
    words = r"cannot write checkpoint .*checkpoint-4: .*make room.*the checkpoint before it, which is unchanged"
    try:
        with patch.object(AllocatedGRPOTrainer, "_save_checkpoint", filled), pytest.raises(RecordError, match=words):
            run(trainer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert checkpoint.latest(tmp_path).name == "checkpoint-2"
    assert torch.equal(weights(resumed(checkpoint.latest(tmp_path), tmp_path)), trained[1])


# --- nothing is unpickled, no code of a model is run ----------------------------------------------------------------


class Trap:
    """Unpickled, it makes a folder."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("kind", ["bare pickle", "of torch"])
@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "training_args.bin", "scaler.pt",
                                  "pytorch_model.bin", checkpoint.FILE])  # fmt: skip
def test_a_pickle_in_a_checkpoint_is_not_run(checkpoints, tmp_path, name, kind):
    folder, marker = checkpoints / "checkpoint-4", tmp_path / "sprung"
    forget_checksums(folder)
    if kind == "of torch":
        torch.save({"state": Trap(marker)}, folder / name)
    else:
        (folder / name).write_bytes(pickle.dumps(Trap(marker)))
    if name == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    if name == "training_args.bin":  # nobody reads it
        resumed(folder, tmp_path / "out")
    else:
        with pytest.raises(StateError, match="checkpoint-4"):
            resumed(folder, tmp_path / "out")
    assert not marker.exists()


def test_nor_are_arrays_of_objects(checkpoints, tmp_path):
    folder = checkpoints / "checkpoint-4"
    with np.load(folder / checkpoint.FILE) as saved:
        arrays = {name: saved[name] for name in saved.files}
    np.savez(folder / checkpoint.FILE, **arrays | {"ledger/units": np.array([Trap(tmp_path / "sprung")], object)})
    assert checkpoint.latest(checkpoints).name == "checkpoint-2"
    assert not (tmp_path / "sprung").exists()


@pytest.fixture
def bringing_code(tmp_path, model, monkeypatch):
    """Folder of a model with code of its own, which makes the folder ``sprung`` when it is imported."""
    import json

    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked on the terminal"))
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    told = json.loads((folder / "config.json").read_text())
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    (folder / "config.json").write_text(json.dumps(told | {"model_type": "own", "auto_map": own}))
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'sprung')!r})\n")
    return folder


def test_code_that_a_model_brings_is_not_run_unless_asked_for(bringing_code, tmp_path):
    from llm.training.plan import plan

    with pytest.raises(InvalidValueError, match=r"brings code of its own; .*--trust-remote-code"):
        load_model(str(bringing_code))
    with pytest.raises(InvalidValueError):
        plan(TrainSettings(model=str(bringing_code)))
    assert not (tmp_path / "sprung").exists()
    with pytest.raises(InvalidValueError):  # it is run, and does not hold what it should
        load_model(str(bringing_code), trust_remote_code=True)
    assert (tmp_path / "sprung").exists()


def test_a_model_is_not_unpickled_and_a_damaged_one_is_named(tmp_path, model):
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    cut(folder / "model.safetensors")
    with pytest.raises(InvalidValueError, match="cannot be loaded"):
        load_model(str(folder))
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Trap(tmp_path / "sprung")}, folder / "pytorch_model.bin")
    with pytest.raises(InvalidValueError, match="cannot be loaded"):
        load_model(str(folder))
    assert not (tmp_path / "sprung").exists()


def test_the_new_settings_leave_run_ids_as_they_were():
    assert TrainSettings(reward_seconds=3.0).scenario() == TrainSettings().scenario()
    assert "trust_remote_code" not in TrainSettings().scenario()
    assert TrainSettings(trust_remote_code=True).scenario() == {**TrainSettings().scenario(), "trust_remote_code": True}


# --- verifiers that hang or fail ------------------------------------------------------------------------------------


def stubborn():
    while True:
        try:
            sum(range(1000))
        except Exception:
            continue


def test_a_limit_ends_waiting_and_computing_and_nothing_else():
    began = time.monotonic()
    with pytest.raises(TooSlowError, match=r"0\.1 s"), time_limit(0.1):
        time.sleep(60)
    with pytest.raises(TooSlowError), time_limit(0.1):
        stubborn()
    assert time.monotonic() - began < 30
    with time_limit(30):
        pass
    with pytest.raises(KeyError), time_limit(30):
        raise KeyError
    with pytest.raises(TooSlowError), time_limit(0.1), time_limit(30):  # the outer one ends the inner
        time.sleep(60)
    assert threading.active_count() < 10


def test_limits_within_a_call_of_other_kinds_go_on():
    """math-verify sets alarms of its own."""
    rung = []
    before = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        with time_limit(30):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            time.sleep(0.1)
            signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert rung == [1]


def test_a_limit_that_cannot_be_kept_is_refused():
    found = []

    def elsewhere():
        with pytest.raises(InvalidValueError, match="main thread"), time_limit(1):
            found.append("ran")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == []


def hanging(asynchronous):
    calls = []

    def judge(completions, **_):
        calls.append(1)
        if len(calls) == 3:
            time.sleep(600)
        return digits(completions)

    async def judge_later(completions, **_):
        calls.append(1)
        if len(calls) == 3:
            await asyncio.sleep(600)
        return digits(completions)

    return judge_later if asynchronous else judge


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_reward_function_that_hangs_is_an_error_that_names_the_prompts(tmp_path, asynchronous):
    trainer = allocated(tmp_path, reward=hanging(asynchronous), reward_seconds=1.0)
    with pytest.raises(RewardError, match=r"judge.* no answer after 1 s, on 32 responses to 8 prompts, the first .*="):
        run(trainer)
    assert trainer.ledger.responses == 3 * 32  # the engine made them


def test_or_a_counted_skip_and_the_training_goes_on(tmp_path, caplog):
    views = []
    trainer = allocated(
        tmp_path, reward=hanging(False), reward_seconds=1.0, on_bad_reward="skip", on_round=views.append,
        problem_given={"num_rounds": 5, "budget": 40},
    )  # fmt: skip
    run(trainer)
    assert "no answer after 1 s" in caplog.text
    assert trainer.ledger.responses == 5 * 32 == 4 * trainer.ledger.units
    graded = [int(np.sum(view.waves[0].feedback.num_responses)) for view in views]
    assert graded == [32, 32, 0, 32, 32]


def test_of_the_tasks_questions_only_the_bad_response_is_left_ungraded(caplog):
    task = load_task("arithmetic", 4, 1)

    def verify(text, question):
        if text == "hang":
            time.sleep(600)
        if text == "raise":
            raise ZeroDivisionError("no")
        return float("nan") if text == "nan" else 1.0

    bad = replace(task, verify=verify)
    given = {"completions": ["a", "hang", "raise", "nan", "b"], "row": [0, 1, 2, 3, 0]}
    rewards = graded_by(bad, "skip", 0.2)(**given)
    assert [np.isnan(reward) for reward in rewards] == [False, True, True, True, False]
    for row, words in ((1, "no answer after 0.2 s"), (2, "ZeroDivisionError: no"), (3, "the reward is nan")):
        assert f"to prompt {row} ({task.train[row].prompt!r}): " in caplog.text
        assert words in caplog.text
        only = {name: [values[row]] for name, values in given.items()}
        with pytest.raises(RewardError, match=rf"prompt {row} .*{words}"):
            graded_by(bad, "error", 0.2)(**only)
