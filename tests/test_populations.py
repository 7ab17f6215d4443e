"""Prompt populations: their text form, their shares and their moments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerolab.errors import CerolabError
from sim.worlds.populations import parse_population


def test_beta_has_its_moments():
    p = parse_population("beta(0.5, 1.5)").draw(200_000, seed=0)
    assert p.mean() == pytest.approx(0.25, abs=0.005)
    assert p.var() == pytest.approx(0.25 * 0.75 / 3, abs=0.003)


def test_a_mixture_has_exactly_its_shares_in_random_order():
    p = parse_population("0.6*point(0) + 0.3*point(1) + 0.1*beta(2, 2)").draw(1000, seed=1)
    assert (p == 0).sum() == 600
    assert (p == 1).sum() == 300
    assert 0 < (p[:500] == 0).sum() < 500


def test_the_draw_depends_on_population_size_and_seed_only():
    first = parse_population("beta(1,1)").draw(10, 0)
    assert np.array_equal(first, parse_population(" beta( 1 , 1 ) ").draw(10, 0))
    assert not np.array_equal(first, parse_population("beta(1,1)").draw(10, 1))
    assert not np.array_equal(first, parse_population("beta(1,2)").draw(10, 0))


@given(st.integers(1, 50), st.integers(0, 5))
def test_success_rates_lie_in_the_unit_interval(num_prompts, seed):
    p = parse_population("0.2*point(1) + 0.8*beta(0.3, 1)").draw(num_prompts, seed)
    assert p.shape == (num_prompts,)
    assert ((p >= 0) & (p <= 1)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gauss(0, 1)", "unknown population 'gauss'; known: beta, point, records"),
        ("betta(1, 1)", "did you mean 'beta'"),
        ("beta(1)", "has 1 arguments; give 2"),
        ("beta(0, 1)", "needs positive parameters"),
        ("beta(a, 1)", "no number"),
        ("point(1.5)", r"is no success rate; give a number in \[0, 1\]"),
        ("-1*point(0)", "has no positive weight"),
        ("x*point(0)", "has no positive weight"),
        ("beta(1, 1", "is not of the form"),
        ("", "is not of the form"),
        ("records()", "needs one run directory"),
    ],
)
def test_bad_text_is_named_with_its_remedy(text, message):
    with pytest.raises(CerolabError, match=message):
        parse_population(text)
