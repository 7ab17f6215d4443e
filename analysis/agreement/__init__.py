"""Do simulator and training rank the allocators alike? ``python -m analysis.agreement TRAINING REPLICA``.

Reads the records of a training and of its replica (``python -m sim.replica``), which was fitted to the uniform runs
alone, so that every other allocator's numbers there are predictions.
"""
