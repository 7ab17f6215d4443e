"""A stand-in for vLLM inside TRL's own ``VLLMGeneration``, whose code runs as it is: syncing, sleeping, generating.

It does what it is told only while the memory that this needs is mapped, as vLLM's sleep mode has it on a GPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import torch
from trl.generation import vllm_generation

ALL = frozenset({"weights", "kv_cache"})
Respond = Callable[[list[list[int]]], list[list[int]]]


class StubLLM:
    """Answers by ``respond``; ``calls`` has what was done to it, ``loaded`` the weights that it was given last."""

    respond: Respond

    def __init__(self, model, enable_sleep_mode=False, **_):
        self.loaded: dict[str, torch.Tensor] = {}
        self.calls: list[str] = []
        self.awake = set(ALL)
        runner = SimpleNamespace(model=SimpleNamespace(load_weights=self._load))
        executor = SimpleNamespace(driver_worker=SimpleNamespace(model_runner=runner))
        self.llm_engine = SimpleNamespace(model_executor=executor)

    @property
    def syncs(self) -> int:
        return self.calls.count("sync")

    def _load(self, weights):
        assert "weights" in self.awake, "weights are written to memory that is not mapped"
        self.loaded.update({name: weight.detach().clone() for name, weight in weights})

    def reset_prefix_cache(self):  # TRL does it at the end of each sync
        self.calls.append("sync")

    def wake_up(self, tags):
        assert not self.awake & set(tags), f"{tags} is awake already"
        self.awake |= set(tags)

    def sleep(self, level):
        assert self.awake == ALL, f"memory is given back twice: only {self.awake} is mapped"
        self.awake.clear()
        self.calls.append("sleep")

    def generate(self, prompts, sampling_params, use_tqdm):
        assert self.awake == ALL, f"only {self.awake} is mapped"
        assert prompts, "nothing to do"
        self.calls.append("generate")
        ids = [prompt["prompt_token_ids"] for prompt in prompts]
        return [
            SimpleNamespace(prompt_token_ids=prompt, outputs=[SimpleNamespace(token_ids=row, logprobs=_certain(row))])
            for prompt, row in zip(ids, self.respond(ids), strict=True)
        ]


def _certain(tokens):
    return [{token: SimpleNamespace(rank=1, logprob=-1.0)} for token in tokens]


@contextmanager
def stub_vllm() -> Iterator[None]:
    """While a trainer is made; the environment that TRL then sets for vLLM is taken back, unless a launcher set it."""
    launched, before = "TORCHELASTIC_RUN_ID" in os.environ, dict(os.environ)
    if not hasattr(vllm_generation, "SamplingParams"):  # vLLM is not installed; asked for at each generation
        vllm_generation.SamplingParams = SimpleNamespace
    with (
        patch.object(vllm_generation, "LLM", StubLLM, create=True),
        patch.object(vllm_generation, "is_vllm_available", lambda: True),
    ):
        yield
    if not launched:
        os.environ.clear()
        os.environ.update(before)
