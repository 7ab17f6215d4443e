"""Real GRPO training in which any allocator of cerolab decides who gets rollouts."""
