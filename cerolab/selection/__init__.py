"""How prompts are taken: top-k under caps, epochs, batches, the dual step, the nearest draw, the stopping index."""
