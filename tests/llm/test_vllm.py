"""vLLM on the CPU under TRL: the engine must sample from the weights that the learner has. Run by ``make vllm``."""

import os
import re
import urllib.request

import pytest

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("ignore")]

STALE = "sampling/sampling_logp_difference/mean"
CLOSE = 1e-5  # float32 on both sides gives 2e-7, an engine in bfloat16 1e-3, one step of missed weights 0.2
ROWS = 16  # responses of a generation batch
NUM_PROMPTS = 16


@pytest.fixture(scope="module", autouse=True)
def _vllm():
    pytest.importorskip("vllm")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A random Qwen3 in float32 with its tokenizer, one token a character."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    words = ["<pad>", "<eos>", "<unk>", *map(chr, range(ord("0"), ord("0") + 61))]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(words),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=32,  # vLLM's smallest on a CPU
            max_position_embeddings=64,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=1,
            pad_token_id=0,
        )
    ).float()
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(model_folder):
    from cerolab.integrations.trl.vllm.server import VLLMServer

    with VLLMServer(model_folder, max_model_len=64) as server:
        yield server


@pytest.fixture
def engine(request, mode):
    """Settings that choose the engine; the server starts only for tests that use it."""
    if mode == "colocate":
        return {"vllm_mode": "colocate", "vllm_max_model_length": 64}
    return {"vllm_mode": "server", "vllm_server_base_url": request.getfixturevalue("server").url}


@pytest.fixture(autouse=True)
def _engines_go():
    """An engine inside this process goes before the next one, with the process group that was set up for it."""
    before = dict(os.environ)
    yield
    from vllm.distributed import cleanup_dist_env_and_memory

    cleanup_dist_env_and_memory()
    os.environ.clear()
    os.environ.update(before)


def odd_share(completion_ids, **_):
    return [sum(token % 2 for token in ids) / len(ids) for ids in completion_ids]


def build(make_trainer, model_folder, output_dir, engine, max_steps=5, dtype="float32", **more):
    """A trainer with its engine, made by ``make_trainer`` from what every trainer here shares."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig

    from cerolab.integrations.trl.vllm.client import vllm_on_cpu

    args = GRPOConfig(
        output_dir=str(output_dir),
        use_cpu=True,
        bf16=False,
        use_vllm=True,
        per_device_train_batch_size=ROWS,
        num_generations=4,
        max_completion_length=8,
        max_steps=max_steps,
        learning_rate=1e-2,
        lr_scheduler_type="constant",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **engine,
    )
    with vllm_on_cpu(dtype):
        return make_trainer(
            model=AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32),
            processing_class=AutoTokenizer.from_pretrained(model_folder),
            reward_funcs=odd_share,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": [f"{i // 4}<{i % 4}=" for i in range(NUM_PROMPTS)]}),
            **more,
        )


def differences(trainer):
    """How far the engine's log-probabilities were from the learner's, at each logged step."""
    names = STALE, f"trained_rows/{STALE}"  # the latter where rows are left out
    values = [entry[name] for entry in trainer.state.log_history for name in names if name in entry]
    print(f"\n{type(trainer).__name__} {trainer.args.vllm_mode}: {STALE} " + " ".join(f"{v:.1e}" for v in values))
    return values


def test_the_plug_in_is_found_by_vllm():
    from vllm.model_executor.layers import utils
    from vllm.plugins import load_general_plugins

    from cerolab.integrations.trl.vllm.cpu_linear import keep_unpacked, register

    load_general_plugins()
    assert utils.dispatch_cpu_unquantized_gemm is keep_unpacked
    register()  # vLLM may call it again
    assert utils.dispatch_cpu_unquantized_gemm is keep_unpacked


def test_elsewhere_than_on_a_cpu_the_plug_in_does_nothing(monkeypatch):
    from vllm.model_executor.layers import utils
    from vllm.platforms import current_platform

    from cerolab.integrations.trl.vllm.cpu_linear import register

    monkeypatch.setattr(utils, "dispatch_cpu_unquantized_gemm", "vLLM's own")
    monkeypatch.setattr(type(current_platform), "is_cpu", lambda self: False)
    register()
    assert utils.dispatch_cpu_unquantized_gemm == "vLLM's own"


def test_layers_that_stay_packed_are_refused():
    import torch
    from vllm.model_executor.layers.fused_moe.experts.cpu_moe import CPUUnquantizedExperts
    from vllm.plugins import load_general_plugins

    from cerolab.integrations.trl.vllm.cpu_linear import keep_unpacked

    load_general_plugins()
    with pytest.raises(NotImplementedError, match="Conv1d keeps its weights packed"):
        keep_unpacked(torch.nn.Conv1d(4, 4, 3), remove_weight=True)
    with pytest.raises(NotImplementedError, match="use a dense model"):
        CPUUnquantizedExperts.process_weights_after_loading(None, torch.nn.Module())


def test_colocate_takes_new_weights_exactly(model_folder, tmp_path):
    """Every parameter of the engine is the learner's after a sync, also where vLLM fuses several into one."""
    import torch
    from trl import GRPOTrainer

    trainer = build(GRPOTrainer, model_folder, tmp_path, {"vllm_mode": "colocate", "vllm_max_model_length": 64})
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.normal_()
    trainer.vllm_generation.sync_weights()
    learner = trainer.model.state_dict()
    executor = trainer.vllm_generation.llm.llm_engine.model_executor
    engine = dict(executor.driver_worker.model_runner.model.named_parameters())
    fused = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
    for name, value in engine.items():
        whole, parts = next(((w, p) for w, p in fused.items() if w in name), ("", ("",)))
        expected = torch.cat([learner[name.replace(whole, part) if whole else name] for part in parts])
        assert value.dtype == torch.float32
        assert torch.equal(value[: len(expected)], expected), name  # the vocabulary may be padded


@pytest.mark.parametrize("mode", ["colocate", "server"])
class TestNoStaleWeights:
    def test_the_engine_follows_the_learner(self, model_folder, tmp_path, engine):
        from trl import GRPOTrainer

        trainer = build(GRPOTrainer, model_folder, tmp_path, engine)
        before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
        trainer.train()
        gaps = differences(trainer)
        assert len(gaps) == 5
        assert max(gaps) < CLOSE
        assert any((value - before[name]).abs().max() > 1e-2 for name, value in trainer.model.state_dict().items())

    def test_without_the_sync_the_difference_grows(self, model_folder, tmp_path, engine, monkeypatch):
        """So the test above can fail: the first sync brings both to the same weights, the later ones are missing."""
        from trl import GRPOTrainer

        trainer = build(GRPOTrainer, model_folder, tmp_path, engine)
        sync, calls = trainer.vllm_generation.sync_weights, []
        monkeypatch.setattr(trainer.vllm_generation, "sync_weights", lambda: calls.append(1) or calls[1:] or sync())
        trainer.train()
        gaps = differences(trainer)
        assert len(calls) == 5
        assert gaps[0] < CLOSE
        assert gaps[-1] > 1e-2
        assert gaps[-1] > gaps[1]

    def test_lora_is_merged_into_what_the_engine_gets(self, model_folder, tmp_path, engine):
        from peft import LoraConfig
        from trl import GRPOTrainer

        lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
        trainer = build(GRPOTrainer, model_folder, tmp_path, engine, max_steps=3, peft_config=lora)
        trainer.train()
        assert max(differences(trainer)) < CLOSE


def test_rounding_shows(model_folder, tmp_path):
    """A bfloat16 engine under a float32 learner, vLLM's own choice, fails the bound as well."""
    from trl import GRPOTrainer

    engine = {"vllm_mode": "colocate", "vllm_max_model_length": 64}
    trainer = build(GRPOTrainer, model_folder, tmp_path, engine, max_steps=1, dtype="auto")
    trainer.train()
    assert min(differences(trainer)) > 10 * CLOSE


def responses_of_server(url):
    """Requests that the server has finished since it started."""
    with urllib.request.urlopen(f"{url}/metrics") as page:
        counts = re.findall(r"^vllm:request_success_total\{.*\} (\S+)$", page.read().decode(), re.MULTILINE)
    return int(sum(map(float, counts)))


class ResponsesOfEngine:
    """Counts the responses of a colocated engine."""

    def __init__(self, llm, monkeypatch):
        self.count, self._generate = 0, llm.generate
        monkeypatch.setattr(llm, "generate", self)

    def __call__(self, *given, **named):
        outputs = self._generate(*given, **named)
        self.count += sum(len(output.outputs) for output in outputs)
        return outputs


@pytest.mark.parametrize("mode", ["colocate", "server"])
def test_groups_of_different_sizes(model_folder, tmp_path, engine, mode, monkeypatch):
    """An allocator gives prompts one or two units a round; the engine makes just those responses, none stale."""
    from cerolab import AllocationProblem, make
    from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer

    problem = AllocationProblem(
        num_prompts=NUM_PROMPTS, num_rounds=6, budget=36, capacity=7, max_units=2, responses_per_unit=2
    )
    rounds = []
    trainer = build(
        AllocatedGRPOTrainer,
        model_folder,
        tmp_path,
        engine,
        max_steps=problem.num_rounds,
        allocator=make("cero", problem, seed=0),
        on_round=rounds.append,
    )
    if mode == "colocate":
        counter = ResponsesOfEngine(trainer.vllm_generation.llm, monkeypatch)
        trainer.train()
        made = counter.count
    else:
        before = responses_of_server(engine["vllm_server_base_url"])
        trainer.train()
        made = responses_of_server(engine["vllm_server_base_url"]) - before
    units = [sorted(map(int, wave.allocation.units)) for view in rounds for wave in view.waves]
    assert any({1, 2} <= set(wave) for wave in units), f"no round had groups of different sizes: {units}"
    assert made == trainer.ledger.responses == 2 * sum(map(sum, units))
    gaps = differences(trainer)
    assert len(gaps) >= 4  # a round without rows logs none
    assert max(gaps) < CLOSE


class TestServer:
    @pytest.mark.parametrize(
        ("name", "problem"),
        [("model.norm.weight", "parameters as they were"), ("model.nonsense", "no module or parameter named")],
    )
    def test_a_file_that_is_not_the_model_is_an_error(self, server, name, problem):
        import torch

        from cerolab.integrations.trl.vllm.client import WeightFileClient
        from cerolab.integrations.trl.vllm.server import ServerError

        client = WeightFileClient(base_url=server.url)
        with pytest.raises(ServerError, match=problem):
            client.update_named_params([], iter([(name, torch.ones(64))]))
        client.close_communicator()

    def test_a_server_that_dies_shows_its_last_words(self, tmp_path):
        from cerolab.integrations.trl.vllm.server import ServerError, VLLMServer

        with pytest.raises(ServerError, match=r"died after .*(?s:.)*no-such-model"):
            VLLMServer(tmp_path / "no-such-model", log=tmp_path / "log").start()

    def test_another_server_is_turned_away(self, server, monkeypatch):
        from cerolab.integrations.trl.vllm.client import WeightFileClient
        from cerolab.integrations.trl.vllm.server import ServerError

        client = WeightFileClient(base_url=server.url)
        monkeypatch.setattr(client, "get_server_info", lambda: {"parallel_config": {"worker_extension_cls": ""}})
        with pytest.raises(ServerError, match="--worker-extension-cls"):
            client.init_communicator()
