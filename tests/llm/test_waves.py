"""Allocators that probe first and then commit: several waves in a round, groups that are not trained on."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from cerolab import Allocation, BaseAllocator
from cerolab.errors import AllocatorError
from tests.llm.small import allocated, problem, run, small_model, weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    again: bool = True
    trained: str = "all"


class Probe(BaseAllocator[Options]):
    """Two waves: one unit each for four prompts, then one more for the first two of them and for two others."""

    name = "probe"
    Options = Options

    def __init__(self, given, **options):
        super().__init__(given, 0, Options(**options))
        self.wave = 0

    def _select(self):
        first = np.arange(4) + 4 * (self.round_index % 3)
        if self.wave == 0:
            return Allocation(first, np.ones(4, np.int64), last_wave=not self.options.again)
        return Allocation(np.array([*first[:2], 20, 21]), np.ones(4, np.int64))

    def _learn(self, allocation, feedback):
        self.wave = 0 if allocation.last_wave else 1

    def training_mask(self, round_feedback):
        size = sum(wave.allocation.num_groups for wave in round_feedback)
        return {"all": np.ones(size, bool), "none": np.zeros(size, bool), "second": np.arange(size) >= 4}[
            self.options.trained
        ]

    def _arrays(self):
        return {"wave": np.array([self.wave])}

    def _load_arrays(self, arrays):
        self.wave = int(arrays["wave"][0])


SIZES = {"max_units": 2, "budget": 160, "capacity": 8}


def trained(folder, **given):
    views = []
    own = {name: given.pop(name) for name in ("again", "trained") if name in given}
    trainer = allocated(folder, Probe(problem(**SIZES), **own), on_round=views.append, **given)
    run(trainer)
    return trainer, views


def test_both_waves_are_generated_counted_and_trained_on(tmp_path):
    trainer, views = trained(tmp_path)
    assert len(views) == 20
    assert all(len(view.waves) == 2 for view in views)
    assert trainer.ledger.responses == 640
    assert views[0].tokens.shape == (8,)
    assert views[0].trained.all()


def test_a_round_without_end_ends_the_training_with_an_error_that_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(Probe, "_learn", lambda self, allocation, feedback: None)  # so that no wave is the last
    with pytest.raises(
        AllocatorError, match=r"probe: _select chose 12 units in 3 waves of a round.*test_waves\.py, line"
    ):
        trained(tmp_path)


def test_a_prompt_of_both_waves_is_one_group(tmp_path, monkeypatch):
    import cerolab.integrations.trl.rows.advantages as module

    seen, plain = [], module.group_advantages

    def spy(rewards, weight, group, *given):
        seen.append(group.clone())
        return plain(rewards, weight, group, *given)

    monkeypatch.setattr(module, "group_advantages", spy)
    trained(tmp_path)
    ids, sizes = torch.unique(seen[0], return_counts=True)
    assert dict(zip(ids.tolist(), sizes.tolist(), strict=True)) == {0: 8, 1: 8, 2: 4, 3: 4, 20: 4, 21: 4}


def test_groups_that_are_not_trained_on_move_nothing_but_count(tmp_path):
    trainer, views = trained(tmp_path, trained="none", weight_decay=0.1)
    start = torch.cat([parameter.detach().flatten() for parameter in small_model().parameters()])
    assert torch.equal(weights(trainer), start)
    assert trainer.ledger.responses == 640
    assert trainer.ledger.updates == 0
    assert not views[0].trained.any()


@pytest.mark.parametrize("loss_type", ["grpo", "dapo"])
def test_leaving_a_wave_out_is_as_if_its_rows_were_not_there(tmp_path, loss_type):
    """The loss is a mean over the rows that are trained on, whatever else was generated."""
    from cerolab.integrations.trl.rows.batches import pick

    trainer = allocated(tmp_path, Probe(problem(**SIZES), trained="second"), loss_type=loss_type,
                        skip_zero_advantage=False)  # fmt: skip
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    torch.manual_seed(5)
    (batch,) = trainer._round()
    assert len(batch["advantages"]) == 16
    loss = trainer.compute_loss(trainer.model, batch)
    doubled = {key: value for key, value in batch.items() if value.dim() and key != "clip_sizes"}
    doubled = pick(doubled, torch.tensor([*range(16), *[-1] * 16]))  # with fillers
    scale = torch.tensor(32 / 16 if loss_type == "grpo" else 1.0)
    scalars = {"num_items_in_batch": batch["num_items_in_batch"], "loss_scale": scale}
    again = trainer.compute_loss(trainer.model, {**doubled, **scalars})
    assert again.item() == pytest.approx(loss.item(), abs=1e-6)
    assert batch["num_items_in_batch"] == batch["completion_mask"].sum()
