"""What a model's memory depends on: its shape, counted from its configuration without making a weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# Configurations of the presets' models, so that a plan needs no network; the tests count their parameters.
KNOWN: dict[str, tuple[str, dict[str, Any]]] = {
    "smollm2": (
        "llama",
        {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
         "num_key_value_heads": 3, "vocab_size": 49_152, "tie_word_embeddings": True},
    ),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": (
        "qwen2",
        {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
         "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": False},
    ),
    "Qwen/Qwen3-4B-Base": (
        "qwen3",
        {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
         "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936, "tie_word_embeddings": True},
    ),
    "Qwen/Qwen2.5-7B-Instruct": (
        "qwen2",
        {"hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28, "num_attention_heads": 28,
         "num_key_value_heads": 4, "vocab_size": 152_064, "tie_word_embeddings": False},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """Sizes of a decoder; widths in numbers a token.

    Attributes:
        parameters: all of them; tied ones once.
        linear: of the layers' matrices.
        adapters: that LoRA on all linear layers adds for each unit of its rank.
        layers, hidden, vocabulary: as the configuration has them.
        intermediate: width of the feed-forward part.
        attention, key_value: widths of the queries, and of keys and values together.
        heads: of the attention.
    """

    parameters: int
    linear: int
    adapters: int
    layers: int
    hidden: int
    intermediate: int
    attention: int
    key_value: int
    heads: int
    vocabulary: int


def known_config(name: str) -> Any:
    """transformers' configuration of a preset's model; None for another."""
    from transformers import AutoConfig

    if name not in KNOWN:
        return None
    kind, sizes = KNOWN[name]
    return AutoConfig.for_model(kind, **sizes)


def shape_of(config: Any, model: Any) -> Shape:
    """The shape of a model on the meta device."""
    import torch

    text = config.get_text_config()
    head = model.get_output_embeddings()
    matrices = [part.weight for part in model.modules() if isinstance(part, torch.nn.Linear) and part is not head]
    heads = int(text.num_attention_heads)
    width = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    return Shape(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        linear=sum(matrix.numel() for matrix in matrices),
        adapters=sum(sum(matrix.shape) for matrix in matrices),
        layers=int(text.num_hidden_layers),
        hidden=int(text.hidden_size),
        intermediate=int(getattr(text, "intermediate_size", None) or 4 * text.hidden_size),
        attention=heads * width,
        key_value=2 * int(getattr(text, "num_key_value_heads", None) or heads) * width,
        heads=heads,
        vocabulary=int(text.vocab_size),
    )
