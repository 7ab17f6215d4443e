"""Tasks from files: every format, bad rows, sizes, what is held out, and what is too long."""

import csv
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cerolab.errors import CerolabError, InvalidValueError
from llm.tasks import load_task
from llm.tasks.length import drop_long

pytest.importorskip("math_verify")

DATA = Path(__file__).parent / "data"
GSM8K, BAD = DATA / "gsm8k.jsonl", DATA / "gsm8k_bad.jsonl"
REASONS_OF_BAD = {
    "no question": 1,
    "no answer after ####": 1,
    "answer cannot be parsed": 1,
    "duplicate question": 1,
    "duplicate question with another answer": 1,
    "no answer": 1,
    "not a JSON object": 1,
}


def gsm8k_rows(numbers):
    return [{"question": f"What is {n} and 1?", "answer": f"#### {n + 1}"} for n in numbers]


def written(path, rows):
    """The same rows in the kind of file that the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.fixture
def twenty(tmp_path):
    return written(tmp_path / "twenty.jsonl", gsm8k_rows(range(20)))


def answers(questions):
    return {question.answer for question in questions}


def test_gsm8k_takes_the_answer_after_its_mark():
    task = load_task(f"gsm8k({GSM8K})", 0, 0)
    assert answers(task.train) == {"18", "1200", "-3", "1.5", "55", "120"}
    assert {question.suite for question in task.train} == {"gsm8k"}
    assert not task.dropped
    assert not task.heldout
    eggs = next(question for question in task.train if question.answer == "1200")
    assert eggs.prompt == "A box holds 12 eggs. How many eggs do 100 boxes hold?"
    assert task.verify("That makes 1,200 eggs.", eggs) == 1
    assert task.verify("That makes 120 eggs.", eggs) == 0


def test_math_takes_the_last_box_and_the_type():
    task = load_task(f"math({DATA / 'math.json'})", 0, 0)
    assert answers(task.train) == {r"\frac{1}{2}", "3", r"\{1,2\}", r"\text{Bea}", "32"}
    assert {question.suite for question in task.train} == {"Algebra", "Prealgebra"}
    assert task.dropped == {"no answer in a box": 2, "answer cannot be parsed": 1}
    half = next(question for question in task.train if question.answer == r"\frac{1}{2}")
    assert task.verify(r"It is $\boxed{0.5}$.", half) == 1
    assert task.verify(r"It is $\boxed{0.25}$.", half) == 0


def test_math_takes_an_answer_column_before_the_solution(tmp_path):
    rows = [{"problem": "What is 1+1?", "answer": 2, "solution": r"\boxed{3}", "subject": "Counting"}]
    (question,) = load_task(f"math({written(tmp_path / 'a.json', rows)})", 0, 0).train
    assert (question.answer, question.suite) == ("2", "Counting")


def test_dapo_math_takes_the_users_turn_once():
    task = load_task(f"dapo_math({DATA / 'dapo_math.parquet'})", 0, 0)
    assert answers(task.train) == {"9", "29", "-4", "42"}
    assert task.dropped == {"duplicate question": 8, "answer cannot be parsed": 1, "no answer": 1}
    question = next(question for question in task.train if question.answer == "9")
    assert question.prompt.startswith("Solve the following math problem step by step.")
    assert question.prompt.endswith('on its own line after "Answer:".')
    assert task.verify("There are nine.\n\nAnswer: $9$", question) == 1


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("What is 1+1?", "What is 1+1?"),
        ([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}], "Be brief.\n\n1+1?"),
        ([{"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}], "prompt is not one user turn"),
        ([{"role": "user", "content": " "}], "no question"),
        ([], "prompt is not one user turn"),
        (["1+1?"], "no question"),
        (" ", "no question"),
        (None, "no question"),
    ],
)
def test_dapo_math_prompts_are_text_or_messages(tmp_path, prompt, text):
    rows = [{"prompt": prompt, "reward_model": {"ground_truth": "2"}}]
    path = written(tmp_path / "a.jsonl", [{"prompt": "other", "reward_model": {"ground_truth": "2"}}, *rows])
    task = load_task(f"dapo_math({path})", 0, 0)
    assert text in {*task.dropped, *(question.prompt for question in task.train)}


def test_dapo_math_in_csv_holds_its_objects_as_text(tmp_path):
    message = json.dumps([{"role": "user", "content": "1+1?"}])
    rows = [{"prompt": message, "reward_model": json.dumps({"ground_truth": "2"})}]
    (question,) = load_task(f"dapo_math({written(tmp_path / 'a.csv', rows)})", 0, 0).train
    assert (question.prompt, question.answer) == ("1+1?", "2")


def test_aime_takes_integers_to_999_and_upper_case_columns():
    task = load_task(f"aime({DATA / 'aime.csv'})", 0, 0)
    assert answers(task.train) == {"43", "204", "1"}
    assert task.dropped == {"answer is no integer from 0 to 999": 2, "no answer": 1}


@pytest.mark.parametrize("answer", [33, 33.0, "033", " 33 ", "33.0"])
def test_aime_answers_are_integers_however_written(tmp_path, answer):
    rows = [{"question": "What is it?", "answer": answer, "id": 1}]
    (question,) = load_task(f"aime({written(tmp_path / 'a.jsonl', rows)})", 0, 0).train
    assert question.answer == "33"


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet", ".csv"])
def test_every_kind_of_file_gives_the_same_questions(tmp_path, suffix, twenty):
    path = written(tmp_path / f"other{suffix}", gsm8k_rows(range(20)))
    first, second = load_task(f"gsm8k({twenty})", 10, 5, 3), load_task(f"gsm8k({path})", 10, 5, 3)
    assert (first.train, first.heldout) == (second.train, second.heldout)


def test_a_folder_is_all_its_files(tmp_path, twenty):
    folder = tmp_path / "folder"
    rows = gsm8k_rows(range(20))
    written(folder / "a.jsonl", rows[:7])
    written(folder / "below" / "b.json", rows[7:19])
    (folder / "below" / "c.json").write_text(json.dumps(rows[19]))  # as MATH is published: one object a file
    (folder / "README.md").write_text("not data")
    assert load_task(f"gsm8k({folder})", 0, 4).train == load_task(f"gsm8k({twenty})", 0, 4).train


def test_lines_of_json_under_the_name_json_are_read(tmp_path, twenty):
    path = shutil.copy(twenty, tmp_path / "twenty.json")
    assert len(load_task(f"gsm8k({path})", 0, 0).train) == 20


def test_bad_rows_are_named_and_counted(caplog):
    task = load_task(f"gsm8k({BAD})", 0, 0)
    assert answers(task.train) == {"7", "6"}
    assert task.dropped == REASONS_OF_BAD
    assert f"{BAD} row 2 left out: no question" in caplog.messages
    assert f"{BAD} row 9 left out: not a JSON object" in caplog.messages
    assert len(caplog.messages) == len(REASONS_OF_BAD)


def test_of_many_bad_rows_the_log_names_the_first_few(tmp_path, caplog):
    rows = gsm8k_rows([1, *([1] * 9)])
    assert load_task(f"gsm8k({written(tmp_path / 'a.jsonl', rows)})", 0, 0).dropped == {"duplicate question": 9}
    assert len(caplog.messages) == 4
    assert caplog.messages[-1] == "gsm8k: 9 rows left out in all: duplicate question"


@pytest.mark.parametrize(
    ("rows", "number", "reason"),
    [
        ([{"question": "", "answer": "#### 1"}], 2, "no question"),
        (gsm8k_rows([1]), 2, "duplicate question"),
        ([{"question": "And?", "answer": "#### one"}], 2, "answer cannot be parsed"),
        ([{"question": "And?"}], 2, r"no answer \(columns: question\)"),
        ([[1, 2]], 2, r"not a JSON object \(columns: none\)"),
    ],
)
def test_strict_refuses_the_first_bad_row(tmp_path, rows, number, reason):
    path = written(tmp_path / "a.jsonl", [*gsm8k_rows([1]), *rows, {"question": ""}])
    with pytest.raises(InvalidValueError, match=rf"a\.jsonl' has a bad row {number}: {reason}"):
        load_task(f"gsm8k({path}, strict)", 0, 0)


def test_strict_takes_good_rows_and_the_repeats_that_dapo_math_is_published_with(tmp_path):
    assert len(load_task(f"gsm8k({GSM8K}, strict)", 0, 0).train) == 6
    rows = [{"prompt": "1+1?", "reward_model": {"ground_truth": "2"}}] * 3
    assert load_task(f"dapo_math({written(tmp_path / 'a.jsonl', rows)}, strict)", 0, 0).dropped == {
        "duplicate question": 2
    }
    rows.append({"prompt": "1+1?", "reward_model": {"ground_truth": "3"}})
    with pytest.raises(InvalidValueError, match="row 4: duplicate question with another answer"):
        load_task(f"dapo_math({written(tmp_path / 'a.jsonl', rows)}, strict)", 0, 0)


def test_the_draw_depends_on_content_and_seed_only(tmp_path, twenty):
    task = load_task(f"gsm8k({twenty})", 8, 5, 0)
    turned = load_task(f"gsm8k({written(tmp_path / 'turned.jsonl', gsm8k_rows(range(19, -1, -1)))})", 8, 5, 0)
    assert (task.train, task.heldout) == (turned.train, turned.heldout)
    other = load_task(f"gsm8k({twenty})", 8, 5, 1)
    assert other.heldout == task.heldout
    assert other.train != task.train
    assert load_task(f"gsm8k({twenty})", 4, 5, 0).train == task.train[:4]


def test_held_out_questions_are_not_trained_on(twenty):
    task = load_task(f"gsm8k({twenty})", 0, 5)
    assert len(task.train) == 15
    assert len(task.heldout) == 5
    assert not {question.prompt for question in task.train} & {question.prompt for question in task.heldout}


def test_a_second_file_is_held_out_and_kept_from_the_pool(tmp_path, twenty):
    other = written(tmp_path / "other.jsonl", gsm8k_rows(range(15, 30)))
    task = load_task(f"gsm8k({twenty}, {other})", 0, 12)
    assert len(task.train) == 15
    assert len(task.heldout) == 12
    assert task.dropped == {"question is held out": 5}
    assert answers(task.heldout) < {str(n + 1) for n in range(15, 30)}


def test_ids_are_stable():
    task = load_task(f"gsm8k({GSM8K})", 0, 0)
    ids = {question.answer: question.id for question in task.train}
    assert ids["18"] == "gsm8k-a392591ed29c0556"


@pytest.mark.parametrize(
    ("call", "num_train", "num_heldout", "message"),
    [
        ("gsm8k", 0, 0, "names 0 sources of data; write gsm8k"),
        ("gsm8k(strict)", 0, 0, "names 0 sources of data; write gsm8k"),
        ("gsm8k(a.jsonl, b.jsonl, c.jsonl)", 0, 0, "names 3 sources of data"),
        ("gsm8k(nowhere.jsonl)", 0, 0, "'nowhere.jsonl' does not exist; give a file, a folder or owner/name"),
        ("gsm8k(/no/where)", 0, 0, "does not exist"),
        (f"gsm8k({__file__})", 0, 0, r"is of no known kind; give one of \.csv, \.json, \.jsonl, \.parquet"),
        (f"gsm8k({GSM8K})", 7, 0, "num_prompts=7 is more than the 6 questions .*--num-prompts 0 takes all"),
        (f"gsm8k({GSM8K})", 4, 3, "num_prompts=4 is more than the 3 questions"),
        (f"gsm8k({GSM8K})", 0, 7, "num_heldout=7 is more than the 6 questions|has no question to train on"),
        (f"gsm8k({GSM8K})", 0, 6, "has no question to train on, with 6 held out"),
        (f"gsm8k({GSM8K}, {BAD})", 0, 3, "num_heldout=3 is more than the 2 questions"),
        (f"gsm8k({GSM8K})", -1, 0, "num_prompts=-1 is negative"),
        (f"gsm8k({GSM8K})", 0, -1, "num_heldout=-1 is negative"),
        (f"math({GSM8K})", 0, 0, r"has the columns answer, question; math wants problem and solution or problem and a"),
        (f"gsm8k({DATA / 'math.json'})", 0, 0, "has the columns level, problem, solution, type; gsm8k wants question"),
        (f"dapo_math({DATA / 'aime.csv'})", 0, 0, "has the columns answer, id, problem, year; dapo_math wants prompt"),
        (f"aime({DATA / 'dapo_math.parquet'})", 0, 0, "aime wants problem and answer or question and answer"),
    ],
)
def test_what_cannot_be_served_is_named_with_its_remedy(call, num_train, num_heldout, message):
    with pytest.raises(CerolabError, match=message):
        load_task(call, num_train, num_heldout)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "has no rows"),
        ("a.json", b"[]", "has no rows"),
        ("a.json", b"{", "cannot be read"),
        ("a.jsonl", b"\xff\xfe", "cannot be read"),
        ("a.parquet", b"not parquet", "cannot be read"),
        ("a.csv", b'question,answer\n"open', "cannot be read"),
        ("a.csv", b"question,answer\n", "has no rows"),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidValueError, match=message):
        load_task(f"gsm8k({tmp_path / name})", 0, 0)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(InvalidValueError, match="has no data file"):
        load_task(f"gsm8k({tmp_path})", 0, 0)


def hub(configurations):
    """A stand-in for the hub's client: configuration -> split -> rows."""

    def load_dataset(name, configuration, split):
        assert name == "owner/name"
        return configurations[configuration][split]

    return SimpleNamespace(
        get_dataset_config_names=lambda name: list(configurations),
        get_dataset_split_names=lambda name, configuration: list(configurations[configuration]),
        load_dataset=load_dataset,
    )


@pytest.mark.parametrize(
    ("configurations", "source", "size"),
    [
        ({"default": {"train": gsm8k_rows(range(3)), "test": gsm8k_rows(range(9))}}, "owner/name", 3),
        ({"default": {"train": gsm8k_rows(range(3)), "test": gsm8k_rows(range(9))}}, "owner/name:test", 9),
        ({"default": {"only": gsm8k_rows(range(4))}}, "owner/name", 4),
        ({"other": {"train": []}, "main": {"train": gsm8k_rows(range(5))}}, "owner/name", 5),
        ({"I": {"train": gsm8k_rows(range(2))}, "II": {"train": gsm8k_rows(range(2, 6))}}, "owner/name", 6),
    ],
)
def test_data_sets_of_the_hub(monkeypatch, configurations, source, size):
    monkeypatch.setitem(sys.modules, "datasets", hub(configurations))
    assert len(load_task(f"gsm8k({source})", 0, 0).train) == size


def test_without_the_hub_the_error_names_both_ways(monkeypatch):
    def fail(name):
        raise ConnectionError("no network")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(get_dataset_config_names=fail))
    message = (
        "'owner/name' is no file or folder here, and the hub did not give it: ConnectionError: no network; give a path"
    )
    with pytest.raises(InvalidValueError, match=message):
        load_task("gsm8k(owner/name)", 0, 0)


def test_long_prompts_are_dropped_with_a_count(twenty):
    task = load_task(f"gsm8k({twenty})", 0, 5)
    most = len("What is 9 and 1?")
    short = drop_long(task, len, most, strict=False)
    assert len(short.train) + len(short.heldout) == 10
    assert max(len(question.prompt) for question in (*short.train, *short.heldout)) == most
    assert short.dropped == {f"prompt longer than {most} tokens": 10}
    assert len(task.train) == 15
    assert drop_long(task, len, 100, strict=True) is task


def test_long_prompts_are_refused_by_name_or_leave_nothing(twenty):
    task = load_task(f"gsm8k({twenty})", 0, 5)
    with pytest.raises(InvalidValueError, match=r"question='gsm8k-[0-9a-f]{16}' has a prompt of 16 tokens"):
        drop_long(task, len, 15, strict=True)
    with pytest.raises(InvalidValueError, match="max_prompt_tokens=15 leaves no question to train on"):
        drop_long(task, len, 15, strict=False)
    with pytest.raises(InvalidValueError, match="most=0 leaves no prompt"):
        drop_long(task, len, 0, strict=False)
