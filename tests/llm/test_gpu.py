"""The same invariants on a CUDA device, in float32 and in mixed precision."""

import pytest
import torch

from tests.llm.small import allocated, run, small_model, stock, weights
from tests.llm.test_trainer import GENTLE, order_of_uniform, relative_difference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
PRECISIONS = [pytest.param({"bf16": False}, 1e-3, id="float32"), pytest.param({"bf16": True}, 5e-2, id="bfloat16")]


@pytest.fixture
def start():
    return torch.cat([parameter.detach().flatten() for parameter in small_model().parameters()]).cuda()


@pytest.mark.parametrize(("precision", "bound"), PRECISIONS)
@pytest.mark.parametrize("loss_type", ["grpo", "dr_grpo", "dapo"])
def test_with_the_uniform_allocator_it_is_the_stock_trainer(tmp_path, start, loss_type, precision, bound):
    given = {"use_cpu": False, "loss_type": loss_type, **precision, **GENTLE}
    ours = allocated(tmp_path / "ours", **given)
    run(ours)
    theirs = stock(tmp_path / "theirs", order_of_uniform(), max_steps=20, **given)
    run(theirs)
    assert relative_difference(ours, theirs, start) < bound


@pytest.mark.parametrize(("precision", "bound"), PRECISIONS)
def test_the_size_of_micro_batches_changes_nothing(tmp_path, start, precision, bound):
    given = {"use_cpu": False, "method": "cero", **precision, **GENTLE}
    whole = allocated(tmp_path / "a", **given)
    run(whole)
    cut = allocated(tmp_path / "b", per_device_train_batch_size=4, gradient_accumulation_steps=8, **given)
    run(cut)
    assert whole.ledger.responses == cut.ledger.responses
    assert relative_difference(cut, whole, start) < bound


def test_the_budget_is_kept_and_a_resumed_run_has_the_same_ledger(tmp_path):
    given = {"use_cpu": False, "method": "cero", "save_strategy": "steps", "save_steps": 10}
    trainer = allocated(tmp_path / "a", **given)
    run(trainer)
    again = allocated(tmp_path / "b", **given)
    again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-10"))
    assert again.ledger.responses == trainer.ledger.responses
    assert weights(again).isfinite().all()
