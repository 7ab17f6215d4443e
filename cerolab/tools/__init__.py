"""Text forms, settings, command lines and worker processes; no allocator needs them."""
