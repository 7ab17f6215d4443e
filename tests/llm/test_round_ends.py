"""What is asked for inside a round is done at its end; epochs; allocators that have been used."""

import logging

import pytest
import torch
from transformers import TrainerCallback

from cerolab import make
from cerolab.errors import CerolabError, StateError
from cerolab.integrations.trl import checkpoint
from cerolab.integrations.trl.clock import rounds_of_epoch
from cerolab.integrations.trl.rewards import RewardError
from tests.llm.small import allocated, pool, problem, run, weights

SIZES = {"num_rounds": 6, "budget": 48}
TWICE = {"method": "cero", "num_iterations": 2, "problem_given": SIZES, "max_grad_norm": 0.0}  # 12 optimizer steps


class Asks(TrainerCallback):
    """Sets a request at one step, and keeps what was done when."""

    def __init__(self, request=None, step=None, event="on_step_end"):
        self.request, self.step, self.done = request, step, []
        setattr(self, event, self.ask)

    def ask(self, args, state, control, **given):
        if state.global_step == self.step:
            setattr(control, self.request, True)

    def on_save(self, args, state, control, **given):
        self.done.append(("save", state.global_step))

    def on_evaluate(self, args, state, control, **given):
        self.done.append(("evaluate", state.global_step))

    def on_epoch_end(self, args, state, control, **given):
        self.done.append(("epoch", state.global_step))


def saved(folder):
    return sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))


@pytest.mark.parametrize("event", ["on_step_end", "on_step_begin", "on_substep_end", "on_log"])
def test_a_save_asked_for_inside_a_round_is_taken_at_its_end_and_resumed_exactly(tmp_path, event):
    given = {**TWICE, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 16}
    whole = allocated(tmp_path / "a", **given, callbacks=[Asks("should_save", 3, event)])
    run(whole)
    first = saved(tmp_path / "a")[0]
    assert first == 4
    again = allocated(tmp_path / "b", **given)
    again.train(resume_from_checkpoint=str(tmp_path / "a" / f"checkpoint-{first}"))
    assert again.state.global_step == whole.state.global_step == 12
    assert torch.equal(weights(again), weights(whole))
    assert again.ledger.state_dict()["responses"] == whole.ledger.state_dict()["responses"]


def test_the_best_policy_is_one_of_a_round_end_and_can_be_resumed(tmp_path):
    given = {
        **TWICE, "save_strategy": "best", "metric_for_best_model": "eval_loss", "greater_is_better": True,
        "eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 8, "num_generations_eval": 2,
        "eval_dataset": pool(4), "load_best_model_at_end": True,
    }  # fmt: skip
    seen = Asks()
    whole = allocated(tmp_path / "a", **given, callbacks=[seen])
    run(whole)
    assert [step for what, step in seen.done if what == "evaluate"] == [2, 4, 6, 8, 10, 12]
    steps = saved(tmp_path / "a")
    assert steps
    assert all(step % 2 == 0 for step in steps)
    assert whole.state.best_model_checkpoint.endswith(f"checkpoint-{whole.state.best_global_step}")
    plain = allocated(tmp_path / "b", **{**given, "load_best_model_at_end": False})
    run(plain)
    again = allocated(tmp_path / "c", **{**given, "load_best_model_at_end": False})
    again.train(resume_from_checkpoint=str(tmp_path / "b" / f"checkpoint-{saved(tmp_path / 'b')[0]}"))
    assert torch.equal(weights(again), weights(plain))


@pytest.mark.parametrize("event", ["on_step_end", "on_log", "on_step_begin"])
def test_a_stop_asked_for_inside_a_round_is_obeyed_at_its_end(tmp_path, event):
    trainer = allocated(tmp_path, **TWICE, callbacks=[Asks("should_training_stop", 5, event)])
    run(trainer)
    assert trainer.state.global_step == 6
    assert trainer.ledger.round_index == 3


@pytest.mark.parametrize(("iterations", "step", "later"), [(1, 1, False), (2, 2, False), (2, 3, True)])
@pytest.mark.parametrize("flag", ["should_training_stop", "should_epoch_stop"])
@pytest.mark.parametrize("event", ["on_step_begin", "on_substep_end"])
def test_a_stop_inside_an_optimizer_step_leaves_only_whole_rounds(tmp_path, event, flag, iterations, step, later):
    given = {
        **TWICE, "num_iterations": iterations, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 16,
        "num_train_epochs": 2.0,
    }  # fmt: skip
    views, asks = [], Asks(flag, step, event)
    saving = {"save_strategy": "steps", "save_steps": iterations}
    trainer = allocated(tmp_path / "a", **given, **saving, on_round=views.append, callbacks=None if later else [asks])
    if later:
        trainer.add_callback(asks)
    run(trainer)
    steps, end = trainer.state.global_step, -(-(step + 1) // iterations) * iterations
    assert steps == (end if flag == "should_training_stop" else end + 3 * iterations)  # an epoch has three rounds
    assert trainer.ledger.round_index == trainer.allocator.round_index == len(views) == steps / iterations
    assert [view.index for view in views] == list(range(len(views)))
    whole, again = allocated(tmp_path / "b", **given), allocated(tmp_path / "c", **given)
    run(whole)
    again.train(resume_from_checkpoint=str(checkpoint.latest(tmp_path / "a")))
    assert checkpoint.latest(tmp_path / "a").name == f"checkpoint-{steps}"
    assert again.state.global_step == whole.state.global_step == 6 * iterations
    assert torch.equal(weights(again), weights(whole))
    assert again.ledger.responses == whole.ledger.responses
    assert (again.ledger.exposure_M == whole.ledger.exposure_M).all()


def test_a_save_by_hand_inside_a_round_says_when_it_is_taken(tmp_path, caplog):
    class ByHand(TrainerCallback):
        def on_step_begin(self, args, state, control, **given):
            if state.global_step == 3:
                trainer._save_checkpoint(trainer.model, None)

    trainer = allocated(tmp_path, **TWICE, callbacks=[ByHand()])
    with caplog.at_level(logging.WARNING):
        run(trainer)
    assert "asked for inside round 1: it is taken at its end" in caplog.text
    assert saved(tmp_path) == [4]


def test_saves_may_be_asked_for_every_so_many_steps_whatever_a_round_has(tmp_path):
    trainer = allocated(tmp_path, **TWICE, save_strategy="steps", save_steps=3)
    run(trainer)
    assert saved(tmp_path) == [4, 6, 10, 12]


def test_a_checkpoint_that_was_taken_inside_a_round_is_refused(tmp_path):
    trainer = allocated(tmp_path / "a", **{**TWICE, "num_iterations": 1}, save_strategy="steps", save_steps=3)
    run(trainer)
    before = allocated(tmp_path / "b", **TWICE)
    with pytest.raises(StateError, match=r"checkpoint-3 was taken inside a round: after 1 of the 2 optimizer steps"):
        before.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    assert before.ledger.units == before.allocator.round_index == 0


@pytest.mark.parametrize(("rounds", "epochs", "each"), [(6, 3.0, 2), (100, 3.0, 34), (5, 4.0, 2), (3, 10.0, 1),
                                                        (7, 0.5, 7), (7, 1.0, 7)])  # fmt: skip
def test_an_epoch_is_a_part_of_the_horizon(rounds, epochs, each):
    assert rounds_of_epoch(rounds, epochs) == each


@pytest.mark.parametrize("iterations", [1, 2])
def test_by_epoch_things_are_done_at_the_end_of_each_and_nothing_else_changes(tmp_path, iterations):
    given = {
        **TWICE, "num_iterations": iterations, "save_strategy": "epoch", "eval_strategy": "epoch",
        "logging_strategy": "epoch", "per_device_eval_batch_size": 8, "num_generations_eval": 2,
        "eval_dataset": pool(4), "num_train_epochs": 3.0,
    }  # fmt: skip
    seen = Asks()
    whole = allocated(tmp_path / "a", **given, callbacks=[seen])
    run(whole)
    ends = [2 * iterations, 4 * iterations, 6 * iterations]
    assert saved(tmp_path / "a") == ends
    assert seen.done == [(what, step) for step in ends for what in ("epoch", "evaluate", "save")]
    assert [entry["epoch"] for entry in whole.state.log_history if "reward" in entry] == [1.0, 2.0, 3.0]
    again = allocated(tmp_path / "b", **given)
    again.train(resume_from_checkpoint=str(tmp_path / "a" / f"checkpoint-{ends[0]}"))
    assert torch.equal(weights(again), weights(whole))


def test_the_number_of_epochs_changes_no_weight(tmp_path):
    trained = []
    for epochs in (1.0, 4.0):
        trainer = allocated(tmp_path, method="cero", problem_given=SIZES, num_train_epochs=epochs)
        run(trainer)
        trained.append(weights(trainer))
    assert torch.equal(*trained)


def test_a_spent_budget_is_saved_and_evaluated_as_the_last_step_is(tmp_path):
    import numpy as np

    from cerolab import Allocation

    schedule = [Allocation(np.arange(8), np.ones(8, np.int64))] * 3
    allocator = make("random_matched", problem(num_rounds=20, budget=24), schedule=schedule)
    seen = Asks()
    trainer = allocated(
        tmp_path, allocator, save_strategy="steps", save_steps=50, eval_strategy="steps", eval_steps=50,
        per_device_eval_batch_size=8, num_generations_eval=2, eval_dataset=pool(4), callbacks=[seen],
    )  # fmt: skip
    run(trainer)
    assert seen.done == [("evaluate", 3), ("save", 3), ("epoch", 3)]


def test_an_allocator_that_has_been_used_is_refused_by_name(tmp_path):
    trainer = allocated(tmp_path / "a", method="cero", problem_given=SIZES)
    run(trainer)
    words = r"allocator=<cero: round 6 of 6.*has been used: 6 rounds and \d+ units are gone; make a fresh one"
    with pytest.raises(CerolabError, match=words):
        allocated(tmp_path / "b", trainer.allocator)
    with pytest.raises(CerolabError, match=words):
        trainer.train()
    half = make("uniform", problem(**SIZES))
    from cerolab import Feedback

    wave = half.allocate()
    half.observe(wave, Feedback(wave.units * 4, wave.units * 2))
    with pytest.raises(CerolabError, match=r"<uniform: round 1 of 6.*1 rounds and 8 units are gone"):
        allocated(tmp_path / "c", half)


class Stops(TrainerCallback):
    def on_step_begin(self, args, state, control, **given):
        if state.global_step == 7:
            raise KeyboardInterrupt


def test_a_trainer_that_was_interrupted_goes_on_from_a_checkpoint(tmp_path):
    given = {**TWICE, "save_strategy": "steps", "save_steps": 2}
    whole = allocated(tmp_path / "a", **given)
    run(whole)
    trainer, stops = allocated(tmp_path / "b", **given), Stops()
    trainer.add_callback(stops)
    with pytest.raises(KeyboardInterrupt):
        run(trainer)
    trainer.remove_callback(stops)
    assert saved(tmp_path / "b") == [2, 4, 6]
    with pytest.raises(CerolabError, match="has been used"):
        trainer.train()
    trainer.train(resume_from_checkpoint=True)
    assert torch.equal(weights(trainer), weights(whole))
    assert checkpoint.latest(tmp_path / "b").name == "checkpoint-12"


def test_a_training_that_was_cut_short_leaves_nothing_in_the_log_of_the_next(tmp_path):
    class Cuts(TrainerCallback):
        def on_substep_end(self, args, state, control, **given):
            if state.global_step > 4 and trainer._clip_log._seen:
                raise KeyboardInterrupt

    given = {
        **TWICE, "gradient_accumulation_steps": 8, "per_device_train_batch_size": 4, "save_strategy": "steps",
        "save_steps": 2, "epsilon": 1e-4,
    }  # fmt: skip
    whole = allocated(tmp_path / "a", **given)
    run(whole)
    trainer, cuts = allocated(tmp_path / "b", **given), Cuts()
    trainer.add_callback(cuts)
    with pytest.raises(KeyboardInterrupt):
        run(trainer)
    trainer.remove_callback(cuts)
    trainer.train(resume_from_checkpoint=True)

    def logged(one):
        entries = [entry for entry in one.state.log_history if "reward" in entry or "loss" in entry]
        return [{name: value for name, value in entry.items() if "time" not in name} for entry in entries]

    assert any(entry.get("clip_ratio/region_mean", 0) > 0 for entry in logged(whole)[6:])
    for mine, theirs in zip(logged(trainer), logged(whole), strict=True):
        assert mine == pytest.approx(theirs, nan_ok=True)


@pytest.mark.parametrize("error", [RewardError, KeyboardInterrupt])
def test_after_an_error_in_a_rollout_the_trainer_still_evaluates(tmp_path, error):
    def reward(completions, **_):
        if trainer.model.training:
            raise KeyboardInterrupt if error is KeyboardInterrupt else ValueError
        return [1.0] * len(completions)

    trainer = allocated(
        tmp_path, problem_given=SIZES, reward=reward, eval_dataset=pool(4), per_device_eval_batch_size=8,
        num_generations_eval=2,
    )  # fmt: skip
    with pytest.raises(error):
        run(trainer)
    assert trainer.evaluate()["eval_reward"] == 1.0
