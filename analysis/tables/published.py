"""Numbers that the CERO paper published (arXiv 2606.05606 v2, sec. 6), quoted beside ours and never mixed with them."""

from __future__ import annotations

from typing import NamedTuple

SOURCE = "CERO, arXiv 2606.05606 v2, sec. 6"


class Score(NamedTuple):
    """Macro-averages over the evaluation suites, percent."""

    avg_at_16: float
    pass_at_16: float


# Table 1, one seed; methods by their names here: GRPO is uniform.
MAIN: dict[str, dict[str, Score]] = {
    "DeepSeek-R1-Distill-Qwen-1.5B": {
        "uniform": Score(30.19, 49.28),
        "knapsack": Score(29.53, 48.53),
        "cero": Score(32.81, 50.99),
        "random_matched": Score(29.18, 46.44),
    },
    "Qwen3-4B-Base": {
        "uniform": Score(43.26, 65.06),
        "knapsack": Score(44.69, 67.09),
        "cero": Score(45.36, 65.45),
        "random_matched": Score(43.86, 64.19),
    },
    "Qwen2.5-7B-Instruct": {
        "uniform": Score(40.22, 60.76),
        "knapsack": Score(41.75, 61.10),
        "cero": Score(41.81, 62.34),
        "random_matched": Score(40.18, 58.66),
    },
}

# Ablations on the 1.5B model, three seeds: mean and standard deviation of avg@16, percent.
ABLATIONS: dict[str, tuple[float, float]] = {
    "cero": (32.26, 0.94),
    "cero_fixed": (31.13, 0.72),
    "cero_greedy": (30.97, 0.38),
    "cero_preset": (30.71, 0.54),
}

# Mechanism on the 1.5B model; quantities by their names in ``analysis.tables.mechanism``.
MECHANISM: dict[str, str] = {
    "rounds that spend": "488",
    "peak of the pacing gap, responses": "+1,920",
    "end of the pacing gap, responses": "0",
    "prompts ending with 3 groups of 2 units (0.84 R in the paper), %": "57.5",
    "prompts ending with 4 groups (1.12 R), %": "27.8",
    "prompts ending with 5 groups (1.40 R), %": "14.7",
    "effective-group rate of CERO, %": "57.3",
    "effective-group rate of Random-matched, %": "52.7",
    "selection lift at predicted success below 0.2": "about 0.65",
    "selection lift at predicted success 0.4 to 0.6": "1.72",
    "selection lift at predicted success of 0.8 and more": "about 0.65",
    "proxy and observed variance over bins, Pearson": "0.971",
    "proxy and observed variance over bins, Spearman": "0.964",
    "proxy and observed variance over ten budget intervals, Pearson": "0.769",
    "mean of the proxy": "0.154",
    "mean observed group variance": "0.119",
    "seconds a million tokens, CERO over Uniform": "1.00",
}
