"""Memory of one process in training, estimated from the model's shape.

What stays: weights, gradients, AdamW's two moments, and under DDP buckets as large as the gradients. What comes and
goes with a micro-batch: activations and the head, checked against what autograd saves (``tests/llm/test_memory.py``).
Left out: fragmentation, the libraries' own, and the loading of weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, combinations
from typing import Any

from llm.training.shapes import Shape

GIB = 2**30
_TILE = 4096 * 32768  # logits that TRL makes at once
_USABLE = 0.95  # of the device: the rest is the driver's, or lost between blocks
_SHARD = "sharding (accelerate launch --use_fsdp --fsdp_version 2)"


@dataclass(frozen=True)
class Load:
    """What a process is asked to do.

    Attributes:
        processes: of the training.
        in_pieces: weights are sharded over them (FSDP, ZeRO-3).
        weight_bytes: of a weight.
        bf16: computed in bfloat16.
        checkpointing: activations are made again in the backward pass.
        eager: attention keeps all its probabilities.
        lora_rank: 0 trains every weight.
        reference: a copy of the weights for the KL penalty.
        rows, tokens: of a micro-batch; tokens of the longest prompt and response.
        generated: rows that transformers generates at once; 0 with vLLM.
        vllm: share of the device that vLLM takes in this process.
    """

    processes: int
    in_pieces: bool
    weight_bytes: int
    bf16: bool
    checkpointing: bool
    eager: bool
    lora_rank: int
    reference: bool
    rows: int
    tokens: int
    generated: int
    vllm: float


def parts(shape: Shape, load: Load) -> dict[str, float]:
    """Bytes by what they are for; ``vllm`` is not among them."""
    pieces = load.processes if load.in_pieces else 1
    if load.lora_rank:
        trained, trained_bytes = load.lora_rank * shape.adapters, 4
    else:
        trained, trained_bytes = shape.parameters, load.weight_bytes
    found = {
        "weights": shape.parameters * load.weight_bytes / pieces + (4 * trained if load.lora_rank else 0) / pieces,
        "reference model": shape.parameters * load.weight_bytes / pieces if load.reference else 0,
        "gradients": trained * trained_bytes / pieces,
        "AdamW": 2 * trained * trained_bytes / pieces,
        "DDP buckets": 0 if load.processes == 1 or load.in_pieces else trained * trained_bytes,
        "gathered weights": _gathered(shape, load) if load.in_pieces else 0,
        "activations and head": max(_activations(shape, load) + _head(shape, load), _generation(shape, load)),
    }
    return {name: size for name, size in found.items() if size}


def total(shape: Shape, load: Load) -> float:
    """Bytes of all parts."""
    return float(sum(parts(shape, load).values()))


def fits(shape: Shape, load: Load, device: float) -> bool:
    """Whether training and vLLM's share have room on a device of so many bytes."""
    return total(shape, load) + load.vllm * device <= _USABLE * device and (
        not load.vllm or 2 * shape.parameters < load.vllm * device  # its own weights, in bfloat16
    )


def remedies(shape: Shape, load: Load, device: float, group: int) -> list[str]:
    """What makes it fit: single changes, else pairs of them, else the least number of processes that share all."""
    changes = list(_changes(load, group))
    for size in (1, 2):
        enough: dict[tuple[str, ...], str] = {}  # by what is changed, the least change of each kind
        for some in combinations(changes, size):
            changed = dict(chain.from_iterable(change.items() for _, change in some))
            if fits(shape, replace(load, **changed), device):
                enough.setdefault(tuple(changed), " with ".join(words for words, _ in some))
        if enough:
            return list(enough.values())
    alone = bool(load.generated) or (load.vllm > 0 and 2 * shape.parameters >= load.vllm * device)
    rows = min(load.rows, group)
    least = replace(load, in_pieces=True, checkpointing=True, rows=rows, generated=0, vllm=0.0 if alone else load.vllm)
    for processes in (2, 4, 8, 16, 32, 64):
        if processes >= load.processes and fits(shape, replace(least, processes=processes), device):
            engine = " and --engine vllm-server, on other GPUs" if alone else ""
            return [f"{_SHARD} over {processes} processes with --gradient-checkpointing, --batch-size {rows}{engine}"]
    return ["a smaller model, or a larger device"]


def _changes(load: Load, group: int) -> Iterator[tuple[str, dict[str, Any]]]:
    if not load.checkpointing:
        yield "--gradient-checkpointing", {"checkpointing": True}
    for rows in sorted({load.rows // 2, load.rows // 4, load.rows // 8, group}, reverse=True):
        if group <= rows < load.rows:
            yield f"--batch-size {rows}", {"rows": rows}
    if load.processes > 1 and not load.in_pieces and not load.generated:
        yield _SHARD, {"in_pieces": True}
    if not load.lora_rank:
        yield "--lora-rank 16", {"lora_rank": 16}
    for share in (0.2, 0.5):
        if load.vllm:
            yield f"--vllm-memory {share}", {"vllm": share}


def _compute_bytes(load: Load) -> int:
    return 2 if load.bf16 else load.weight_bytes


def _gathered(shape: Shape, load: Load) -> float:
    """Embedding and head whole, and two layers: one at work, one on its way."""
    ends = max(shape.parameters - shape.linear, 0)
    return _compute_bytes(load) * (ends + 2 * shape.linear / shape.layers)


def _activations(shape: Shape, load: Load) -> float:
    """What autograd keeps of a micro-batch.

    Of a layer and a token: the residual stream and its two norms in float32 (16 hidden), with autocast their copies,
    queries, keys and values before and after rotation and repeated for all heads, the feed-forward part four times.
    """
    narrow = _compute_bytes(load)
    cast = load.bf16 and load.weight_bytes == 4
    tokens = load.rows * load.tokens
    layer = 16 * shape.hidden + (4 * shape.hidden if cast else 0)
    layer += narrow * (6 * shape.attention + shape.key_value + 4 * shape.intermediate)
    if load.eager:
        layer += shape.heads * load.tokens * (4 + 2 * narrow)
    if load.checkpointing:
        return float(tokens * (layer + 4 * shape.hidden * (shape.layers + 3)))
    copies = 2 * shape.linear if cast and not load.in_pieces else 0  # of the matrices, which autograd keeps too
    return float(tokens * layer * shape.layers + copies)


def _head(shape: Shape, load: Load) -> float:
    """TRL makes the logits tile by tile; the head's gradient is summed in float32 beside the others."""
    tile = min(_TILE, load.rows * load.tokens * shape.vocabulary)
    return float(2 * _compute_bytes(load) * tile + 4 * shape.vocabulary * shape.hidden)


def _generation(shape: Shape, load: Load) -> float:
    """Keys and values of all rows that transformers generates at once."""
    cache = load.generated * load.tokens * shape.layers * shape.key_value * _compute_bytes(load)
    return float(cache + 8 * load.generated * shape.vocabulary)


def readable(parts: Mapping[str, float]) -> str:
    """``weights 28.4, gradients 28.4, ... GiB``, or in MiB where it is little."""
    unit, name = (GIB, "GiB") if sum(parts.values()) >= GIB else (2**20, "MiB")
    return ", ".join(f"{part} {size / unit:.1f}" for part, size in parts.items()) + f" {name}"
