"""One HTML page on any run records: ``python -m analysis.report results/llm/study-arithmetic-hard``.

The verdict first, in sentences made from numbers (``analysis.stats.verdict``), then the figures, curves to explore,
tables, and the settings and versions behind them. The page holds everything that it shows and loads nothing.
"""
