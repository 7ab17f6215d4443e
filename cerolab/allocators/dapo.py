"""DAPO's dynamic sampling: groups are generated until a batch of those with mixed rewards is full.

Problem: groups whose rewards are all the same teach nothing, so a batch with them has a smaller and noisier gradient.
Source: Yu et al., "DAPO: An Open-Source LLM Reinforcement Learning System at Scale", arXiv 2503.14476, sec. 3.2; verl,
docs/algo/dapo.md. Rule: sample groups for the prompts of shuffled epochs, keep those with mixed rewards, sample again
until the batch is full, at most 10 times. Every response counts against the budget, also those of dropped groups.

| DAPO and verl | here | meaning |
|---|---|---|
| train_batch_size | ``batch_share`` | share of the quota that a full batch has, in groups of N_max units |
| gen_batch_size | | groups of a wave: as many as a full batch has |
| max_num_gen_batches | ``max_batches`` | waves after which it gives up |

Worst case: a pool of hopeless and solved prompts: all of the quota is generated and nothing is trained on. It has no
memory, so it pays for the same hopeless prompts in every epoch.
Deviations: a round ends when its quota is used, full batch or not, and that too counts as giving up; published, it is
an error after 10 waves, which would end a long run in a poor pool: ``on_give_up="error"``. What a full batch leaves of
the quota goes to later rounds; where their capacity could not take it, sampling goes on beyond the full batch. Groups
with mixed rewards beyond a full batch are trained on; published, they are cut off. The quota's last group may be
smaller. A prompt is sampled at most once a round.
"""

from __future__ import annotations

from cerolab.allocators._dynamic_sampling import DapoOptions, DynamicSampling
from cerolab.registry import register


@register
class Dapo(DynamicSampling[DapoOptions]):
    """State: as the base class says."""

    name = "dapo"
    Options = DapoOptions
