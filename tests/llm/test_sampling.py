"""The exact probability of an answer, sampling outside of training, and prompts that are read once."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel

from cerolab.integrations.trl.rows.prefill import share_prefill
from llm.generation.sampling import answer_probability, at_rest, transformers_generate
from llm.models.tiny import tiny_tokenizer
from tests.llm.small import small_model

CHARACTERS = "0123456789+-="
TEXT = st.text(CHARACTERS, max_size=5)
PROMPT = st.text(CHARACTERS, min_size=1, max_size=8)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def sharp_model(kind="rotary", attention="eager"):
    """Random, but with opinions that depend on the whole prompt: the untrained small model hardly looks at it."""
    if kind == "rotary":
        model = small_model().eval()
        norm = model.model.norm
    else:
        torch.manual_seed(0)
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=48, n_positions=64, n_embd=16, n_layer=2, n_head=2, eos_token_id=2, bos_token_id=1)
        ).eval()
        norm = model.transformer.ln_f
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and "embed" not in name and "wte" not in name:
                weight *= 12
        norm.weight *= 15
    model.set_attn_implementation(attention)
    return model


@pytest.fixture(scope="module", params=["rotary", "absolute"])
def model(request):
    """Positions relative to each other, as most models have them, and counted from the prompt's first token."""
    return sharp_model(request.param)


def tokens(tokenizer, texts):
    return [list(tokenizer(text)["input_ids"]) for text in texts]


def by_hand(model, tokenizer, prompt, answer, temperature):
    """One token after the other, from the softmax at the end of what there is so far."""
    so_far, chance = list(prompt), 1.0
    for token in [*answer, tokenizer.eos_token_id]:
        with torch.no_grad():
            logits = model(torch.tensor([so_far])).logits[0, -1].double().tolist()
        parts = [math.exp(logit / temperature) for logit in logits]
        chance *= parts[token] / sum(parts)
        so_far.append(token)
    return chance


@settings(max_examples=25)
@given(
    pairs=st.lists(st.tuples(PROMPT, TEXT), min_size=1, max_size=6),
    temperature=st.sampled_from([0.6, 1.0, 1.7]),
    batch_size=st.sampled_from([1, 2, 512]),
)
def test_the_probability_of_an_answer_is_a_product_over_its_tokens(tokenizer, model, pairs, temperature, batch_size):
    prompts, answers = tokens(tokenizer, [p for p, _ in pairs]), tokens(tokenizer, [a for _, a in pairs])
    found = answer_probability(model, tokenizer, prompts, answers, temperature, batch_size)
    expected = [by_hand(model, tokenizer, p, a, temperature) for p, a in zip(prompts, answers, strict=True)]
    assert found == pytest.approx(expected, rel=1e-4)


def test_the_probability_of_an_answer_is_how_often_it_is_sampled(tokenizer, model):
    """Two prompts of different length; all texts of up to one character."""
    prompts, samples, temperature = tokens(tokenizer, ["1+2=", "31-7+4="]), 6000, 3.0
    ends, limit = tokenizer.eos_token_id, 2
    texts = [[], *([token] for token in range(model.config.vocab_size) if token != ends)]
    with at_rest(model, 5):
        made = transformers_generate(model, tokenizer)(
            [prompt for prompt in prompts for _ in range(samples)], temperature, limit
        )
    for at, prompt in enumerate(prompts):
        chances = answer_probability(model, tokenizer, [prompt] * len(texts), texts, temperature)
        mine = made[at * samples : (at + 1) * samples]  # without the end: two tokens are cut short, one ended
        counts = np.array([sum(row == text for row in mine) for text in texts])
        deviation = np.sqrt(samples * chances * (1 - chances))
        assert chances.sum() > 0.01
        assert (np.abs(counts - samples * chances) < 4.5 * deviation + 1).all()


def test_texts_that_end_and_those_that_go_on_have_probability_one(tokenizer, model):
    (prompt,) = tokens(tokenizer, ["12+5="])
    others = [token for token in range(model.config.vocab_size) if token != tokenizer.eos_token_id]
    texts = [[], *([token] for token in others)]
    ended = answer_probability(model, tokenizer, [prompt] * len(texts), texts).sum()
    with torch.no_grad():
        first = torch.softmax(model(torch.tensor([prompt])).logits[0, -1].double(), -1)[others]
        second = torch.softmax(model(torch.tensor([[*prompt, t] for t in others])).logits[:, -1].double(), -1)
    assert ended + (first * second[:, others].sum(-1)).sum().item() == pytest.approx(1.0, abs=1e-6)


def greedy(model, prompts, pad, **given):
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return model.generate(
        input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=5, pad_token_id=pad, **given
    )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("kind", ["rotary", "absolute"])
@settings(max_examples=15)
@given(groups=st.lists(st.tuples(PROMPT, st.integers(1, 4)), min_size=1, max_size=5), data=st.data())
def test_prompts_read_once_get_the_same_responses(tokenizer, kind, attention, groups, data):
    """Groups of any size, prompts of any length, the same prompt in two groups, rows in any order."""
    rows = data.draw(st.permutations([prompt for prompt, size in groups for _ in range(size)]))
    prompts = tokens(tokenizer, rows)
    plain, shared = sharp_model(kind, attention), sharp_model(kind, attention)
    share_prefill(shared)
    one, other = (greedy(model, prompts, tokenizer.pad_token_id) for model in (plain, shared))
    assert one.tolist() == other.tolist()


def test_the_responses_depend_on_what_is_read_once(tokenizer):
    made = greedy(sharp_model(), tokens(tokenizer, ["1+2=", "7+2=", "1-2=", "31="]), tokenizer.pad_token_id)
    assert len({tuple(row[4:]) for row in made.tolist()}) >= 3


def test_each_distinct_prompt_is_read_once(tokenizer):
    model, read = sharp_model(), []
    forward = model.forward

    def counting(input_ids, **given):
        read.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, **given)

    model.forward = counting
    share_prefill(model)
    greedy(model, tokens(tokenizer, ["1+2=", "1+2=", "1+2=", "37-4=", "37-4="]), tokenizer.pad_token_id)
    assert read[0] == (2, 4)  # two prompts, all tokens but the last
    assert set(read[1:]) == {(5, 1)}


def test_evaluating_leaves_the_model_and_the_random_numbers_as_they_were(tokenizer):
    model, prompts = sharp_model().train(), tokens(tokenizer, ["1+2=", "1+2=", "7="])
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    generate, before = transformers_generate(model, tokenizer, batch_size=2), model.generate
    made = []
    for seed in (0, 0, 1):
        with at_rest(model, seed):
            assert not model.training
            made.append(generate(prompts * 5, 1.0, 6))
    assert made[0] == made[1] != made[2]
    assert model.training
    assert model.generate == before
    assert torch.equal(torch.rand(3), expected)


def test_responses_end_before_the_end_of_text_and_at_the_limit(tokenizer, model):
    with at_rest(model, 0):
        made = transformers_generate(model, tokenizer, batch_size=7)(tokens(tokenizer, ["9*9="]) * 200, 1.0, 4)
    assert len(made) == 200
    assert max(map(len, made)) == 4
    assert min(map(len, made)) < 4
    assert all(tokenizer.eos_token_id not in row for row in made)


@pytest.mark.parametrize("name", ["past_key_values", "cache"])
def test_the_shared_prompt_is_handed_on_by_the_name_that_transformers_gives_it(name):
    class Cache:
        def batch_select_indices(self, rows):
            self.rows = rows.tolist()

    class Model:
        def __call__(self, **given):
            return {"logits": None, name: Cache()}

        def generate(self, **given):
            self.given = given

    model = Model()
    share_prefill(model)
    ids = torch.tensor([[5, 6], [5, 6], [7, 8]])
    model.generate(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert set(model.given) == {"input_ids", "attention_mask", name}
    assert model.given[name].rows == [0, 0, 1]
