"""Tools and environments: turns of a response, against the stock trainer."""

import copy
import json
from functools import cache
from pathlib import Path

import pytest
import torch
import trl
from datasets import Dataset
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen3ForCausalLM
from trl import GRPOTrainer

from cerolab import make
from cerolab.errors import CerolabError
from cerolab.integrations.trl.rewards import RewardError
from cerolab.integrations.trl.trainer import AllocatedGRPOTrainer
from tests.llm.small import config, order_of_uniform, problem, run, small_model, weights

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PLAIN = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
SIZES = {"num_rounds": 2, "budget": 16}
LONGEST = 256


@cache
def tokenizer():
    """The chat template of Qwen3; a long line of what it says of the tools is one token, so is each other byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate((*SPECIAL, *PLAIN, *alphabet))}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    made.add_tokens([AddedToken(token, special=False, normalized=False) for token in PLAIN])
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token=SPECIAL[2], pad_token=SPECIAL[0])
    fast.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()
    hello = [{"role": "user", "content": "Hello"}]
    tools = (double, double_later, Counter().add)
    said = [fast.apply_chat_template(hello, tools=[tool], tokenize=False) for tool in tools]
    fast.add_tokens(sorted({line for text in said for line in text.splitlines() if len(line) > 20}))
    return fast


def chat_model():
    shape = small_model().config
    shape.vocab_size, shape.max_position_embeddings = len(tokenizer()), 4096
    shape.pad_token_id, shape.eos_token_id, shape.bos_token_id = 0, 2, 0
    torch.manual_seed(0)
    return Qwen3ForCausalLM(shape).float()


def double(number: int) -> int:
    """
    Doubles a number.

    Args:
        number: The number.

    Returns:
        Twice the number.
    """
    return 2 * number


async def double_later(number: int) -> int:
    """
    Doubles a number.

    Args:
        number: The number.

    Returns:
        Twice the number.
    """
    return 2 * number


class Counter:
    """An environment that owns its reward."""

    def reset(self, start: int, **_):
        self.count = start

    def add(self, step: int) -> int:
        """
        Adds to the count.

        Args:
            step: What to add.

        Returns:
            The count.
        """
        self.count += step
        return self.count

    def get_reward(self) -> float:
        return float(self.count % 2)


def scripted(trainer, calls):
    """``generate`` of the trainer's model: tool calls drawn at random, and an end after their results."""
    tokens = trainer.processing_class
    random = torch.Generator().manual_seed(0)

    def generate(input_ids, **_):
        rows = []
        for row in input_ids.tolist():
            answered = "<tool_response>" in tokens.decode(row)
            text = "Done" if answered else calls[int(torch.randint(len(calls), (1,), generator=random))]
            rows.append(tokens(text)["input_ids"] + [tokens.eos_token_id])
        width = max(map(len, rows))
        ends = torch.tensor([row + [tokens.pad_token_id] * (width - len(row)) for row in rows])
        return torch.cat([input_ids, ends.to(input_ids)], dim=1)

    trainer.model.generate = generate


def call(name, **arguments):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def trained(make_trainer, folder, data, calls, rewards, given, **trl_given):
    trainer = make_trainer(
        chat_model(), rewards, config(folder, max_completion_length=LONGEST, **given), data,
        processing_class=tokenizer(), **trl_given,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    scripted(trainer, calls)
    run(trainer)
    return trainer


def right(completions, **_):
    """1 where a tool answered with 14."""
    return [float(any(turn["role"] == "tool" and "14" in turn["content"] for turn in turns)) for turns in completions]


def questions():
    return Dataset.from_dict(
        {"prompt": [[{"role": "user", "content": f"Double {i}"}] for i in range(24)], "start": list(range(24))}
    )


CASES = {
    "a tool": (
        [call("double", number=7), call("double", nothing=7), "No"], right, {"tools": [double]}, {},
    ),
    "an asynchronous one, several updates": (
        [call("double_later", number=7), call("other", number=7), "No"], right, {"tools": [double_later]},
        {"num_iterations": 2, "loss_type": "grpo", "mask_truncated_completions": True},
    ),
    "an environment": (
        [call("add", step=1), call("add", step=2), "No"], None, {"environment_factory": Counter},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 16},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:You are using 'environment_factory'")
def test_with_tools_it_is_the_stock_trainer(tmp_path, case):
    calls, rewards, own, given = CASES[case]
    given = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0, **given}
    views = []
    ours = trained(
        AllocatedGRPOTrainer, tmp_path / "a", questions(), calls, rewards, given, **own,
        allocator=make("uniform", problem(**SIZES), seed=0), on_round=views.append,
    )  # fmt: skip
    start = torch.cat([parameter.detach().flatten() for parameter in chat_model().parameters()])
    data, steps = questions().select(order_of_uniform(SIZES)), 2 * given.get("num_iterations", 1)
    stock_given = {**given, "shuffle_dataset": False, "max_steps": steps}
    theirs = trained(GRPOTrainer, tmp_path / "b", data, calls, rewards, stock_given, **own)
    moved = (weights(theirs) - start).norm()
    assert moved > 1e-4
    assert (weights(ours) - weights(theirs)).norm() / moved < 1e-4
    mine, stocks = ours.state.log_history[0], theirs.state.log_history[0]
    for name in ("reward", "tools/call_frequency", "tools/failure_frequency", "completions/mean_length"):
        assert mine[name] == pytest.approx(stocks[name], abs=1e-6), name
    assert mine["tools/call_frequency"] > 0
    assert any("Done" in turns[-1]["content"] for turns in ours._logs["completion"])
    # tokens that a tool wrote are not the model's
    assert int(views[0].tokens.sum()) / 32 == pytest.approx(stocks["completions/mean_length"])
    assert ours.ledger.responses == 64


class Wordy(Counter):
    def get_reward(self):
        return "good"


@pytest.mark.filterwarnings("ignore:You are using 'environment_factory'")
def test_the_reward_of_an_environment_is_guarded_too(tmp_path):
    with pytest.raises(RewardError, match="'Wordy' graded 32 completions with no finite number but 'good'"):
        trained(AllocatedGRPOTrainer, tmp_path, questions(), ["No"], None, {}, environment_factory=Wordy,
                allocator=make("uniform", problem(**SIZES), seed=0))  # fmt: skip


@pytest.mark.filterwarnings("ignore:You are using 'environment_factory'")
def test_an_environment_that_chooses_its_tasks_leaves_nothing_to_allocate(tmp_path):
    with pytest.raises(CerolabError, match="train_dataset=None lets the environment choose its tasks"):
        AllocatedGRPOTrainer(chat_model(), None, config(tmp_path), None, allocator=make("uniform", problem(**SIZES)),
                             processing_class=tokenizer(), environment_factory=Counter)  # fmt: skip


def test_a_tokenizer_without_a_template_for_tools_is_refused_in_the_words_of_stock(tmp_path):
    bare = copy.deepcopy(tokenizer())
    bare.chat_template = None
    with pytest.raises(ValueError, match="does not support tool calling"):
        AllocatedGRPOTrainer(chat_model(), right, config(tmp_path), questions(), processing_class=bare,
                             allocator=make("uniform", problem(**SIZES)), tools=[double])  # fmt: skip
