"""The allocated trainer against the stock one, and against itself cut up in other ways."""

import numpy as np
import pytest
import torch

from cerolab import AllocationProblem, make
from cerolab.errors import CerolabError, StateError
from cerolab.integrations.trl import checkpoint
from cerolab.integrations.trl.rewards import RewardError
from tests.llm.small import allocated, digits, order_of_uniform, problem, run, small_model, stock, weights

LOSSES = ["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"]
GENTLE = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}  # weights move in proportion to gradients


def relative_difference(one, other, start):
    return float((weights(one) - weights(other)).norm() / (weights(other) - start).norm())


@pytest.fixture
def start():
    return torch.cat([parameter.detach().flatten() for parameter in small_model().parameters()])


@pytest.mark.parametrize("loss_type", LOSSES)
def test_with_the_uniform_allocator_it_is_the_stock_trainer(tmp_path, start, loss_type):
    ours = allocated(tmp_path / "ours", loss_type=loss_type, **GENTLE)
    theirs = stock(tmp_path / "theirs", order_of_uniform(), loss_type=loss_type, max_steps=20, **GENTLE)
    run(ours)
    run(theirs)
    assert (weights(theirs) - start).norm() > 1e-4
    assert relative_difference(ours, theirs, start) < 1e-4
    for mine, stocks in zip(ours.state.log_history[:20], theirs.state.log_history[:20], strict=True):
        for key in ("reward", "reward_std", "frac_reward_zero_std", "completions/mean_length", "num_tokens"):
            assert mine[key] == pytest.approx(stocks[key], abs=1e-6), key
        assert mine["loss"] == pytest.approx(stocks["loss"], abs=1e-5)


def test_the_same_with_a_penalty_for_leaving_the_reference(tmp_path, start):
    small_model().save_pretrained(tmp_path / "model")
    model = str(tmp_path / "model")
    given = {"beta": 0.1, "model_init_kwargs": {"attn_implementation": "eager", "dtype": "float32"}, **GENTLE}
    ours = allocated(tmp_path / "ours", model=model, **given)
    theirs = stock(tmp_path / "theirs", order_of_uniform(), model=model, max_steps=20, **given)
    run(ours)
    run(theirs)
    assert relative_difference(ours, theirs, start) < 1e-4


def test_the_same_with_lora(tmp_path):
    from peft import LoraConfig

    def with_lora(make_trainer, *args, **given):
        torch.manual_seed(11)  # the adapters start from the same random numbers
        lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=True)
        return make_trainer(
            *args, peft_config=lora, **{**GENTLE, "learning_rate": 0.5, **given}
        )  # 5.0 amplifies rounding to 1 %

    ours = with_lora(allocated, tmp_path / "ours")
    theirs = with_lora(stock, tmp_path / "theirs", order_of_uniform(), max_steps=20)
    before = {name: value.clone() for name, value in ours.model.named_parameters()}
    start = weights(ours)
    run(ours)
    run(theirs)
    moved = {name for name, value in ours.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved
    assert all("lora_" in name for name in moved)
    assert relative_difference(ours, theirs, start) < 1e-4


@pytest.mark.parametrize("loss_type", [loss for loss in LOSSES if loss != "bnpo"])  # bnpo is a mean per micro-batch
def test_the_size_of_micro_batches_changes_nothing(tmp_path, start, loss_type):
    whole = allocated(tmp_path / "a", method="cero", loss_type=loss_type, **GENTLE)
    cut = allocated(
        tmp_path / "b", method="cero", loss_type=loss_type, per_device_train_batch_size=4,
        gradient_accumulation_steps=8, **GENTLE,
    )  # fmt: skip
    run(whole)
    run(cut)
    assert whole.ledger.responses == cut.ledger.responses
    assert relative_difference(cut, whole, start) < 1e-4


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_leaving_out_rows_without_advantage_changes_nothing(tmp_path, start, loss_type):
    sizes = {"max_units": 2, "budget": 80, "capacity": 8}
    kept = allocated(tmp_path / "a", method="cero", problem_given=sizes, skip_zero_advantage=False,
                     loss_type=loss_type, **GENTLE)  # fmt: skip
    left_out = allocated(tmp_path / "b", method="cero", problem_given=sizes, loss_type=loss_type, **GENTLE)
    run(kept)
    run(left_out)
    assert relative_difference(left_out, kept, start) < 1e-4


def test_the_order_of_groups_in_a_round_changes_nothing(tmp_path):
    """The same responses, laid out in another order, give the same gradient."""
    from cerolab.integrations.trl.rows.batches import pick

    trainer = allocated(tmp_path, problem_given={"max_units": 2, "capacity": 8, "budget": 80}, method="cero")
    gradients = []
    for shuffled in (False, True):
        trainer.model.train()
        torch.manual_seed(0)
        trainer.allocator, trainer.ledger = make("cero", trainer.allocator.problem), type(trainer.ledger)(
            trainer.allocator.problem
        )  # fmt: skip
        trainer.current_gradient_accumulation_steps = 1
        (batch,) = trainer._round()
        if shuffled:
            rows = {key: value for key, value in batch.items() if value.dim() and key != "clip_sizes"}
            batch |= pick(rows, torch.randperm(len(rows["advantages"])))
        trainer.model.zero_grad()
        trainer.compute_loss(trainer.model, batch).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in trainer.model.parameters()]))
    assert gradients[0].norm() > 0
    assert torch.allclose(gradients[0], gradients[1], atol=1e-6)


class Rounds(list):
    """Keeps what a recorder is shown."""

    def __call__(self, view):
        self.append((view.index, [wave.allocation for wave in view.waves], view.trained, view.tokens))


class Idle:
    """Wraps an allocator so that it admits nobody in the rounds named."""

    def __init__(self, inner, idle):
        self.inner, self.idle = inner, idle

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_a_round_that_admits_nobody_moves_nothing_and_counts(tmp_path):
    from cerolab import Allocation
    from cerolab.allocators.random_matched import RandomMatched  # replays a schedule: rounds can be empty

    sizes = problem(num_rounds=6, budget=24)
    schedule = [Allocation(np.array([1, 2, 3]), np.array([1, 1, 1])) if k % 2 == 0 else Allocation.empty()
                for k in range(6)]  # fmt: skip
    allocator = make("random_matched", sizes, schedule=schedule)
    assert isinstance(allocator, RandomMatched)
    seen, rounds = [], Rounds()

    def on_round(view):
        rounds(view)
        seen.append(weights(trainer).clone())

    trainer = allocated(tmp_path, allocator, weight_decay=0.1, on_round=on_round)
    run(trainer)
    assert trainer.state.global_step == 6
    assert trainer.ledger.updates == 3
    assert trainer.ledger.round_index == 6
    for k in (1, 3, 5):
        assert torch.equal(seen[k], seen[k - 1])
    assert [index for index, *_ in rounds] == list(range(6))


def test_a_round_without_advantages_still_makes_the_optimizer_step(tmp_path, start):
    """As the stock trainer does: momentum and weight decay go on."""
    trainer = allocated(tmp_path, reward=lambda completions, **_: [1.0] * len(completions), weight_decay=0.1)
    run(trainer)
    assert not torch.equal(weights(trainer), start)


@pytest.mark.parametrize("method", ["uniform", "cero", "cero_fixed", "cero_preset", "cero_greedy"])
@pytest.mark.parametrize("sizes", [{}, {"max_units": 2, "capacity": 8, "budget": 100}], ids=["groups of 4", "4 and 8"])
def test_the_ledger_counts_the_responses_that_were_made(tmp_path, method, sizes):
    trainer = allocated(tmp_path, method=method, problem_given=sizes)
    made, plain = [], trainer.model.generate

    def counting(input_ids, **given):
        made.append(len(input_ids))
        return plain(input_ids=input_ids, **given)

    trainer.model.generate = counting
    rounds = Rounds()
    trainer.on_round = rounds
    run(trainer)
    assert sum(made) == trainer.ledger.responses
    assert trainer.ledger.responses <= trainer.allocator.problem.budget_responses
    assert sum(int(tokens.sum()) for *_, tokens in rounds) == trainer.ledger.tokens > 0
    exposure = sum(np.bincount(wave.prompts, wave.units, 24) for _, waves, *_ in rounds for wave in waves)
    assert exposure.tolist() == trainer.ledger.exposure_M.tolist()


@pytest.mark.parametrize("method", ["uniform", "resolve", "dapo"])
def test_a_token_budget_is_never_overspent_and_ends_the_training(tmp_path, method):
    sizes = {"max_units": 2, "token_budget": 900, "max_tokens": 6}
    trainer = allocated(tmp_path, method=method, problem_given=sizes)
    rounds = Rounds()
    trainer.on_round = rounds
    run(trainer)
    ledger, allocator = trainer.ledger, trainer.allocator
    assert sum(int(tokens.sum()) for *_, tokens in rounds) == ledger.tokens <= 900
    assert ledger.tokens > 700
    assert allocator.remaining_tokens == ledger.remaining_tokens == 900 - ledger.tokens
    assert allocator.done
    assert ledger.remaining > 0  # units were left


def test_responses_longer_than_the_token_budget_reserves_are_refused(tmp_path):
    with pytest.raises(CerolabError, match="max_completion_length=6 is above max_tokens=5"):
        allocated(tmp_path, problem_given={"token_budget": 900, "max_tokens": 5})


def test_training_ends_when_the_budget_is_spent(tmp_path):
    sizes = problem(num_rounds=20, budget=24)
    from cerolab import Allocation

    schedule = [Allocation(np.arange(8), np.ones(8, np.int64))] * 3
    trainer = allocated(tmp_path, make("random_matched", sizes, schedule=schedule))
    run(trainer)
    assert trainer.ledger.remaining == 0
    assert trainer.state.global_step == 3


def test_resumed_equals_uninterrupted_bit_for_bit(tmp_path):
    sizes = {"max_units": 2, "capacity": 8, "budget": 100}
    given = {"method": "cero", "problem_given": sizes, "save_strategy": "steps", "save_steps": 5}
    whole, rounds = allocated(tmp_path / "a", **given), Rounds()
    whole.on_round = rounds
    run(whole)
    folder = checkpoint.latest(tmp_path / "a").with_name("checkpoint-10")
    again, later = allocated(tmp_path / "b", **given), Rounds()
    again.on_round = later
    again.train(resume_from_checkpoint=str(folder))
    assert [index for index, *_ in later] == list(range(10, 20))
    for mine, theirs in zip(later, rounds[10:], strict=True):
        assert [wave.prompts.tolist() for wave in mine[1]] == [wave.prompts.tolist() for wave in theirs[1]]
    assert torch.equal(weights(again), weights(whole))
    assert again.ledger.state_dict()["responses"] == whole.ledger.state_dict()["responses"]


def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(tmp_path):
    trainer = allocated(tmp_path / "a", method="cero", save_strategy="steps", save_steps=10)
    run(trainer)
    folder = str(tmp_path / "a" / "checkpoint-10")
    other = allocated(tmp_path / "b", method="cero_fixed")
    with pytest.raises(StateError, match="method"):
        other.train(resume_from_checkpoint=folder)
    assert other.ledger.units == 0
    (tmp_path / "a" / "checkpoint-10" / checkpoint.FILE).unlink()
    with pytest.raises(StateError, match="cut short"):
        allocated(tmp_path / "c", method="cero").train(resume_from_checkpoint=folder)
    assert checkpoint.latest(tmp_path / "a").name == "checkpoint-20"


ODD = {"nan": float("nan"), "text": "good", "digits": "1.0", "huge": 1e39}


def failing(kind):
    calls = []

    def judge(completions, **_):
        calls.append(1)
        if len(calls) < 3:
            return digits(completions)
        if kind == "raises":
            raise OSError("the verifier is down")
        if kind == "short":
            return digits(completions)[:-1]
        if kind in ODD:
            return [ODD[kind], *digits(completions)[1:]]
        return [None, *digits(completions)[1:]]

    return judge


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("raises", "judge.*the verifier is down"),
        ("short", "31 rewards for 32"),
        ("nan", "nan"),
        ("text", "'judge' graded 1 completions with no finite number but 'good'"),
        ("digits", "no finite number but '1.0'"),
        ("huge", r"no finite number but 1e\+39"),
        ("none", "train_dataset"),
    ],
)
def test_a_reward_function_that_fails_is_an_error(tmp_path, kind, words):
    trainer = allocated(tmp_path, reward=failing(kind))
    with pytest.raises(RewardError, match=words):
        run(trainer)


@pytest.mark.parametrize(("kind", "ungraded"), [("raises", 32), ("short", 32), ("nan", 1), ("text", 1), ("none", 1)])
def test_or_a_counted_skip_and_never_a_silent_zero(tmp_path, kind, ungraded, caplog):
    views = []
    trainer = allocated(tmp_path, method="cero", reward=failing(kind), on_bad_reward="skip", on_round=views.append)
    run(trainer)
    view = [view for view in views if view.waves[0].allocation.num_groups][2]  # the third call of the judge fails
    wave, entry = view.waves[0], trainer.state.log_history[view.index]
    assert int(np.sum(wave.allocation.units)) * 4 - int(np.sum(wave.feedback.num_responses)) == ungraded
    assert entry["rewards/ungraded"] == ungraded
    if kind != "none":
        assert "judge" in caplog.text
        assert entry["rewards/judge/bad"] > 0


def test_graded_rewards_reach_the_allocator(tmp_path):
    views = []
    trainer = allocated(
        tmp_path, method="cero", on_round=views.append,
        reward=lambda completions, **_: [len(set(text)) / 6 for text in completions],
    )  # fmt: skip
    run(trainer)
    assert views[0].waves[0].feedback.reward_sq_sum is not None


def test_a_reward_outside_the_unit_interval_is_refused_by_name_where_that_is_asked_for(tmp_path):
    trainer = allocated(
        tmp_path, method="cero", reward=[lambda completions, **_: [2.0] * len(completions), digits], feedback_map="none"
    )
    with pytest.raises(CerolabError, match=r"outside \[0, 1\].*feedback_reward='digits' \(of <lambda>, digits\)"):
        run(trainer)
    with pytest.raises(CerolabError, match="none, range, rank"):
        allocated(tmp_path, feedback_map="scale")


def test_the_allocator_can_learn_from_one_of_several_reward_functions(tmp_path):
    def length(completions, **_):
        return [10.0 * len(text) for text in completions]

    views = []
    trainer = allocated(tmp_path, method="cero", reward=[digits, length], feedback_reward="digits",
                        on_round=views.append)  # fmt: skip
    run(trainer)
    assert all(
        float(np.max(view.waves[0].feedback.reward_sum)) <= 4 for view in views if view.waves[0].allocation.num_groups
    )
    with pytest.raises(CerolabError, match="digits, length"):
        allocated(tmp_path, reward=[digits, length], feedback_reward="digit")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"per_device_train_batch_size": 16}, "holds 16 responses"),
        ({"max_steps": 7}, "num_rounds"),
        ({"on_bad_reward": "ignore"}, "error, skip"),
        ({"gradient_accumulation_steps": 2, "steps_per_generation": 1, "per_device_train_batch_size": 32},
         "gradient_accumulation_steps"),
    ],
    ids=str,
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused_by_name(tmp_path, given, words):
    with pytest.raises(CerolabError, match=words):
        allocated(tmp_path, **given)


def test_a_dataset_of_another_size_is_refused(tmp_path):
    from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
    from llm.models.tiny import tiny_tokenizer
    from tests.llm.small import config, pool

    with pytest.raises(CerolabError, match="23 rows"):
        AllocatedGRPOTrainer(small_model(), digits, config(tmp_path), pool(23), allocator=make("uniform", problem()),
                             processing_class=tiny_tokenizer())  # fmt: skip
    with pytest.raises(CerolabError, match="rollout_func"):
        AllocatedGRPOTrainer(small_model(), digits, config(tmp_path), pool(), allocator=make("uniform", problem()),
                             processing_class=tiny_tokenizer(), rollout_func=print)  # fmt: skip


def test_metrics_of_the_allocator_are_in_the_log(tmp_path):
    trainer = allocated(tmp_path, method="cero")
    run(trainer)
    entry = trainer.state.log_history[3]
    for key in ("allocator/price", "allocator/remaining", "allocator/effective_group_rate", "allocator/responses_left"):
        assert key in entry
    assert isinstance(trainer.allocator.problem, AllocationProblem)
