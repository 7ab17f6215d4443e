"""Rows put together, picked and cut keep whatever is no padding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import pad

from cerolab.integrations.trl.rows.batches import deal, join, pick, trim

PAD = 99
TOKENS = st.lists(st.integers(1, 9), min_size=1, max_size=6)
ROW = st.tuples(TOKENS, TOKENS)  # prompt, completion
WAVES = st.lists(st.lists(ROW, min_size=1, max_size=5), min_size=1, max_size=4)


def padded(parts, fill, left=False):
    width = max(map(len, parts))
    return torch.tensor([[fill] * (width - len(p)) * left + list(p) + [fill] * (width - len(p)) * (not left)
                         for p in parts])  # fmt: skip


def wave_of(rows, first=0):
    """As TRL makes it: prompts padded on the left, completions on the right; one value a token, one a row."""
    prompts, completions = [row[0] for row in rows], [row[1] for row in rows]
    return {
        "prompt_ids": padded(prompts, PAD, left=True),
        "prompt_mask": padded([[1] * len(p) for p in prompts], 0, left=True),
        "completion_ids": padded(completions, PAD),
        "completion_mask": padded([[1] * len(c) for c in completions], 0),
        "old_per_token_logps": padded([[-t / 7 for t in c] for c in completions], 0.0),
        "advantages": torch.arange(first, first + len(rows)).float() + 1,
        "num_items_in_batch": torch.tensor(5),
    }


def content(rows):
    """The rows without padding."""
    found = []
    for i in range(len(rows["advantages"])):
        prompt, completion = rows["prompt_mask"][i].bool(), rows["completion_mask"][i].bool()
        found.append(
            (
                rows["prompt_ids"][i][prompt].tolist(),
                rows["completion_ids"][i][completion].tolist(),
                rows["old_per_token_logps"][i][completion].tolist(),
                float(rows["advantages"][i]),
            )
        )
    return found


def joined(waves):
    made, first = [], 0
    for rows in waves:
        made.append(wave_of(rows, first))
        first += len(rows)
    return made, join(made, PAD)


@given(waves=WAVES)
def test_join_keeps_every_row(waves):
    made, rows = joined(waves)
    assert content(rows) == [row for wave in made for row in content(wave)]
    assert "num_items_in_batch" not in rows
    assert set(rows["prompt_ids"][rows["prompt_mask"] == 0].tolist()) <= {PAD}
    assert set(rows["completion_ids"][rows["completion_mask"] == 0].tolist()) <= {PAD}
    assert bool((rows["prompt_mask"].diff(dim=1) >= 0).all())  # padding on the left
    assert bool((rows["completion_mask"].diff(dim=1) <= 0).all())  # and on the right
    for key in ("prompt_mask", "completion_mask", "old_per_token_logps"):
        part = "prompt_ids" if "prompt" in key else "completion_ids"
        assert rows[key].shape == rows[part].shape


@given(waves=WAVES, data=st.data())
def test_pick_and_trim_keep_the_rows_asked_for(waves, data):
    _, rows = joined(waves)
    size = len(rows["advantages"])
    index = data.draw(st.lists(st.integers(-1, size - 1), min_size=1, max_size=8))
    before = {key: value.clone() for key, value in rows.items()}
    small = trim(pick(rows, torch.tensor(index)))
    whole = content(rows)
    for place, found in zip(index, content(small), strict=True):
        if place >= 0:
            assert found == whole[place]
        else:  # a filler: a prompt, so that the model has something to read, and nothing to learn
            assert found[1:] == ([], [], 0.0)
            assert found[0]
    true = [whole[place] for place in index if place >= 0]
    longest = max([len(row[1]) for row in true], default=0)
    assert small["completion_ids"].size(1) == min(max(longest, 2), rows["completion_ids"].size(1))
    assert bool(small["prompt_mask"][:, 0].any())
    for key, value in before.items():
        assert torch.equal(rows[key], value), key


@given(waves=WAVES, multiple=st.sampled_from([1, 2, 4, 8]), data=st.data())
def test_widths_that_were_multiples_stay_multiples(waves, multiple, data):
    made = []
    for rows in map(wave_of, waves):  # padded as TRL does for pad_to_multiple_of
        for key, value in rows.items():
            if value.dim() == 2:
                more, fill = -value.size(1) % multiple, PAD if key.endswith("ids") else 0
                rows[key] = pad(value, (more, 0) if key.startswith("prompt") else (0, more), value=fill)
        made.append(rows)
    rows = join(made, PAD)
    index = data.draw(st.lists(st.integers(-1, len(rows["advantages"]) - 1), min_size=1, max_size=8))
    loose, small = (trim(pick(rows, torch.tensor(index)), given) for given in (None, multiple))
    assert content(small) == content(loose)
    for key in ("prompt_ids", "completion_ids", "old_per_token_logps", "completion_mask"):
        least = loose[key].size(1)
        assert small[key].size(1) == -(-least // multiple) * multiple


def test_a_column_a_row_stays_one_where_a_wave_has_responses_of_one_token():
    """As the ratio of a whole sequence, beside the wave of a process that had fillers only."""
    waves = [wave_of([([1], [2, 3, 4])]), wave_of([([1], [5]), ([6], [7])])]
    for wave in waves:
        wave["importance_sampling_ratio"] = torch.full((len(wave["advantages"]), 1), 0.5)
    assert join(waves, PAD)["importance_sampling_ratio"].tolist() == [[0.5]] * 3
    assert join(waves, PAD)["old_per_token_logps"].shape == (3, 3)


def test_trim_leaves_what_is_no_column_alone():
    rows = {**wave_of([([1], [2, 3]), ([4], [5])]), "advantages": torch.ones(2)}
    rows["completion_mask"][:] = 0
    small = trim(rows)
    assert small["completion_ids"].tolist() == [[2, 3], [5, PAD]]  # all that there is
    assert small["advantages"].tolist() == [1, 1]
    assert small["num_items_in_batch"].item() == 5


@given(size=st.integers(0, 40), count=st.integers(1, 8))
def test_deal_is_even_and_whole(size, count):
    index = torch.arange(size)
    shares = deal(index, count)
    assert len(shares) == count
    assert torch.cat(shares).tolist() == index.tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("count", [1, 2, 4])
def test_deal_is_trls_own_split_where_it_divides(count):
    from trl.trainer.utils import split_tensor_dict

    index = torch.arange(8)
    theirs = split_tensor_dict({"row": index}, count)
    assert [share.tolist() for share in deal(index, count)] == [part["row"].tolist() for part in theirs]
