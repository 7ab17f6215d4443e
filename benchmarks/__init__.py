"""Timings of the hot paths, by pytest-benchmark; ``make bench`` runs them and writes results/bench.

bench_*.py                    what is timed
python -m benchmarks.run      all of it, into results/bench
python -m benchmarks.check    a quick part again: are the committed ratios kept?
"""
