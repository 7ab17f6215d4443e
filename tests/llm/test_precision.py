"""Presets of the paper move all weights; where bfloat16 would round the steps away, a training says so first."""

import logging
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from cerolab.errors import InvalidValueError
from cerolab.integrations.trl.precision import share_that_moves
from llm.presets import PRESETS
from llm.settings import TrainSettings
from llm.training.grpo_settings import grpo_config
from tests.llm.small import allocated, run, small_model

PAPER = ["paper-1.5b", "paper-4b", "paper-7b"]


def one_step(folder, settings, dtype, **given):
    """The small model after one round with the settings' numbers; share of the weights that changed."""
    args = grpo_config(settings, settings.problem(settings.num_prompts), folder, 6, use_cpu=True)
    numbers = {name: getattr(args, name) for name in
               ("learning_rate", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay", "max_grad_norm", "optim",
                "bf16", "loss_type")}  # fmt: skip
    model = small_model().to(dtype)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    trainer = allocated(folder, model=model, problem_given={"num_rounds": 1, "budget": 8}, **{**numbers, **given})
    run(trainer)
    assert trainer.ledger.updates == 1
    changed = [p.detach() != s for p, s in zip(trainer.model.parameters(), start, strict=True)]
    return torch.cat([part.flatten() for part in changed]).double().mean().item()


@pytest.mark.parametrize("name", PAPER)
def test_the_presets_of_the_paper_train_weights_in_float32_and_compute_in_bfloat16(tmp_path, name):
    settings = TrainSettings(**PRESETS[name])
    assert (settings.dtype, settings.bf16, settings.learning_rate) == ("float32", True, 1e-6)
    args = grpo_config(settings, settings.problem(8960), tmp_path, 2048, use_cpu=True)
    assert args.bf16
    assert not args.bf16_full_eval


def test_with_the_numbers_of_the_paper_all_weights_move_in_float32_and_few_in_bfloat16(tmp_path, caplog):
    settings = TrainSettings(**PRESETS["paper-1.5b"])
    with caplog.at_level(logging.WARNING, logger="cerolab.integrations.trl.precision"):
        assert one_step(tmp_path / "a", settings, getattr(torch, settings.dtype)) > 0.99
        assert not caplog.messages
        moved = one_step(tmp_path / "b", settings, torch.bfloat16)
    assert moved < 0.05
    (message,) = caplog.messages
    told = float(message.split(" moves ")[1].split(" %")[0]) / 100
    assert told == pytest.approx(moved, abs=0.01)  # Adam's first step is the learning rate, for all that have gradients
    assert "learning_rate=1e-06" in message
    assert "bfloat16" in message
    assert "load the model in float32 (dtype='float32') and compute in bfloat16 by bf16=True" in message


@pytest.mark.parametrize(
    ("dtype", "given", "warns"),
    [
        (torch.bfloat16, {"learning_rate": 1e-6}, True),
        (torch.float16, {"learning_rate": 1e-6}, True),
        (torch.bfloat16, {"learning_rate": 1e-6, "optim": "adamw_torch_fused"}, True),
        (torch.bfloat16, {"learning_rate": 1e-6, "optim": "sgd"}, False),  # its steps are as large as gradients are
        (torch.bfloat16, {"learning_rate": 1e-2}, False),
        (torch.float32, {"learning_rate": 1e-6}, False),
    ],
    ids=str,
)
def test_a_model_of_ones_own_is_looked_at_before_it_trains(tmp_path, caplog, dtype, given, warns):
    with caplog.at_level(logging.WARNING, logger="cerolab.integrations.trl.precision"):
        allocated(tmp_path, model=small_model().to(dtype), **given)
    assert bool(caplog.messages) is warns


def test_adapters_in_float32_on_a_model_in_bfloat16_are_fine(tmp_path, caplog):
    from peft import LoraConfig

    lora = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    with caplog.at_level(logging.WARNING, logger="cerolab.integrations.trl.precision"):
        allocated(tmp_path, model=small_model().to(torch.bfloat16), peft_config=lora, learning_rate=1e-6)
    assert not caplog.messages


def test_the_share_is_that_of_rounding_to_the_nearest():
    ones, small = torch.ones(300, dtype=torch.bfloat16), torch.full((100,), 1e-4, dtype=torch.bfloat16)
    assert share_that_moves([ones], 2.0**-9) == 0.0  # half of the spacing below 1 is a tie, which goes to the even 1
    assert share_that_moves([ones], 2.0**-9 * 1.01) == 0.5
    assert share_that_moves([ones], 2.0**-8) == 0.5  # above 1 numbers are twice as far apart
    assert share_that_moves([ones], 2.0**-8 * 1.01) == 1.0
    assert share_that_moves([ones, small], 1e-6) == 0.25
    assert share_that_moves([ones.float()], 1e-6) == 1.0
    assert share_that_moves([torch.empty(3, dtype=torch.bfloat16, device="meta"), torch.empty(0)], 1e-6) == 1.0


def test_a_large_tensor_is_looked_at_in_part():
    weight = torch.ones(3_000_000, dtype=torch.bfloat16)
    weight[::2] = 1e-4
    assert share_that_moves([weight.view(1000, 3000)], 1e-6) == pytest.approx(0.5, abs=0.02)


def test_float16_is_refused(tmp_path, monkeypatch):
    settings = TrainSettings(trl={"fp16": True}, bf16=False)
    with pytest.raises(InvalidValueError, match=r"fp16=True scales the loss.*bf16=True"):
        settings.check()
    replace(settings, trl={}).check()
    with pytest.raises(InvalidValueError, match="fp16=True scales the loss"):
        allocated(tmp_path, fp16=True)
    monkeypatch.setattr(Accelerator, "mixed_precision", property(lambda self: "fp16"))  # from a file of accelerate
    with pytest.raises(InvalidValueError, match="fp16=True scales the loss"):
        allocated(tmp_path)


def test_float16_by_the_launcher_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(InvalidValueError, match="fp16=True scales the loss"):
        allocated(tmp_path)
