"""The part inside the vLLM server that takes new weights from a file."""

from __future__ import annotations

from typing import Any


class WeightFileWorker:
    """Extension of vLLM's worker: the server is started with ``--worker-extension-cls`` naming this class.

    Its method is called through the server's ``/collective_rpc``, whose arguments are strings.
    """

    model_runner: Any  # vLLM's, from the worker that this class is mixed into

    def load_weight_file(self, path: str) -> dict[str, str]:
        """Write the weights in the safetensors file ``path`` into the running model.

        Returns:
            ``{"problem": ""}``, or what went wrong: over HTTP an exception would arrive without its message.
        """
        from safetensors.torch import load_file

        try:
            model = self.model_runner.model
            loaded = model.load_weights(iter(load_file(path).items()))
        except Exception as error:
            return {"problem": f"{type(error).__name__}: {error}"}
        stale = sorted({name for name, _ in model.named_parameters()} - set(loaded))
        return {"problem": f"it left {len(stale)} parameters as they were: {', '.join(stale[:3])} ..." if stale else ""}
