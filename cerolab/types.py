"""Types of arrays, and the suffixes that tell their axes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Axis suffixes, the same everywhere: _M pool prompts, _A admitted prompts of this wave, _K rounds,
# _G responses of a group, _S seeds, _T tokens.
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
