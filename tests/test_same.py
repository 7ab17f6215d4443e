"""When two files say the same, though two machines made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imsave

from analysis.tables.same import row_written, same_file, same_numbers, same_picture, same_text

HEAD = "where,mean,sd,num_seeds\n"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a,13.3612345678,0.331234567,5", "a,13.3612345677,0.331234567,5"),
        ("a,13.3612345678,4.1e-13,5", "a,13.3612345678,0.0,5"),  # noise of a spread that is none
        ("a,,nan,5", "a,,nan,5"),
        ("a,100.0,1.0,5", "a,99.9999999999,1.0,5"),  # both sides of a border of rounding
    ],
)
def test_numbers_are_the_same_but_for_rounding(one: str, other: str) -> None:
    assert same_numbers(HEAD + one, HEAD + other)


@pytest.mark.parametrize(
    "other",
    [
        "a,13.361247,0.331234567,5",
        "a,13.3612345678,0.331240,5",
        "a,13.3612345678,0.331234567,6",
        "b,13.3612345678,0.331234567,5",
        "a,,0.331234567,5",
        "a,13.3612345678,nan,5",
        "a,13.3612345678,0.331234567,5\na,13.3612345678,0.331234567,5",
    ],
)
def test_other_numbers_words_and_rows_are_not_the_same(other: str) -> None:
    assert not same_numbers(HEAD + "a,13.3612345678,0.331234567,5", HEAD + other)


def test_a_table_of_other_columns_is_not_the_same() -> None:
    assert not same_numbers("a,b\n1.0,2.0", "a,c\n1.0,2.0")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("| CERO | 13.36 ± 0.33 |", "| CERO | 13.37 ± 0.32 |"),
        ("slope \N{MINUS SIGN}0.50 [-0.52, -0.48]", "slope \N{MINUS SIGN}0.51 [-0.52, -0.48]"),
        ("$-$0.01 points", "0.00 points"),
        ("9.99 %", "10.0 %"),
        ("1,000.0 responses", "999.95 responses"),
        ("p = 1.2e-05", "p = 1.3e-05"),
    ],
)
def test_texts_are_the_same_to_one_unit_of_the_last_place(one: str, other: str) -> None:
    assert same_text(one, other)
    assert same_text(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("13.36 ± 0.33", "13.38 ± 0.33"),
        ("5 seeds", "6 seeds"),
        ("K = 1,600", "K = 1,601"),
        ("\N{MINUS SIGN}0.50", "0.50"),
        ("CERO is ahead by 0.10", "CERO is behind by 0.10"),
        ("0.10", "0.10 points"),
        ("p = 1.2e-05", "p = 1.2e-06"),
    ],
)
def test_other_texts_are_not(one: str, other: str) -> None:
    assert not same_text(one, other)


def test_pictures_are_compared_place_by_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 200, (900, 1001, 3)).astype(np.uint8)
    noisy, dotted = picture.copy(), picture.copy()
    noisy += rng.integers(0, 3, picture.shape).astype(np.uint8)  # other processors shade by a level or two
    dotted[400:405, 700:705] = 255  # a marker: too small for a mean over all of the picture
    for name, pixels in (("a", picture), ("noisy", noisy), ("dotted", dotted), ("small", picture[:, :1000])):
        imsave(tmp_path / f"{name}.png", pixels)
    assert same_picture(tmp_path / "a.png", tmp_path / "noisy.png")
    assert same_file(tmp_path / "a.png", tmp_path / "noisy.png")
    assert not same_picture(tmp_path / "a.png", tmp_path / "dotted.png")
    assert not same_picture(tmp_path / "a.png", tmp_path / "small.png")


def test_a_row_is_written_to_the_twelfth_digit_of_its_largest_number() -> None:
    row = {"where": "sim", "mean": 49.794125636058894, "sd": 0.25566139707326274, "low": float("nan"), "num_seeds": 5.0}
    kept = row_written(row)
    assert (kept["where"], kept["mean"], kept["sd"], kept["num_seeds"]) == ("sim", 49.7941256361, 0.2556613971, 5.0)
    assert np.isnan(kept["low"])
    small = row_written({"mean": 0.0002799, "sd": 1.3e-19, "num_seeds": 10.0})
    assert small == {"mean": 0.0002799, "sd": 0.0, "num_seeds": 10.0}
