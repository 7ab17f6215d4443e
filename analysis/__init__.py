"""Figures and tables of run records. Reads records only: neither the simulator nor training is imported here.

python -m analysis.sweep results/sim/regret_sweep     every figure that a sweep has runs for
python -m analysis.leaderboard results/sim/leaderboard  who wins where, in tables and sentences
python -m analysis.training results/llm/train         figures and table of a training experiment
python -m analysis.report results/llm/train           one HTML page on any records, the verdict first
python -m analysis.readme                             the generated numbers of README.md and docs/benchmarks.md
python -m analysis.scaling                            time per round against the size of the pool, from results/bench
"""
