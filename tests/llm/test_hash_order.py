r"""Grading does not depend on the order of a process's hashes; ``\infty^\infty`` is no answer to a finite question."""

import json
import os
import subprocess
import sys

import pytest

from llm.grading.verify import mathematical
from tests.llm.test_verify import RIGHT, question

pytest.importorskip("math_verify")

NOT_FINITE = [
    r"\infty^{\infty}", r"\infty", r"-\infty", r"\infty-\infty", r"\frac{\infty}{\infty}", r"\infty\cdot 0", r"1/0",
    r"0/0", r"\infty^0", r"1^\infty", r"(\infty,\infty)", r"\{\infty\}", r"\infty i", "nan", "zoo", "oo",
    r"\infty^{\infty} x", r"\log 0", r"\sin\infty",
]  # fmt: skip
ANSWERS = [r"\frac{1}{2}", "18", r"\sqrt{2}", "1.5", "x^2+1", "(1,2)", r"\pi", "0"]

CODE = """
import json
from llm.grading.math_equivalence import means
from tests.llm.test_hash_order import ANSWERS, NOT_FINITE
from tests.llm.test_verify import RIGHT
texts = [rf"\\boxed{{{one}}}" for one in (*NOT_FINITE, *ANSWERS)] + [text for _, text in RIGHT]
print(json.dumps([[answer, text] for answer in ANSWERS for text in texts if means(text, answer)]))
"""


def test_fresh_processes_grade_alike():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", CODE], env={**environment, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for seed in ("1", "3", "4")  # in which infinity was once equal to 1.5, to a root, to 18
    ]  # fmt: skip
    found = [json.loads(process.communicate(timeout=120)[0]) for process in started]
    assert found[0] == found[1] == found[2]
    assert {text for _, text in found[0]}.isdisjoint(rf"\boxed{{{one}}}" for one in NOT_FINITE)
    assert len(found[0]) >= len(ANSWERS)


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_is_not_finite_is_no_answer(answer):
    assert [one for one in NOT_FINITE if mathematical(rf"\boxed{{{one}}}", question(answer))] == []
    assert mathematical(rf"so \boxed{{{answer}}}", question(answer)) == 1


@pytest.mark.parametrize(
    ("answer", "text", "right"),
    [
        (r"\infty", r"\boxed{\infty}", 1),
        (r"\infty", r"\boxed{-\infty}", 0),
        (r"-\infty", r"\boxed{-\infty}", 1),
        (r"(-\infty,3)", r"\boxed{(-\infty,3)}", 1),
        (r"(-\infty,3)", r"\boxed{(-\infty,4)}", 0),
        ("x<3", r"\boxed{x<3}", 1),
    ],
)
def test_an_infinite_answer_may_be_given(answer, text, right):
    assert mathematical(text, question(answer)) == right


def test_finite_answers_are_right_as_before():
    assert all(mathematical(text, question(answer)) for answer, text in RIGHT)
