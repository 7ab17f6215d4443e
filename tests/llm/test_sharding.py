"""Weights in pieces on two processes train what one process would: FSDP2, and DeepSpeed's ZeRO where it is installed.

accelerate shards on accelerators only; ``sharded_on_cpus`` lets it on two gloo processes, where its own code and
torch's run as they are. A stand-in answers for vLLM; TRL itself gathers the weights that it is sent.
This file is a test and, under torchrun, the program of its two processes.
"""

import os
import subprocess
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.parallelism_config import ParallelismConfig
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from cerolab import make
from cerolab.errors import CerolabError
from cerolab.integrations.trl.processes.sharding import check_reward_models, check_sharding, sharding
from llm.models.tiny import tiny_tokenizer
from tests.llm.scripted import Rounds, ScriptedTrainer
from tests.llm.small import allocated, config, digits, pool, problem, small_model
from tests.llm.stub_vllm import stub_vllm

ROOT = Path(__file__).resolve().parents[2]
ENGINE = {
    "use_vllm": True, "vllm_mode": "colocate", "vllm_importance_sampling_mode": "token_truncate",
    "vllm_importance_sampling_clip_max": 2.0,
}  # fmt: skip
LAYER = "Qwen3DecoderLayer"
FSDP = {"fsdp": True, "fsdp_config": {"version": 2, "transformer_layer_cls_to_wrap": [LAYER]}}
BY_THE_LAUNCHER = {
    "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_TRANSFORMER_CLS_TO_WRAP": LAYER,
}  # fmt: skip


def zero(stage):
    return {"deepspeed": {
        "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto", "gradient_clipping": "auto",
        "zero_allow_untested_optimizer": True, "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": {"stage": stage},
    }}  # fmt: skip


ROUNDS = (
    [{5: 1}],  # one response: the second process has fillers only
    [{3: 4}],
    [{}],  # nobody
    [{1: 2, 2: 3}, {2: 1}],  # two waves, fillers only in the second
    [{4: 3, 8: 2}],  # an odd number of responses
    [{8: 4}],  # responses, and no update
    [{0: 4, 6: 4}],
)


class Scripted(ScriptedTrainer):
    """The responses of its stand-in for vLLM are written down."""

    def __init__(self, *given, **named):
        with stub_vllm():
            super().__init__(*given, **named)
        self.llm = self.vllm_generation.llm
        self.llm.respond = self.respond

    def respond(self, prompts):
        return [[*map(int, rng.choice(range(3, 46), int(rng.integers(1, 6)))), 2] for rng in self.luck(prompts)]


SCENARIOS = {  # loss, micro-batches, optimizer, learning rate
    "dapo, AdamW": ("dapo", 1, "adamw_torch", 1e-3),
    "grpo, micro-batches": ("grpo", 3, "sgd", 1.0),
}


def trainer_of(scenario, folder, **given):
    loss, micro_batches, optimizer, rate = SCENARIOS[scenario]
    sizes = problem(responses_per_unit=1, max_units=4, capacity=12, num_rounds=7, budget=60)
    return Scripted(
        small_model(), digits,
        config(folder, optim=optimizer, learning_rate=rate, loss_type=loss, max_grad_norm=0.05, num_generations=2,
               per_device_train_batch_size=12 // int(os.environ.get("WORLD_SIZE", "1")) // micro_batches,
               gradient_accumulation_steps=micro_batches, **{**ENGINE, **given}),
        pool(), allocator=Rounds(sizes, ROUNDS, untrained=8), processing_class=tiny_tokenizer(), on_bad_reward="skip",
    )  # fmt: skip


def outcome(trainer):
    """What this process came to; the weights as TRL hands them to vLLM."""
    syncs = trainer.llm.syncs
    trainer.vllm_generation.sync_weights()
    return {
        "kind": trainer.accelerator.distributed_type.value,
        "weights": torch.cat([trainer.llm.loaded[name].flatten() for name, _ in small_model().named_parameters()]),
        "ledger": trainer.ledger.state_dict(),
        "norms": [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry],
        "made": trainer.made,
        "syncs": syncs,
    }


def play(folder, backend):
    """Every scenario in this process or, under torchrun, in all of them together; then one that is resumed."""
    found = {}
    for scenario in SCENARIOS:
        trainer = trainer_of(scenario, folder / scenario, save_strategy="steps", save_steps=4, **backend)
        trainer.train()
        found[scenario] = outcome(trainer)
    resumed = trainer_of(scenario := "dapo, AdamW", folder / "resumed", **backend)
    resumed.train(resume_from_checkpoint=str(folder / scenario / "checkpoint-4"))
    found["resumed"] = outcome(resumed)
    return found


def play_launched(folder):
    """FSDP as a config file of accelerate has it: TRL's settings stay empty."""
    for name in [name for name in os.environ if name.startswith(("FSDP_", "ACCELERATE_USE"))]:
        del os.environ[name]
    os.environ.update(BY_THE_LAUNCHER)
    trainer = trainer_of("dapo, AdamW", folder / "launched")
    assert not trainer.args.fsdp
    trainer.train()
    found = outcome(trainer)
    try:
        trainer_of("dapo, AdamW", folder / "refused", use_vllm=False)
    except CerolabError as error:
        return {**found, "refused": str(error)}
    raise AssertionError("generation by transformers is not refused")


@contextmanager
def sharded_on_cpus():
    """Let accelerate shard without an accelerator: what its state does on a GPU, after it took the CPU's way."""
    made = AcceleratorState.__init__

    def make_state(self, *given, fsdp_plugin=None, deepspeed_plugin=None, **named):
        zero, os.environ["ACCELERATE_USE_DEEPSPEED"] = deepspeed_plugin is not None, "false"
        made(self, *given, fsdp_plugin=fsdp_plugin, deepspeed_plugin=deepspeed_plugin, **named)
        if (fsdp_plugin is None and not zero) or self.distributed_type != DistributedType.MULTI_CPU:
            return
        self.distributed_type = DistributedType.DEEPSPEED if zero else DistributedType.FSDP
        PartialState._shared_state["distributed_type"] = self.distributed_type
        if zero:
            os.environ["ACCELERATE_USE_DEEPSPEED"] = "true"
            plugins = deepspeed_plugin if isinstance(deepspeed_plugin, dict) else {"": deepspeed_plugin}
            for plugin in plugins.values():
                plugin.set_mixed_precision(self._mixed_precision)
            next(iter(plugins.values())).select(_from_accelerator_state=True)
            self.deepspeed_plugins = deepspeed_plugin
        else:
            self.fsdp_plugin = fsdp_plugin

    with patch.object(AcceleratorState, "__init__", make_state):
        yield


def together(folder, alone, backend):
    """(what one process came to, what each of two came to)."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    with (folder / "output").open("w") as output:
        both = subprocess.Popen([*command, folder, backend], cwd=ROOT, env=environment, stdout=output, stderr=output)
        try:
            one = play(alone, {})
            both.wait(timeout=500)
        finally:
            both.terminate()
    assert both.returncode == 0, (folder / "output").read_text()[-5000:]
    return one, [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


def check(alone, both, kind):
    start = torch.cat([parameter.detach().flatten() for parameter in small_model().parameters()])
    for scenario in SCENARIOS:
        one, (first, second) = alone[scenario], (rank[scenario] for rank in both)
        assert first["kind"] == kind
        moved = float((one["weights"] - start).norm())
        assert moved > 1e-2
        assert float((one["weights"] - first["weights"]).norm()) < 1e-5 * moved, scenario
        assert torch.equal(first["weights"], second["weights"]), scenario
        norms = list(one["norms"])
        for idle in (2, 5) if kind == "DEEPSPEED" else ():  # without an update it names the last norm again
            norms[idle] = norms[idle - 1]
        assert first["norms"] == pytest.approx(norms, rel=1e-4, abs=1e-7), scenario
        assert max(one["norms"]) > 0.05  # clipped
        for name, value in one["ledger"].items():
            np.testing.assert_array_equal(value, first["ledger"][name], err_msg=name)
        assert one["made"] == first["made"] + second["made"] > first["made"]
        assert one["syncs"] == first["syncs"] == second["syncs"] == 5  # of 7 rounds, one had nobody and one no update
    for found in (alone, *both):
        assert torch.equal(found["resumed"]["weights"], found["dapo, AdamW"]["weights"])


@pytest.mark.slow
def test_fsdp2_on_two_processes_is_one_process(tmp_path):
    alone, both = together(tmp_path, tmp_path / "alone", "fsdp")
    check(alone, both, "FSDP")
    for rank in both:
        launched = rank["launched"]
        assert launched["kind"] == "FSDP"
        assert torch.equal(launched["weights"], rank["dapo, AdamW"]["weights"])
        assert "use_vllm=False leaves generation to transformers, where with FSDP" in launched["refused"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="docs/many-gpus.md says how to install it")
@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_on_two_processes_is_one_process(tmp_path, stage):
    alone, both = together(tmp_path, tmp_path / "alone", f"zero{stage}")
    check(alone, both, "DEEPSPEED")


# --- what is refused -------------------------------------------------------------------------------------------------


def test_what_accelerates_launcher_was_told_counts_as_much_as_the_settings(tmp_path, monkeypatch):
    args = config(tmp_path)
    assert sharding(args) == ("NO", False)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert sharding(args) == ("FSDP", True)
    with pytest.raises(CerolabError, match=r"use_vllm=False leaves generation .* FSDP .*set use_vllm=True"):
        allocated(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    assert sharding(args) == ("DEEPSPEED", False)  # of which stage is not known yet


def test_what_accelerate_came_to_is_checked_whoever_asked_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Accelerator, "distributed_type", property(lambda self: DistributedType.MEGATRON_LM))
    with pytest.raises(CerolabError, match=r"MEGATRON_LM was never tried .* use DDP, FSDP2 or DeepSpeed ZeRO"):
        allocated(tmp_path)


@pytest.mark.parametrize(
    ("kind", "in_pieces", "given", "words"),
    [
        ("FSDP", True, {}, "with FSDP every token needs all processes"),
        ("DEEPSPEED", True, {}, "with ZeRO-3 every token needs all processes"),
        ("DEEPSPEED", False, {}, None),  # ZeRO-2: each process has all weights
        ("FSDP", True, {"use_vllm": True}, None),  # groups of any size
        ("MULTI_GPU", False, {}, None),
        ("XLA", False, {}, "XLA was never tried"),
        ("MULTI_GPU", False, {"use_vllm": True, "vllm_mode": "server"}, "no multiple of the 3 processes"),
        ("FSDP", True, {"use_vllm": True, "vllm_tensor_parallel_size": 3}, "no multiple of the 3 processes"),
    ],
)
def test_only_what_would_hang_is_refused(tmp_path, kind, in_pieces, given, words):
    args = config(tmp_path, **given)
    if words is None:
        check_sharding(kind, in_pieces, args, problem(), 3)
    else:
        with pytest.raises(CerolabError, match=words):
            check_sharding(kind, in_pieces, args, problem(), 3)


@pytest.mark.parametrize("size", ["tp_size", "cp_size"])
def test_processes_that_share_a_row_are_refused(tmp_path, monkeypatch, size):
    trainer = allocated(tmp_path)
    mesh = ParallelismConfig(**{size: 2})
    monkeypatch.setattr(Accelerator, "parallelism_config", property(lambda _: mesh))
    with pytest.raises(CerolabError, match=f"accelerate's {size[:2]} of its parallelism_config"):
        trainer._check_accelerator()


def test_a_reward_model_in_pieces_is_refused():
    check_reward_models([len])
    with pytest.raises(CerolabError, match="reward model cannot be used with DeepSpeed ZeRO-3"):
        check_reward_models([len, torch.nn.Linear(1, 1)])


def test_a_training_with_vllm_passes_without_a_launcher(tmp_path):
    with stub_vllm():
        allocated(tmp_path, allocator=make("uniform", problem(), seed=0), **ENGINE)


def main(folder, backend):
    with sharded_on_cpus():
        found = play(folder, FSDP if backend == "fsdp" else zero(int(backend[-1])))
        if backend == "fsdp":
            found["launched"] = play_launched(folder)
    torch.save(found, folder / f"{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
