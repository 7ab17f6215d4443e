import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cerolab.seeding import coin_keys, counter_coins, counter_uniforms, generator, seed_from_names


def table(seed, num_prompts, num_counters, first=0):
    return counter_uniforms(coin_keys(seed, num_prompts)[:, None], np.arange(first, first + num_counters))


# --- the coins -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_coins_are_uniform_over_prompts_over_counters_and_together(seed):
    u = table(seed, 300, 300)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-4
    assert stats.kstest(u[:, 0], "uniform").pvalue > 1e-4  # every prompt's first coin
    assert stats.kstest(u[0], "uniform").pvalue > 1e-4  # one prompt's coins
    # The p-values of the rows and of the columns are themselves uniform, which a defect in a few would break.
    for lines in (u, u.T):
        assert stats.kstest([stats.kstest(line, "uniform").pvalue for line in lines], "uniform").pvalue > 1e-4


def test_coins_lie_in_the_half_open_unit_interval_and_use_the_low_bits():
    u = table(3, 1000, 1000)
    assert u.min() >= 0.0
    assert u.max() < 1.0
    bits = (u * 2.0**53).astype(np.uint64)
    np.testing.assert_array_equal(bits * 2.0**-53, u)
    for bit in range(53):
        share = ((bits >> np.uint64(bit)) & np.uint64(1)).mean()
        assert share == pytest.approx(0.5, abs=0.003)  # six standard deviations


def test_coins_of_different_prompts_counters_and_seeds_are_uncorrelated():
    u = table(5, 400, 2000)
    between_prompts = np.corrcoef(u)[np.triu_indices(400, 1)]
    assert np.abs(between_prompts).max() < 6.5 / np.sqrt(2000)
    assert between_prompts.std() == pytest.approx(1 / np.sqrt(2000), rel=0.05)
    for lag in (1, 2, 3, 4, 8, 16, 100):
        assert abs(np.corrcoef(u[:, :-lag].ravel(), u[:, lag:].ravel())[0, 1]) < 6e-3
        assert abs(np.corrcoef(u[:-lag].ravel(), u[lag:].ravel())[0, 1]) < 6e-3
    other = table(6, 400, 2000)
    assert abs(np.corrcoef(u.ravel(), other.ravel())[0, 1]) < 6e-3


def test_pairs_of_successive_coins_fill_the_square_evenly():
    u = table(7, 400, 500)
    for first, second in ((u[:, :-1], u[:, 1:]), (u[:-1], u[1:])):
        counts, _, _ = np.histogram2d(first.ravel(), second.ravel(), bins=16, range=[[0, 1], [0, 1]])
        assert stats.chisquare(counts.ravel()).pvalue > 1e-4


@given(st.integers(0, 2**63), st.integers(1, 30), st.integers(1, 30), st.integers(0, 10**6))
def test_a_coin_depends_on_key_and_counter_alone(seed, num_prompts, num_counters, shuffle):
    rng = np.random.default_rng(shuffle)
    keys = coin_keys(seed, num_prompts)
    before = keys.copy()
    counters = rng.integers(0, 10**9, num_counters)
    whole = counter_uniforms(keys[:, None], counters)
    prompts, columns = rng.integers(0, num_prompts, 40), rng.integers(0, num_counters, 40)
    np.testing.assert_array_equal(counter_uniforms(keys[prompts], counters[columns]), whole[prompts, columns])
    np.testing.assert_array_equal(counter_uniforms(keys, counters[:1]), whole[:, 0])
    np.testing.assert_array_equal(counter_uniforms(keys[:1], counters), whole[0])
    np.testing.assert_array_equal(counter_uniforms(keys[None, :], counters[:, None]), whole.T)
    for dtype in (np.int32, np.uint32, np.uint64):
        np.testing.assert_array_equal(counter_uniforms(keys[:1], counters.astype(dtype)), whole[0])
    np.testing.assert_array_equal(keys, before)  # nothing was changed in place
    np.testing.assert_array_equal(coin_keys(seed, num_prompts + 5)[:num_prompts], keys)  # a pool may grow


def test_coins_do_not_write_to_their_counters():
    counters = np.arange(4, dtype=np.uint64)
    counter_uniforms(coin_keys(0, 4), counters)
    assert counters.tolist() == [0, 1, 2, 3]


def test_a_single_coin_is_the_one_of_the_table():
    keys = coin_keys(0, 5)
    assert counter_uniforms(keys[2:3], np.array([3]))[0] == table(0, 5, 4)[2, 3]
    assert counter_uniforms(np.array(keys[2]), np.array(3)) == table(0, 5, 4)[2, 3]


def splitmix(x):
    # Steele, Lea, Flood 2014, on Python's integers.
    mask = 2**64 - 1
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
    return x ^ (x >> 31)


@given(st.integers(0, 2**64 - 1), st.one_of(st.integers(0, 20), st.integers(0, 2**62)))
def test_coins_are_the_outputs_of_splitmix64_from_the_key_on(key, counter):
    state = (key + (counter + 1) * 0x9E3779B97F4A7C15) % 2**64
    coin = counter_uniforms(np.array([key], np.uint64), np.array([counter]))
    assert coin[0] == (splitmix(state) >> 11) / 2**53


def test_different_seeds_give_different_coins():
    tables = [table(seed, 50, 20) for seed in range(20)]
    for one, other in itertools.combinations(tables, 2):
        assert not (one == other).any()


def test_keys_of_a_large_pool_are_distinct():
    keys = np.concatenate([coin_keys(seed, 100_000) for seed in range(5)])
    assert np.unique(keys).size == keys.size


# --- seeds from names ------------------------------------------------------------------------------------------


def test_seeds_tell_names_apart():
    names = [
        ("a", "bc"),
        ("ab", "c"),
        ("abc",),
        ("a", "b", "c"),
        ("c", "ab"),
        ("abc", ""),
        ("", "abc"),
        (1,),
        ("1",),
        (None,),
        ("None",),
        (1, 23),
        (12, 3),
        (),
        ("",),
        ((1, 2),),
        ("str:a",),
        ("astr:bc",),
        ("a", "str:bc"),
    ]
    seeds = [seed_from_names(*parts) for parts in names]
    assert len(set(seeds)) == len(names)


@given(st.lists(st.text(max_size=4), max_size=4), st.lists(st.text(max_size=4), max_size=4))
def test_equal_seeds_come_from_equal_names(names, others):
    assert (seed_from_names(*names) == seed_from_names(*others)) == (names == others)


def test_names_with_the_separator_in_them_are_no_other_names():
    assert seed_from_names("a\x1fstr:b") != seed_from_names("a", "b")


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_a_number_is_the_same_seed_in_whatever_integer_type(kind):
    # A loop over np.arange(num_seeds) must meet the same luck as one over range(num_seeds).
    assert seed_from_names("population", kind(3)) == seed_from_names("population", 3)
    np.testing.assert_array_equal(coin_keys(kind(3), 4), coin_keys(3, 4))


@given(st.lists(st.one_of(st.text(), st.integers(), st.floats()), max_size=5))
def test_seeds_have_64_bits_and_never_change(names):
    seed = seed_from_names(*names)
    assert 0 <= seed < 2**64
    assert seed_from_names(*names) == seed


def test_generators_of_one_purpose_agree_and_of_two_differ():
    draws = [generator(*names).random(8) for names in (("tie order", 1), ("tie order", 1), ("tie order", 2), ("x", 1))]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not (draws[0] == draws[2]).any()
    assert not (draws[0] == draws[3]).any()


def test_seeding_leaves_the_global_state_alone():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    generator("anything", 1).random(10)
    table(0, 10, 10)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 2.0**-53, 5e-324, 1 - 2.0**-53])), min_size=1))
def test_coins_are_uniforms_below_their_probability(probabilities):
    p = np.array(probabilities)
    keys, counters = coin_keys(1, p.size), np.arange(p.size)
    np.testing.assert_array_equal(counter_coins(keys, counters, p), counter_uniforms(keys, counters) < p)
    # and at the border, where the uniform itself is the probability
    u = counter_uniforms(keys, counters)
    assert not counter_coins(keys, counters, u).any()
    assert counter_coins(keys, counters, np.nextafter(u, 1)).all()
