"""Responses to one prompt share the work of reading it: the transformers engine reads each distinct prompt once.

``generate`` repeats a prompt for each of its responses before it reads any, so that a group of g reads it g times. With
short responses that is most of the work.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CACHES = {"past_key_values", "cache"}  # the older and the newer name that transformers gives it


def share_prefill(model: Any) -> None:
    """Replace ``model.generate`` by one that gives the same distribution for less work.

    The model must cache keys and values in a ``DynamicCache`` (decoder-only transformers do). Samples can differ from
    those of the plain ``generate`` where rounding decides.
    """
    plain = model.generate

    def generate(input_ids: Tensor, attention_mask: Tensor, **given: Any) -> Tensor:
        both = torch.cat([input_ids, attention_mask.to(input_ids.dtype)], dim=1)
        distinct, row_of = torch.unique(both, dim=0, return_inverse=True)
        width = input_ids.size(1)
        if len(distinct) == len(input_ids) or width < 2 or not _CACHES.isdisjoint(given):
            return plain(input_ids=input_ids, attention_mask=attention_mask, **given)
        ids, mask = distinct[:, :width], distinct[:, width:].to(attention_mask.dtype)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        with torch.no_grad():
            output = model(
                input_ids=ids[:, :-1],
                attention_mask=mask[:, :-1],
                position_ids=positions[:, :-1],
                use_cache=True,
                logits_to_keep=1,
            )
        (name,) = _CACHES.intersection(output)
        output[name].batch_select_indices(row_of)
        return plain(input_ids=input_ids, attention_mask=attention_mask, **{name: output[name]}, **given)

    model.generate = generate
