"""Naive reference implementations, written from the paper's equations; they share no code with cerolab."""
