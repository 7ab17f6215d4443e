"""Log-probabilities before the update are made of the rows that are trained on; ratios to the engine's are TRL's."""

from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from trl.trainer import grpo_trainer

from cerolab.integrations.trl.metrics.rollout_log import SAMPLING
from cerolab.integrations.trl.rows.importance import importance_ratio
from tests.llm.small import allocated, run, small_model, weights

GENTLE = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}
SHORT = {"num_rounds": 3, "budget": 24}


class Engine:
    """Answers at random, one response is one token, and gives no log-probability for some tokens."""

    mode, enable_sleep_mode = "colocate", False

    def __init__(self, **_):
        self.rng = np.random.default_rng(0)
        self.sync_weights = lambda: None

    def generate(self, prompts, **_):
        ids = [self.rng.integers(3, 40, self.rng.integers(1, 6)).tolist() for _ in prompts]
        ids[0] = ids[0][:1]
        logps = [[[None if token == 7 else -2.0 - 3 * self.rng.random()] for token in row] for row in ids]
        return prompts, ids, logps, None


def trained(folder, **given):
    with patch.object(grpo_trainer, "VLLMGeneration", Engine):
        trainer = allocated(folder, problem_given=SHORT, use_vllm=True, **GENTLE, **given)
    seen = SimpleNamespace(rows=[], batches=[], scored=0)
    forget, score, logps = trainer._forget_fillers, trainer._score, trainer._get_per_token_logps_and_entropies
    trainer._forget_fillers = lambda rows, layout: (seen.rows.append(dict(rows)), forget(rows, layout))[1]
    trainer._score = lambda batches: (score(batches), seen.batches.extend(batches))[0]

    def counted(model, ids, *more, **named):
        seen.scored += 0 if torch.is_grad_enabled() or trainer._scoring_deferred else len(ids)
        return logps(model, ids, *more, **named)

    trainer._get_per_token_logps_and_entropies = counted
    run(trainer)
    return trainer, seen


@pytest.mark.parametrize("bounds", [(None, 3.0), (0.5, 1.5), (0.8, None)], ids=str)
@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
def test_the_ratios_are_trls(tmp_path, mode, bounds):
    names = {f"vllm_importance_sampling_clip_{end}": bound for end, bound in zip(("min", "max"), bounds, strict=True)}
    _, seen = trained(tmp_path, skip_zero_advantage=False, vllm_importance_sampling_mode=mode, **names)
    different = 0
    for rows in seen.rows:
        theirs = rows["importance_sampling_ratio"]
        mine = importance_ratio(
            rows["old_per_token_logps"], rows["sampling_per_token_logps"], rows["completion_mask"], mode, *bounds
        )
        assert torch.equal(mine, theirs)
        different += len(theirs.unique()) > 2
    assert different
    assert all("importance_sampling_ratio" in batch for batch in seen.batches)


@pytest.mark.parametrize("mode", ["token_truncate", "sequence_mask"])
def test_leaving_out_rows_before_they_are_scored_changes_nothing_but_the_work(tmp_path, mode):
    given = {"vllm_importance_sampling_mode": mode, "num_iterations": 2}
    some, seen = trained(tmp_path / "some", **given)
    every, all_seen = trained(tmp_path / "all", skip_zero_advantage=False, **given)
    start = torch.cat([parameter.detach().flatten() for parameter in small_model().parameters()])
    moved = float((weights(every) - start).norm())
    assert moved > 1e-3
    assert float((weights(every) - weights(some)).norm()) < 1e-5 * moved
    rows = sum(len(batch["advantages"]) for batch in seen.batches)
    assert seen.scored == rows == sum(int((batch["advantages"] != 0).sum()) for batch in seen.batches)
    assert rows < all_seen.scored == every.ledger.responses


def test_without_an_engine_too_only_rows_that_are_trained_on_are_scored(tmp_path):
    trainer = allocated(tmp_path, problem_given=SHORT, num_iterations=2, **GENTLE)
    scored, plain = [], trainer._get_per_token_logps_and_entropies

    def counted(model, ids, *more, **named):
        if not torch.is_grad_enabled() and not trainer._scoring_deferred:
            scored.append(len(ids))
        return plain(model, ids, *more, **named)

    trainer._get_per_token_logps_and_entropies = counted
    run(trainer)
    assert 0 < sum(scored) < trainer.ledger.responses


def test_numbers_of_the_rows_that_are_trained_on_have_a_name_that_says_so(tmp_path):
    def logged(skip):
        trainer, _ = trained(tmp_path / str(skip), skip_zero_advantage=skip)
        return trainer.state.log_history[:-1]

    for entry in logged(skip=False):
        assert set(SAMPLING) <= entry.keys()
        assert not any(name.startswith("trained_rows/sampling") for name in entry)
    for entry in logged(skip=True):
        assert not set(SAMPLING) & entry.keys()
        assert entry["trained_rows/sampling/sampling_logp_difference/mean"] > 0.1


def test_where_all_rows_are_trained_on_the_numbers_are_trls(tmp_path):
    def lengths(completion_ids, **_):
        return [(i % 4 + 1) / 5 for i, _ in enumerate(completion_ids)]  # no two of a group are the same

    some, _ = trained(tmp_path / "some", reward=lengths)
    every, _ = trained(tmp_path / "all", reward=lengths, skip_zero_advantage=False)
    for mine, theirs in zip(some.state.log_history[:-1], every.state.log_history[:-1], strict=True):
        for name in SAMPLING:
            assert mine[f"trained_rows/{name}"] == pytest.approx(theirs[name], rel=1e-4), name
