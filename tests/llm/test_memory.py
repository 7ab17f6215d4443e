"""The dry run's estimate of memory: parameters as the configuration has them, activations as autograd keeps them."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config
from trl.trainer.utils import add_fused_lm_head

from llm.presets import PRESETS
from llm.settings import TrainSettings
from llm.training.memory import GIB, Load, _activations, fits, parts, remedies, total
from llm.training.plan import plan
from llm.training.shapes import KNOWN, known_config, shape_of

CONFIGS = [
    Qwen2Config(hidden_size=256, intermediate_size=768, num_hidden_layers=3, num_attention_heads=4,
                num_key_value_heads=2, vocab_size=500),
    Qwen3Config(hidden_size=128, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
                num_key_value_heads=2, head_dim=64, vocab_size=500, tie_word_embeddings=True),
    LlamaConfig(hidden_size=192, intermediate_size=512, num_hidden_layers=2, num_attention_heads=3,
                num_key_value_heads=3, vocab_size=500),
]  # fmt: skip
PLAIN = Load(
    processes=1, in_pieces=False, weight_bytes=4, bf16=True, checkpointing=False, eager=False, lora_rank=0,
    reference=False, rows=4, tokens=96, generated=0, vllm=0.0,
)  # fmt: skip


def on_meta(config):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def seven_billion():
    config = known_config("Qwen/Qwen2.5-7B-Instruct")
    return shape_of(config, on_meta(config))


@pytest.mark.parametrize(
    ("name", "billions"),
    [("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 1.777), ("Qwen/Qwen3-4B-Base", 4.022),
     ("Qwen/Qwen2.5-7B-Instruct", 7.616), ("smollm2", 0.1345)],
)  # fmt: skip
def test_parameters_are_counted_from_the_configuration(name, billions):
    config = known_config(name)
    assert shape_of(config, on_meta(config)).parameters / 1e9 == pytest.approx(billions, rel=5e-4)
    assert known_config("owner/other") is None


def test_the_models_of_all_presets_are_known():
    assert {given["model"] for given in PRESETS.values() if "/" in given.get("model", "")} < set(KNOWN)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
def test_adapters_are_counted_as_peft_makes_them(config):
    from peft import LoraConfig, get_peft_model

    model = AutoModelForCausalLM.from_config(config)
    shape = shape_of(config, model)
    lora = get_peft_model(model, LoraConfig(r=3, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert 3 * shape.adapters == sum(weight.numel() for weight in lora.parameters() if weight.requires_grad)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.model_type)
@pytest.mark.parametrize("changed", [{}, {"checkpointing": True}, {"bf16": False}, {"eager": True}], ids=str)
def test_activations_are_what_autograd_keeps(config, changed):
    load = replace(PLAIN, **changed)
    kept, shape = autograd_keeps(config, load)
    estimate = _activations(shape, load)
    if load.checkpointing:  # the layer that is made again is kept later, in the backward pass
        estimate -= load.rows * load.tokens * _layer(shape, load)
    assert estimate == pytest.approx(kept, rel=0.25)


def _layer(shape, load):
    """Bytes a token of one layer, whose activations are made again."""
    both = [_activations(replace(shape, layers=layers), load) for layers in (1, 2)]
    return (2 * both[0] - both[1]) / (load.rows * load.tokens) - 4 * shape.hidden * 3


def autograd_keeps(config, load):
    """(bytes that autograd saves in the forward pass of TRL's loss, the shape)."""
    torch.manual_seed(0)
    attention = "eager" if load.eager else "sdpa"
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).train()
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    if load.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    ids = torch.randint(5, 100, (load.rows, load.tokens))
    labels = ids.masked_fill(torch.arange(load.tokens) < load.tokens // 2, -100)
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=load.bf16),
    ):
        model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels, fused_lm_head=True)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()), shape_of(config, model)


def test_what_stays_is_counted_by_hand():
    shape = seven_billion()
    load = replace(PLAIN, processes=8, rows=4, tokens=4096, checkpointing=True)
    found = parts(shape, load)
    for name, copies in (("weights", 1), ("gradients", 1), ("AdamW", 2), ("DDP buckets", 1)):
        assert found[name] == copies * 4 * shape.parameters, name
    sharded = parts(shape, replace(load, in_pieces=True))
    assert "DDP buckets" not in sharded
    for name, copies in (("weights", 1), ("gradients", 1), ("AdamW", 2)):
        assert sharded[name] == copies * 4 * shape.parameters / 8, name
    assert parts(shape, replace(load, reference=True))["reference model"] == 4 * shape.parameters
    assert parts(shape, replace(load, lora_rank=16))["AdamW"] < 1e9
    assert total(shape, replace(load, rows=8)) > total(shape, load)


def test_each_remedy_alone_makes_it_fit():
    shape, device = seven_billion(), 80 * GIB
    load = replace(PLAIN, processes=8, rows=4, tokens=4096, checkpointing=True, vllm=0.3)
    assert not fits(shape, load, device)
    found = remedies(shape, load, device, 4)
    assert found == ["sharding (accelerate launch --use_fsdp --fsdp_version 2)", "--lora-rank 16"]
    assert fits(shape, replace(load, in_pieces=True), device)
    many_rows, wider = replace(load, lora_rank=16, rows=16), 90 * GIB
    assert not fits(shape, many_rows, wider)
    assert remedies(shape, many_rows, wider, 4) == ["--batch-size 8", found[0]]
    assert fits(shape, replace(many_rows, rows=8), wider)
    assert fits(shape, replace(many_rows, in_pieces=True), wider)


def test_where_one_change_does_not_do_two_may_and_then_more_processes():
    shape = seven_billion()
    plain = replace(PLAIN, rows=8, tokens=4096, vllm=0.3, processes=8)
    assert remedies(shape, plain, 80 * GIB, 4)[0].startswith("--gradient-checkpointing with sharding")
    one = replace(PLAIN, rows=8, tokens=2304, generated=528)
    (words,) = remedies(shape, one, 24 * GIB, 4)
    assert words == ("sharding (accelerate launch --use_fsdp --fsdp_version 2) over 16 processes with "
                     "--gradient-checkpointing, --batch-size 4 and --engine vllm-server, on other GPUs")  # fmt: skip
    assert remedies(shape, one, 1 * GIB, 4) == ["a smaller model, or a larger device"]


def test_vllm_must_have_room_for_its_own_weights():
    shape = seven_billion()
    load = replace(PLAIN, processes=8, in_pieces=True, rows=4, tokens=1024, checkpointing=True, vllm=0.1)
    assert not fits(shape, load, 80 * GIB)
    assert fits(shape, replace(load, vllm=0.2), 80 * GIB)


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch):
    """As in a dry run, which sets it before the hub's client is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


# --- in the dry run --------------------------------------------------------------------------------------------------


def test_the_plan_compares_with_the_gpu_and_says_what_to_change(monkeypatch):
    settings = TrainSettings(**PRESETS["paper-7b"])
    told = plan(settings, processes=8, gpu_memory=80.0)
    assert "does not fit in 80.0 GiB of the GPU" in told["memory"]
    assert "DDP buckets 28.4" in told["memory"]
    assert "vLLM (30% of the GPU) 24.0" in told["memory"]
    assert told["to make it fit"].startswith("sharding (accelerate launch --use_fsdp --fsdp_version 2)")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")  # what that launcher sets
    told = plan(settings, processes=8, gpu_memory=80.0)
    assert ", fits in 80.0 GiB of the GPU" in told["memory"]
    assert "to make it fit" not in told


@pytest.mark.parametrize(("name", "fit"), [("paper-1.5b", True), ("paper-4b", False)])
def test_the_presets_of_the_paper_on_eight_gpus_of_80_gib(name, fit):
    told = plan(TrainSettings(**PRESETS[name]), processes=8, gpu_memory=80.0)
    assert (", fits in" in told["memory"]) is fit


def test_bfloat16_weights_are_warned_of_before_anything_is_loaded():
    settings = TrainSettings(**{**PRESETS["paper-1.5b"], "dtype": "bfloat16"})
    told = plan(settings, processes=8, gpu_memory=80.0)
    assert told["precision"] == ("weights in bfloat16 above 0.0005 do not notice a step of 1e-06; "
                                 "use --dtype float32 with --bf16")  # fmt: skip
    assert "precision" not in plan(TrainSettings(**PRESETS["paper-1.5b"]), gpu_memory=80.0)


def test_a_model_that_is_not_known_is_not_guessed_from_its_name():
    told = plan(TrainSettings(model="owner/Some-7B", task="gsm8k(owner/x)", eval_samples=1, max_new_tokens=256))
    assert "hf download owner/Some-7B config.json" in told["model"]
    assert told["memory"] == "not known without the model's configuration"


def test_only_the_tiny_model_trains_on_a_whole_round_at_once():
    assert TrainSettings().micro_batch == TrainSettings().scenario()["batch_size"] == 1024
    other = TrainSettings(model="Qwen/Qwen2.5-0.5B", task="gsm8k(owner/x)", eval_samples=1)
    assert other.micro_batch == other.scenario()["batch_size"] == 8
    assert replace(other, batch_size=32).micro_batch == 32
    assert "micro-batches of 8 responses" in plan(replace(other, max_new_tokens=99))["updates"]
