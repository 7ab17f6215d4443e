"""Models by name: ``tiny``, ``smollm2``, or any Hugging Face name or local path."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cerolab.errors import InvalidValueError, UnknownNameError

DTYPES = ("float32", "bfloat16")


def model_path(name: str) -> str:
    """What transformers loads; ``tiny`` and ``smollm2`` are made on first use.

    Raises:
        InvalidValueError: looks like a path, and is none.
    """
    if name == "tiny":
        from llm.pretrain import tiny_path

        return str(tiny_path())
    if name == "smollm2":
        from llm.smollm2 import smollm2_path

        return str(smollm2_path())
    if (name.startswith((".", "/", "~")) or name.count("/") > 1) and not Path(name).expanduser().is_dir():
        raise InvalidValueError("model", name, "is no folder", "give a folder, a Hugging Face name, tiny or smollm2")
    return str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name


def load_model(
    name: str, dtype: str = "float32", attention: str | None = None, trust_remote_code: bool = False
) -> tuple[Any, Any]:
    """(model, tokenizer); code that a model brings along is run only with ``trust_remote_code``.

    Raises:
        UnknownNameError: ``dtype`` is none of ``DTYPES``.
        InvalidValueError: no such model, here or on the hub, a damaged one, or one that brings code along.
    """
    if dtype not in DTYPES:
        raise UnknownNameError("dtype", dtype, DTYPES)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = model_path(name)
    if name == "tiny" and attention is None:
        attention = "eager"  # the fastest on a CPU at this size
    options = {} if attention is None else {"attn_implementation": attention}
    trust = {"trust_remote_code": trust_remote_code}  # left out, transformers would ask on the terminal
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left", **trust)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype), **trust, **options)
    except Exception as error:  # of a damaged file each loader raises its own
        raise InvalidValueError("model", name, *_refusal(error)) from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def _refusal(error: Exception) -> tuple[str, str]:
    """(what is wrong, what to do)."""
    if "trust_remote_code" in str(error):
        return "brings code of its own", "read that code, then allow it with --trust-remote-code, or use another model"
    reason = " ".join(str(error).split())[:200]
    remedy = "give a whole folder, a Hugging Face name, tiny or smollm2"
    return f"cannot be loaded ({type(error).__name__}: {reason})", remedy


def weights_digest(model: Any) -> str:
    """Twelve hexadecimal digits that tell the weights: runs from different starts are told apart by it."""
    import torch

    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
