"""Sampling responses outside of training, and the exact probability of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cerolab.integrations.trl.rows.prefill import share_prefill
from cerolab.types import FloatArray

Generate = Callable[[list[list[int]], float, int], list[list[int]]]  # (prompts, temperature, limit) -> responses


@contextmanager
def at_rest(model: Any, seed: int) -> Iterator[None]:
    """The model in evaluation mode and random numbers of our own; both are as before afterwards."""
    training = model.training
    model.eval()
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        torch.manual_seed(seed)
        yield
    model.train(training)


def transformers_generate(model: Any, tokenizer: Any, batch_size: int = 512) -> Generate:
    """Sampling with the transformers engine: no top-k, no top-p; each distinct prompt is read once."""

    def generate(prompts: list[list[int]], temperature: float, max_new_tokens: int) -> list[list[int]]:
        shared = _Shared(model)
        responses: list[list[int]] = []
        for start in range(0, len(prompts), batch_size):
            ids, mask = _left_padded(prompts[start : start + batch_size], tokenizer.pad_token_id)
            out = shared.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                do_sample=True,
                temperature=temperature,
                top_k=0,
                top_p=1.0,
                max_new_tokens=max_new_tokens,
                pad_token_id=tokenizer.pad_token_id,
            )
            responses += [_until_end(row, tokenizer) for row in out[:, ids.size(1) :].tolist()]
        return responses

    return generate


class _Shared:
    """The model with a ``generate`` that shares the reading of prompts; the model itself keeps its own."""

    def __init__(self, model: Any):
        self._model = model
        self.generate = model.generate
        if "generate" not in vars(model):  # not shared already
            share_prefill(self)

    def __call__(self, **given: Any) -> Any:
        return self._model(**given)


def _left_padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[Tensor, Tensor]:
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return ids, mask


def _until_end(row: list[int], tokenizer: Any) -> list[int]:
    return row[: row.index(tokenizer.eos_token_id)] if tokenizer.eos_token_id in row else row


def answer_probability(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    temperature: float = 1.0,
    batch_size: int = 512,
) -> FloatArray:
    """float64 [Q]: probability that a sampled response is the answer and then ends.

    The success rate itself, where a verifier takes this one text only: no sampling noise, one pass over the model.
    """
    chances = np.empty(len(prompts))
    order = np.argsort([len(prompt) + len(answer) for prompt, answer in zip(prompts, answers, strict=True)])
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        targets = [[*answers[i], tokenizer.eos_token_id] for i in chosen]
        ids, mask = _left_padded([[*prompts[i], *target] for i, target in zip(chosen, targets, strict=True)], 0)
        keep = max(map(len, targets)) + 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            logits = model(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                position_ids=positions.to(model.device),
                logits_to_keep=keep,
            ).logits
        scores = torch.log_softmax(logits[:, :-1].double() / temperature, -1)
        tail = ids[:, -(keep - 1) :].to(scores.device)
        token_scores = scores.gather(-1, tail[..., None])[..., 0].cpu()
        for row, (i, target) in enumerate(zip(chosen, targets, strict=True)):
            chances[i] = float(token_scores[row, -len(target) :].sum().exp())
    return chances
