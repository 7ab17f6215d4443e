"""Values in a few words, for what is printed of objects that hold a number a prompt."""

from __future__ import annotations

from typing import Any

import numpy as np

_FEW, _LONG = 6, 60  # values of an array, characters of anything else


def brief(value: Any) -> str:
    """Arrays and sequences as ``[5, 0, 17, ... 24]``, the last the number of values; anything else short too."""
    if isinstance(value, (np.ndarray, list, tuple)):
        size = 0 if isinstance(value, np.ndarray) and not value.ndim else len(value)
        if size > _FEW:
            return f"[{', '.join(brief(one) for one in value[:3])}, ... {size:,}]"
        if size:
            return f"[{', '.join(brief(one) for one in value)}]"
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    if isinstance(value, (int, np.integer)):
        return str(int(value)) if not isinstance(value, bool) else str(value)
    text = str(value) if isinstance(value, np.ndarray) else repr(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."


def brief_fields(thing: Any) -> str:
    """``Feedback(num_responses=[8, 8, 8, ... 24], reward_sum=[3, 0, 8, ... 24])``: a class with slots, without None."""
    values = {name: getattr(thing, name) for name in thing.__slots__}
    texts = [f"{name}={brief(value)}" for name, value in values.items() if value is not None]
    return f"{type(thing).__name__}({', '.join(texts)})"
