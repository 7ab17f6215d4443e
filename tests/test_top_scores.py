"""Selection from large pools, where a threshold is guessed from a sample, against a plain sort."""

import numpy as np
import pytest

from cerolab.errors import InvalidValueError
from cerolab.selection.top_k import TieOrder, top_scores

NUM_PROMPTS = 50_000

SCORES = {
    "continuous": lambda rng: rng.random(NUM_PROMPTS),
    "sorted": lambda rng: np.sort(rng.random(NUM_PROMPTS)),
    "all equal": lambda rng: np.full(NUM_PROMPTS, 0.7),
    "two values": lambda rng: rng.choice([0.2, 0.9], NUM_PROMPTS),
    "mostly equal": lambda rng: np.where(rng.random(NUM_PROMPTS) < 0.98, 0.6, rng.random(NUM_PROMPTS)),
    "few levels": lambda rng: rng.integers(0, 30, NUM_PROMPTS) / 30,
    "few positive": lambda rng: np.where(rng.random(NUM_PROMPTS) < 0.001, rng.random(NUM_PROMPTS), 0.0),
    "periodic": lambda rng: np.where(np.arange(NUM_PROMPTS) % 6 == 0, 0.0, 1.0),  # the sample sees zeros only
    "one peak": lambda rng: np.where(np.arange(NUM_PROMPTS) == 49_999, 1.0, 0.5),
}


def sorted_plainly(score, rank, count, floor):
    order = np.lexsort((rank, -score))
    if floor is not None:
        order = order[score[order] > floor]
    return order[:count]


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("count", [1, 66, 5_000, 12_499, 12_501, NUM_PROMPTS, 2 * NUM_PROMPTS])
@pytest.mark.parametrize("floor", [None, 0.0, 0.55, 0.95])
def test_large_pools_are_cut_as_by_a_plain_sort(kind, count, floor):
    rng = np.random.default_rng(3)
    score, rank = SCORES[kind](rng), rng.permutation(NUM_PROMPTS)
    chosen = top_scores(score, TieOrder(rank), count, floor)
    assert chosen.dtype == np.int64
    assert np.array_equal(chosen, sorted_plainly(score, rank, count, floor))


@pytest.mark.slow
def test_a_pool_of_millions():
    rng = np.random.default_rng(0)
    score = np.where(rng.random(3_000_000) < 0.5, 0.6, rng.random(3_000_000))
    rank = rng.permutation(score.size)
    assert np.array_equal(top_scores(score, TieOrder(rank), 40_000, 0.5), sorted_plainly(score, rank, 40_000, 0.5))


@pytest.mark.parametrize("rank", [[0, 0, 1], [1, 2, 3], [0.0, 1.0], [[0, 1]], [-1, 0]])
def test_a_tie_order_must_be_a_permutation(rank):
    with pytest.raises(InvalidValueError, match="no permutation"):
        TieOrder(np.array(rank))
