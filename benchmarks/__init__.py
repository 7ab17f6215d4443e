"""Timings of the hot paths, by pytest-benchmark; ``make bench`` runs them and writes results/bench."""
