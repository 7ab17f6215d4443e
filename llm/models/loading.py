"""Models by name: ``tiny``, ``smollm2``, or any Hugging Face name or local path."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from cerolab.errors import InvalidValueError, UnknownNameError
from llm.paths import is_folder

DTYPES = ("float32", "bfloat16")


def model_path(name: str, made: bool = True) -> str:
    """What transformers loads.

    Args:
        name: ``tiny``, ``smollm2``, a folder, or a name on the hub.
        made: make ``tiny`` and ``smollm2`` where they are not; else their names are returned as they are.

    Raises:
        InvalidValueError: no folder, and nothing that could be a name on the hub; or the folder of a run.
    """
    if name in ("tiny", "smollm2"):
        return _made(name) if made else name
    if is_folder(name):
        folder = Path(name).expanduser()
        if not _holds_model(folder):
            if (folder / "run.json").is_file():
                raise InvalidValueError("model", name, "is the folder of a run, not of a model", _model_of(folder))
            raise InvalidValueError("model", name, "is a folder without config.json", "give a model's folder")
        return str(folder)
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        if name.startswith((".", "/", "~")):
            raise HFValidationError
        validate_repo_id(name)
    except HFValidationError:
        remedy = "give a folder, a Hugging Face name, tiny or smollm2"
        raise InvalidValueError("model", name, "is no folder", remedy) from None
    return name


def _made(name: str) -> str:
    if name == "tiny":
        from llm.pretrain import tiny_path

        return str(tiny_path())
    from llm.models.smollm2 import smollm2_path

    return str(smollm2_path())


def _holds_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))


def _model_of(run: Path) -> str:
    if _holds_model(run / "model"):
        return f"give {run / 'model'}"
    return "it kept none (it has not finished, or --no-save-model was given): train it anew, or give another model"


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
