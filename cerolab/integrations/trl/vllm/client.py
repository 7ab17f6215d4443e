"""How TRL's trainers get an engine that works on a CPU: a client that sends weights as files, and the seam for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file
from trl.generation import vllm_generation
from trl.generation.vllm_client import VLLMClient

from cerolab.integrations.trl.vllm.server import KV_CACHE_BYTES, WORKER, ServerError


class WeightFileClient(VLLMClient):  # type: ignore[misc]  # TRL is untyped
    """TRL's client of a vLLM server, but weights go as a safetensors file on a shared file system, not by NCCL.

    Generation, the prefix cache and the server's settings are TRL's. The server is a
    ``cerolab.integrations.trl.vllm.server.VLLMServer``, or any that was started with its ``--worker-extension-cls`` and
    ``VLLM_SERVER_DEV_MODE=1``.
    """

    _folder: TemporaryDirectory[str] | None = None

    def init_communicator(self, device: torch.device | str | int = 0) -> None:
        """Check that the server can take weight files; ``device`` is TRL's and not needed."""
        worker = self.get_server_info()["parallel_config"]["worker_extension_cls"]
        if worker != WORKER:
            raise ServerError(
                f"the vLLM server at {self.base_url} cannot take weight files: its worker extension is {worker!r}; "
                f"start it with --worker-extension-cls {WORKER}, or by cerolab.integrations.trl.vllm.VLLMServer"
            )

    def update_named_params(
        self, metadata: list[tuple[str, str, list[int]]], named_params: Iterator[tuple[str, torch.Tensor]]
    ) -> None:
        """Replace all weights of the server's model.

        Args:
            metadata: names, dtypes and shapes, which TRL's NCCL transfer needs and a file holds by itself.
            named_params: the weights, all of them, under the names of the checkpoint.

        Raises:
            ServerError: the server could not load them, or they leave parameters of its model as they were.
        """
        # A copy of each, taken at once: TRL merges LoRA into the weights only while this iterator runs.
        weights = {name: param.detach().to("cpu", copy=True).contiguous() for name, param in named_params}
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="cerolab-weights-")
        path = Path(self._folder.name) / "weights.safetensors"
        save_file(weights, path)
        answer = self._post(f"{self.base_url}/collective_rpc", json={"method": "load_weight_file", "args": [str(path)]})
        problems = [result["problem"] for result in answer["results"] if result["problem"]]
        if problems:
            raise ServerError(
                f"the vLLM server at {self.base_url} could not take {len(weights)} tensors from {path}: {problems[0]}"
            )

    def close_communicator(self) -> None:
        """Remove the weight file."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


@contextmanager
def vllm_on_cpu(dtype: str = "float32", kv_cache_bytes: int = KV_CACHE_BYTES) -> Iterator[None]:
    """While this is open, TRL builds its vLLM engine (colocate) or client (server) so that it works on a CPU.

    The seam is two names that ``trl.generation.vllm_generation`` looks up when a trainer is made, ``LLM`` and
    ``VLLMClient``; TRL has no setting for either. Only the construction of the trainer need be inside.

    Args:
        dtype: of a colocated engine; see trap 3 in ``cerolab.integrations.trl.vllm``. A server has its own.
        kv_cache_bytes: memory for keys and values of a colocated engine.
    """
    names: dict[str, Any] = {"VLLMClient": WeightFileClient}
    if hasattr(vllm_generation, "LLM"):  # absent where vLLM is not installed; TRL then says so
        names["LLM"] = partial(
            vllm_generation.LLM,
            dtype=dtype,
            enforce_eager=True,  # compiling takes a minute at every first start
            kv_cache_memory_bytes=kv_cache_bytes,
        )
    replaced = {name: getattr(vllm_generation, name) for name in names}
    for name, value in names.items():
        setattr(vllm_generation, name, value)
    try:
        yield
    finally:
        for name, value in replaced.items():
            setattr(vllm_generation, name, value)
