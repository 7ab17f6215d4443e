"""What docs/many-gpus.md says of the loss bnpo: how a batch is cut is part of it, uncut it is dapo."""

import torch

from tests.llm.small import allocated, run, small_model, weights
from tests.llm.test_trainer import relative_difference

GIVEN = {"method": "uniform", "optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}
HALVES = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 2}


def trained(folder, **given):
    trainer = allocated(folder, **GIVEN, **given)
    run(trainer)
    return trainer


def test_bnpo_depends_on_how_a_batch_is_cut_and_uncut_is_dapo(tmp_path):
    start = torch.cat([parameter.detach().flatten() for parameter in small_model().parameters()])
    whole, halves = trained(tmp_path / "a", loss_type="bnpo"), trained(tmp_path / "b", loss_type="bnpo", **HALVES)
    dapo, cut = trained(tmp_path / "c", loss_type="dapo"), trained(tmp_path / "d", loss_type="dapo", **HALVES)
    assert float((weights(whole) - start).norm()) > 1e-3
    assert relative_difference(whole, dapo, start) < 1e-4
    assert relative_difference(cut, dapo, start) < 1e-4
    assert relative_difference(halves, whole, start) > 1e-2
