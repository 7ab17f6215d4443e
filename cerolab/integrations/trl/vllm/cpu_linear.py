"""Plug-in of vLLM: on a CPU, linear layers keep their weights unpacked, so that new weights can be loaded later."""

from __future__ import annotations

from typing import Any

_REFUSED = (
    "{} keeps its weights packed on the CPU, so it could not take new ones from a trainer; use a dense model, or set "
    "VLLM_PLUGINS='' to do without this plug-in and without weight sync"
)


def register() -> None:
    """Called by vLLM in each of its processes, through the entry point ``vllm.general_plugins``; any number of times.

    Replaces ``dispatch_cpu_unquantized_gemm``, which vLLM calls once per layer after loading and which both linear
    layers and the output head look up by name at that moment.
    """
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return
    from vllm.model_executor.layers import utils
    from vllm.model_executor.layers.fused_moe.experts.cpu_moe import CPUUnquantizedExperts

    utils.dispatch_cpu_unquantized_gemm = keep_unpacked
    CPUUnquantizedExperts.process_weights_after_loading = refuse_experts


def keep_unpacked(layer: Any, remove_weight: bool) -> None:
    """Let ``layer`` multiply with whatever ``layer.weight`` holds when it is called.

    Args:
        layer: a module with a loaded ``weight``.
        remove_weight: whether vLLM would free the weight after packing it; never done here.

    Raises:
        NotImplementedError: a convolution, whose kernel on the CPU wants packed weights.
    """
    from torch.nn.functional import linear

    if not layer.weight.is_meta and layer.weight.ndim != 2:
        raise NotImplementedError(_REFUSED.format(type(layer).__name__))
    layer.cpu_linear = linear


def refuse_experts(experts: Any, layer: Any) -> None:
    """In place of the method that packs the weights of a mixture of experts, into which a sync would write nonsense.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(_REFUSED.format(type(layer).__name__))
