"""Reward functions of every form, and rewards of every size, through whole trainings."""

import functools
import math
import zipfile
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from transformers import Qwen3ForSequenceClassification

from cerolab.errors import StateError
from cerolab.groups import mixed_groups, whole_groups
from cerolab.integrations.trl import checkpoint
from cerolab.integrations.trl.rewards import RewardError, guarded, renamed, ungrade_models
from llm.models.tiny import tiny_tokenizer
from tests.llm.small import allocated, digits, order_of_uniform, run, small_model, stock, weights
from tests.llm.test_trainer import GENTLE, relative_difference

SHORT = {"num_rounds": 5, "budget": 40}


# --- forms ------------------------------------------------------------------------------------------------------


def scored(completions, scale=1.0, **_):
    return [scale * reward for reward in digits(completions)]


async def awaited(completions, scale=1.0, **_):
    return scored(completions, scale)


class Judge:
    def __call__(self, completions, **_):
        return digits(completions)


class SlowJudge:
    async def __call__(self, completions, **_):
        return digits(completions)


def test_names_are_those_of_trl(tmp_path):
    functions = [
        functools.partial(functools.partial(scored, scale=0.5), scale=0.25), functools.partial(awaited, scale=0.25),
        lambda completions, **_: digits(completions), Judge(), functools.partial(SlowJudge()),
    ]  # fmt: skip
    ours = allocated(tmp_path / "a", reward=list(functions), problem_given={"num_rounds": 1, "budget": 8})
    theirs = stock(tmp_path / "b", list(range(24)), reward=list(functions), max_steps=1)
    assert ours.reward_func_names == theirs.reward_func_names
    assert ours.reward_func_names == ["scored", "awaited", "<lambda>", "Judge", "SlowJudge"]
    run(ours)
    entry = ours.state.log_history[0]
    for name, scale in zip(ours.reward_func_names, (0.25, 0.25, 1.0, 1.0, 1.0), strict=True):
        assert entry[f"rewards/{name}/bad"] == 0.0
        assert entry[f"rewards/{name}/mean"] == pytest.approx(scale * entry["rewards/Judge/mean"])
    assert entry["rewards/Judge/mean"] > 0


def test_of_two_functions_with_one_name_each_has_its_own_metrics(tmp_path, caplog):
    half, quarter = functools.partial(scored, scale=0.5), functools.partial(scored, scale=0.25)
    trainer = allocated(tmp_path, reward=[half, quarter], feedback_reward="scored_2",
                        problem_given={"num_rounds": 1, "budget": 8})  # fmt: skip
    assert "one of them is logged as 'scored_2'" in caplog.text
    run(trainer)
    entry = trainer.state.log_history[0]
    assert entry["rewards/scored/mean"] == pytest.approx(2 * entry["rewards/scored_2/mean"])
    assert entry["rewards/scored_2/bad"] == 0.0
    pair = guarded([half, lambda completions, **_: [1.0]], "error")
    renamed(pair, ["scored", "scored"])
    with pytest.raises(RewardError, match="'scored_2' returned 1 rewards for 2"):
        pair[1](completions=["a", "b"], log_metric=lambda *_: None)


def test_a_new_name_is_nobody_elses():
    functions = [lambda: 0, lambda: 0, lambda: 0, lambda: 0]
    assert renamed(functions, ["a", "a_2", "a", "a"]) == ["a", "a_2", "a_3", "a_4"]


def grade(output, count=2, on_bad_reward="error"):
    (function,) = guarded(lambda completions, **_: output, on_bad_reward)
    return function(completions=["x"] * count, log_metric=lambda *_: None)


@pytest.mark.parametrize(
    "output",
    [
        (1, True), [np.float32(1), np.bool_(1)], np.ones(2), np.ones((2, 1)), torch.ones(2), torch.ones(2, 1),
        [torch.tensor(1.0, requires_grad=True), torch.tensor([1])], iter([1.0, 1.0]), (one for one in (1, 1)),
        [Fraction(1), Decimal(1)],
    ],
    ids=lambda output: type(output).__name__,
)  # fmt: skip
def test_numbers_of_any_kind_are_rewards(output):
    assert grade(output) == [1.0, 1.0]


@pytest.mark.parametrize("output", [None, 1.0, np.array(1.0), torch.tensor(1.0), "11", b"11", {0: 1, 1: 1}, {0, 1},
                                    [1.0], [1.0] * 3])  # fmt: skip
def test_what_is_no_list_of_rewards_is_a_failure_of_the_call(output):
    with pytest.raises(RewardError, match="for 2 completions"):
        grade(output)
    assert grade(output, on_bad_reward="skip") == [None, None]


@pytest.mark.parametrize("bad", ["good", "1", b"1", np.str_("1"), math.nan, math.inf, 1e39, 10**400, 1j, [1.0, 2.0],
                                 np.ones(2), torch.ones(2), {}, object(), Decimal("nan")])  # fmt: skip
def test_what_is_no_number_is_a_failure_of_the_response(bad):
    with pytest.raises(RewardError, match="graded 1 completions with no finite number"):
        grade([1.0, bad])
    assert grade([1.0, bad], on_bad_reward="skip") == [1.0, None]


def test_a_reward_model_that_returns_no_number_is_a_failure_too():
    model = torch.nn.Linear(1, 1)
    rewards = torch.tensor([[1.0, math.inf], [math.nan, 2.0], [0.0, math.nan]])
    with pytest.raises(RewardError, match="'scorer' graded 2 responses with inf"):
        ungrade_models(rewards, [len, model], ["len", "scorer"], "error")
    ungrade_models(rewards, [len, model], ["len", "scorer"], "skip")
    assert rewards.isnan().tolist() == [[False, True], [True, False], [False, True]]


# --- sizes ------------------------------------------------------------------------------------------------------


def punished(completions, **_):
    """0.9 or -0.1."""
    return [reward - 0.1 for reward in digits(completions)]


def length(completions, **_):
    return [-3.0 * len(text) for text in completions]


def reward_model():
    torch.manual_seed(4)
    config = small_model().config
    config.num_labels, config.pad_token_id = 1, tiny_tokenizer().pad_token_id
    return Qwen3ForSequenceClassification(config).float().eval()


REWARDS = {
    "penalty": punished,
    "two functions": [digits, digits],
    "length": length,
    "reward model": None,
}


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize("feedback_map", ["range", "rank"])
def test_rewards_that_are_no_probabilities_train(tmp_path, caplog, kind, feedback_map):
    views = []
    given = {"reward_processing_classes": tiny_tokenizer()} if kind == "reward model" else {}
    trainer = allocated(
        tmp_path, method="cero", reward=REWARDS[kind] or reward_model(), feedback_map=feedback_map,
        on_round=views.append, problem_given=SHORT, **given,
    )  # fmt: skip
    run(trainer)
    assert trainer.ledger.round_index == 5
    groups = [whole_groups(view.waves) for view in views]
    assert any(mixed_groups(group).any() for group in groups)
    for group in groups:
        sums = np.asarray(group.feedback.reward_sum)
        assert ((sums >= 0.0) & (sums <= np.asarray(group.feedback.num_responses))).all()
    entry = trainer.state.log_history[4]
    if feedback_map == "rank":
        assert "feedback/median" in entry
        assert "outside" not in caplog.text
        return
    assert entry["feedback/lowest"] < entry["feedback/highest"]
    assert caplog.text.count("outside [0, 1]") == 1
    assert "feedback_reward=" in caplog.text or "in feedback_reward" in caplog.text


def test_what_is_trained_on_stays_stock(tmp_path):
    start = weights(allocated(tmp_path / "start"))
    ours = allocated(tmp_path / "ours", reward=[punished, length], reward_weights=[1.0, 0.1], **GENTLE)
    theirs = stock(tmp_path / "theirs", order_of_uniform(), reward=[punished, length], reward_weights=[1.0, 0.1],
                   max_steps=20, **GENTLE)  # fmt: skip
    run(ours)
    run(theirs)
    assert (weights(theirs) - start).norm() > 1e-4
    assert relative_difference(ours, theirs, start) < 1e-4


@pytest.mark.parametrize("feedback_map", ["range", "rank"])
def test_a_resumed_training_maps_as_the_whole_one(tmp_path, feedback_map):
    given = {"method": "cero", "reward": [punished, length], "feedback_map": feedback_map, "save_strategy": "steps",
             "save_steps": 3, "problem_given": {"num_rounds": 8, "budget": 64}}  # fmt: skip
    whole = allocated(tmp_path / "a", **given)
    run(whole)
    again = allocated(tmp_path / "b", **given)
    again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    assert torch.equal(weights(again), weights(whole))
    assert again.feedback_map.state.tolist() == whole.feedback_map.state.tolist()
    one, two = whole.allocator.state_dict(), again.allocator.state_dict()
    assert all(np.array_equal(one[key], two[key]) for key in one)

    other = allocated(tmp_path / "c", **{**given, "feedback_map": "none"})
    with pytest.raises(StateError, match=f"feedback_map='{feedback_map}'"):
        other.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-3"))
    assert other.ledger.units == 0
    assert other.allocator.round_index == 0


def test_a_checkpoint_of_a_version_without_maps_still_loads(tmp_path):
    given = {"method": "cero", "save_strategy": "steps", "save_steps": 3,
             "problem_given": {"num_rounds": 6, "budget": 48}}  # fmt: skip
    whole = allocated(tmp_path / "a", **given)
    run(whole)
    folder = tmp_path / "a" / "checkpoint-3"
    kept = tmp_path / "kept.npz"
    with zipfile.ZipFile(folder / checkpoint.FILE) as saved, zipfile.ZipFile(kept, "w") as old:
        for name in saved.namelist():
            if not name.startswith("feedback/"):
                old.writestr(name, saved.read(name))
        assert any(name.startswith("feedback/") for name in saved.namelist())
    kept.replace(folder / checkpoint.FILE)
    checkpoint.verify(folder)
    again = allocated(tmp_path / "b", **given)
    again.train(resume_from_checkpoint=str(folder))
    assert torch.equal(weights(again), weights(whole))


# --- float noise ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0.1, 10.1])
def test_rewards_that_are_all_the_same_move_nothing(tmp_path, size):
    """TRL's own trainer moves by its optimizer's full steps here."""

    def same(completions, **_):
        return [size] * len(completions)

    ours = allocated(tmp_path / "ours", reward=same, problem_given={**SHORT, "responses_per_unit": 8, "capacity": 4,
                     "budget": 20}, num_generations=8)  # fmt: skip
    theirs = stock(tmp_path / "theirs", order_of_uniform(), reward=same, max_steps=5, num_generations=8)
    start = weights(ours)
    run(ours)
    run(theirs)
    assert torch.equal(weights(ours), start)
    assert (weights(theirs) - start).norm() > 0.1
    assert all(entry["frac_reward_zero_std"] == 1.0 for entry in ours.state.log_history[:5])
