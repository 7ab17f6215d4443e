"""Under the uniform allocator the trainer is TRL's own, setting by setting: weights, and what it logs."""

import pytest
import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from cerolab import make
from cerolab.errors import CerolabError
from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
from llm.models.tiny import tiny_config
from tests.llm.small import allocated, order_of_uniform, problem, run, small_model, stock, weights

GENTLE = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}  # weights move in proportion to gradients
SIZES = {"num_rounds": 6, "budget": 48}
ACCUMULATED = {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 8}


def small_moe():
    """Two experts of which a token takes one; the router's auxiliary loss matters."""
    config = Qwen3MoeConfig(**{**tiny_config().to_dict(), "hidden_size": 16, "intermediate_size": 32, "head_dim": 8,
                               "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
                               "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 1,
                               "router_aux_loss_coef": 5.0, "layer_types": None, "mlp_only_layers": None,
                               "decoder_sparse_step": 1, "model_type": "qwen3_moe", "architectures": None})  # fmt: skip
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    return Qwen3MoeForCausalLM(config).float()


def both(tmp_path, model=small_model, skip_zero_advantage=True, **given):
    """Our trainer and TRL's after six rounds of the same prompts, and how far their weights are apart, relatively."""
    steps = 6 * given.get("num_iterations", 1)
    if "steps_per_generation" in given:
        steps *= given["steps_per_generation"] // given.get("gradient_accumulation_steps", 1)
    ours = allocated(tmp_path / "ours", model=model(), problem_given=SIZES, skip_zero_advantage=skip_zero_advantage,
                     **GENTLE | given)  # fmt: skip
    theirs = stock(tmp_path / "theirs", order_of_uniform(SIZES), model=model(), max_steps=steps, **GENTLE | given)
    start = weights(theirs)
    run(ours)
    run(theirs)
    moved = (weights(theirs) - start).norm()
    assert moved > 1e-4
    assert ours.state.global_step == theirs.state.global_step == steps
    return ours, theirs, float((weights(ours) - weights(theirs)).norm() / moved)


@pytest.mark.parametrize(
    "given",
    [
        ACCUMULATED,
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 8, "steps_per_generation": 4},
        {"num_iterations": 2},
        {"num_iterations": 3, "epsilon": 0.01, "epsilon_high": 0.02, "learning_rate": 1.0},
        {"num_iterations": 2, "delta": 1.05, "learning_rate": 1.0},
        {"num_iterations": 2, "loss_type": "cispo", "epsilon_high": 1.01, "learning_rate": 1.0},
        {"num_iterations": 2, "loss_type": "sapo", "learning_rate": 1.0},
        {"num_iterations": 2, "loss_type": "vespo", "learning_rate": 1.0},
        {"num_iterations": 2, "loss_type": "grpo", "importance_sampling_level": "sequence", **ACCUMULATED},
        {"num_iterations": 2, "off_policy_mask_threshold": 0.001, "learning_rate": 1.0},
        {"scale_rewards": "none"},
        {"scale_rewards": "batch"},
        {"multi_objective_aggregation": "normalize_then_sum"},
        {"importance_sampling_level": "sequence", "loss_type": "luspo"},
        {"top_entropy_quantile": 0.5},
        {"top_entropy_quantile": 0.3, "num_iterations": 2, **ACCUMULATED},
        {"mask_truncated_completions": True, "loss_type": "dapo"},
        {"repetition_penalty": 1.2, "top_k": 5},
        {"cast_lm_head_to_fp32": True},
        {"entropy_coef": 0.1},
        {"entropy_coef": 0.1, "loss_type": "dapo", **ACCUMULATED},
        {"entropy_coef": 0.1, "top_entropy_quantile": 0.5, "loss_type": "luspo"},
        {"use_adaptive_entropy": True, "entropy_coef": 0.1, "entropy_target": 3.0, "entropy_coef_delta": 0.05,
         **ACCUMULATED},
    ],
    ids=str,
)  # fmt: skip
def test_under_uniform_it_ends_with_the_weights_of_stock(tmp_path, given):
    ours, theirs, apart = both(tmp_path, **given)
    assert apart < 1e-4
    assert ours.entropy_coef == theirs.entropy_coef


@pytest.mark.parametrize("given", [{}, {"loss_type": "dapo", **ACCUMULATED}, {"num_iterations": 2}], ids=str)
def test_a_mixture_of_experts_balances_its_router_on_all_rows(tmp_path, given):
    ours, theirs, apart = both(tmp_path, model=small_moe, **given)
    assert any(entry["frac_reward_zero_std"] > 0 for entry in ours.state.log_history[:-1])
    assert ours.aux_loss_enabled
    assert apart < 1e-4
    for mine, stocks in zip(ours.state.log_history[:-1], theirs.state.log_history[:-1], strict=True):
        assert mine["aux_loss"] == pytest.approx(stocks["aux_loss"], abs=1e-5)


def test_without_the_auxiliary_loss_rows_of_experts_may_be_left_out(tmp_path):
    ours, _, apart = both(tmp_path, model=small_moe, router_aux_loss_coef=0.0)
    assert ours._may_skip
    assert apart < 1e-4


@pytest.mark.parametrize(
    "given",
    [{}, {"beta": 0.1}, {"entropy_coef": 0.1}, {"use_adaptive_entropy": True}, {"loss_type": "bnpo"},
     {"top_entropy_quantile": 0.5}], ids=str,
)  # fmt: skip
def test_rows_are_left_out_only_where_no_term_needs_them(tmp_path, given):
    if "beta" in given:
        small_model().save_pretrained(tmp_path / "model")
    model = str(tmp_path / "model") if "beta" in given else None
    assert allocated(tmp_path, model=model, **given)._may_skip is (not given)


@pytest.mark.parametrize(
    "given",
    [
        {"num_iterations": 3, "epsilon": 0.01, "epsilon_high": 0.02},
        {"num_iterations": 2, "epsilon": 0.01, "epsilon_high": 0.02, **ACCUMULATED},
        {"num_iterations": 2, "epsilon": 0.001, "importance_sampling_level": "sequence", **ACCUMULATED},
        {"num_iterations": 2, "loss_type": "dapo", "epsilon": 0.01, "delta": 1.005, "mask_truncated_completions": True},
        {"num_iterations": 2, "loss_type": "cispo", "epsilon_high": 1.01, **ACCUMULATED},
        {"loss_type": "grpo"},
    ],
    ids=str,
)
def test_clip_ratios_are_over_all_rows_though_some_are_left_out(tmp_path, given):
    ours, theirs, _ = both(tmp_path, **{"learning_rate": 1.0, **given})
    assert ours._may_skip
    assert any(0 < entry["frac_reward_zero_std"] < 1 for entry in ours.state.log_history[:-1] if "reward" in entry)
    seen = 0.0
    for mine, stocks in zip(ours.state.log_history[:-1], theirs.state.log_history[:-1], strict=True):
        names = [name for name in stocks if "clip_ratio" in name]
        assert names
        for name in names:
            seen += stocks[name] or 0.0
            assert mine[name] == pytest.approx(stocks[name], abs=1e-6), name
        assert "entropy" not in mine  # of the rows left out nobody knows it
        assert mine["trained_rows/entropy"] >= 0
        assert set(stocks) - set(mine) == {"entropy"}
        assert mine["step_time"] > 0
    assert (seen > 0) is ("num_iterations" in given)


def test_what_processes_tell_each_other_of_clipping_is_on_their_device(tmp_path, monkeypatch):
    sent = []
    send = AllocatedGRPOTrainer._gathered
    monkeypatch.setattr(
        AllocatedGRPOTrainer, "_gathered", lambda self, here: [sent.append(tuple(here.shape)), send(self, here)][1]
    )
    run(allocated(tmp_path, num_iterations=2, epsilon=0.01))
    assert (1, 1, 4) in sent  # sums, least and most of one micro-batch: by the way that moves to the device


def test_with_all_rows_the_entropy_is_that_of_stock(tmp_path):
    ours, theirs, _ = both(tmp_path, skip_zero_advantage=False)
    for mine, stocks in zip(ours.state.log_history[:-1], theirs.state.log_history[:-1], strict=True):
        assert mine["entropy"] == pytest.approx(stocks["entropy"], abs=1e-5)
        assert not any(name.startswith("trained_rows/") for name in mine)


def outcome(make_trainer, **given):
    """Kind and first line of the error."""
    with pytest.raises(Exception) as caught:  # whatever it is
        make_trainer(**given)
    return type(caught.value), str(caught.value).splitlines()[0]


@pytest.mark.parametrize("wrong", ["no reward", "no data", "several splits", "a list", "a name"])
def test_what_stock_refuses_is_refused_in_its_words(tmp_path, wrong):
    from datasets import DatasetDict
    from trl import GRPOTrainer

    from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
    from llm.models.tiny import tiny_tokenizer
    from tests.llm.small import config, digits, pool

    given = {"model": small_model(), "reward_funcs": digits, "args": config(tmp_path), "train_dataset": pool(),
             "processing_class": tiny_tokenizer()}  # fmt: skip
    given |= {
        "no reward": {"reward_funcs": None},
        "no data": {"train_dataset": None},
        "several splits": {"train_dataset": DatasetDict({"train": pool()})},
        "a list": {"train_dataset": list(pool())},
        "a name": {"train_dataset": "owner/name"},
    }[wrong]
    theirs = outcome(GRPOTrainer, **given)
    assert outcome(AllocatedGRPOTrainer, allocator=make("uniform", problem()), **given) == theirs


def test_settings_left_out_are_those_of_stock(monkeypatch, tmp_path):
    from trl.trainer.base_config import _BaseConfig

    from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
    from llm.models.tiny import tiny_tokenizer
    from tests.llm.small import digits, pool

    checked = _BaseConfig.__post_init__

    def on_cpu(self):  # TRL's defaults need a GPU
        self.use_cpu = True
        checked(self)

    monkeypatch.setattr(_BaseConfig, "__post_init__", on_cpu)
    monkeypatch.chdir(tmp_path)
    model = small_model()
    model.config._name_or_path = "somewhere/small"
    sizes = problem(capacity=1, budget=20, responses_per_unit=8)
    trainer = AllocatedGRPOTrainer(
        model, digits, train_dataset=pool(), allocator=make("uniform", sizes), processing_class=tiny_tokenizer()
    )
    assert trainer.args.output_dir == "small-GRPO"
    assert trainer.args.max_steps == 20


def test_an_iterable_data_set_has_no_rows_to_choose_from(tmp_path):
    from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
    from llm.models.tiny import tiny_tokenizer
    from tests.llm.small import config, digits, pool

    with pytest.raises(CerolabError, match="train_dataset='IterableDataset' cannot be indexed"):
        AllocatedGRPOTrainer(small_model(), digits, config(tmp_path), pool().to_iterable_dataset(),
                             allocator=make("uniform", problem()), processing_class=tiny_tokenizer())  # fmt: skip
