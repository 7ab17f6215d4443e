"""The tiny model: Qwen3's architecture with 0.8 M parameters and one token a character."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm.tasks.arithmetic import ALPHABET

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

SPECIALS = ("<pad>", "<s>", "</s>")


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character of the arithmetic tasks; another character is an error."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate((*SPECIALS, *ALPHABET))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIALS[0],
        bos_token=SPECIALS[1],
        eos_token=SPECIALS[2],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def tiny_config() -> Qwen3Config:
    """4 layers of width 128: 0.79 M parameters."""
    from transformers import Qwen3Config

    return Qwen3Config(
        vocab_size=48,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        attn_implementation="eager",
    )


def fresh_tiny_model(seed: int) -> Qwen3ForCausalLM:
    """The model with random weights that depend on ``seed`` only."""
    import torch
    from transformers import Qwen3ForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(tiny_config())
