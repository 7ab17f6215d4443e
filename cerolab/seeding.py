"""Seeds from names, never from global state, so that every method meets the same luck.

A stream belongs to what it is for ("population", "tie order", ...), not to who draws from it. Reward coins are
counter-based: the coin of a response is a pure function of (seed, prompt, how many responses the prompt has had).
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


def seed_from_names(*names: object) -> int:
    """A 64-bit seed that depends on every name and on their order, and on nothing else."""
    text = "\x1f".join(_written(name) for name in names)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "little")


def _written(name: object) -> str:
    """A name with its kind; NumPy's integers are integers, and a separator inside a name is escaped."""
    if isinstance(name, np.integer):
        name = int(name)
    return f"{type(name).__name__}:{name}".replace("\\", "\\\\").replace("\x1f", "\\x1f")


def generator(*names: object) -> np.random.Generator:
    """A generator for one purpose, e.g. ``generator("population", "beta(1,1)", seed)``."""
    return np.random.default_rng(seed_from_names(*names))


def _mix(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014), in place."""
    x ^= x >> _S30
    x *= _MIX_1
    x ^= x >> _S27
    x *= _MIX_2
    x ^= x >> _S31
    return x


def coin_keys(seed: int, num_prompts: int) -> npt.NDArray[np.uint64]:
    """uint64 [M]: one key a prompt for ``counter_uniforms``."""
    keys = np.arange(1, num_prompts + 1, dtype=np.uint64)
    keys *= _GOLDEN
    keys += np.uint64(seed_from_names("coins", seed))
    return _mix(_mix(keys))


def counter_uniforms(keys: npt.NDArray[np.uint64], counters: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Uniforms in [0, 1) with 53 random bits, a pure function of (key, counter); the inputs broadcast.

    Args:
        keys: uint64, from ``coin_keys``.
        counters: integers >= 0, the number of responses the prompt has had before this one.
    """
    return _counter_bits(keys, counters).astype(np.float64) * 2.0**-53


def counter_coins(
    keys: npt.NDArray[np.uint64], counters: npt.NDArray[Any], probability: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """``counter_uniforms(keys, counters) < probability``, without the way through floats; the inputs broadcast."""
    return _counter_bits(keys, counters) < np.ceil(probability * 2.0**53).astype(np.uint64)


def _counter_bits(keys: npt.NDArray[np.uint64], counters: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64; NumPy warns of it in scalars
        x = _mix(counters.astype(np.uint64) * _GOLDEN + (keys + _GOLDEN))
        x >>= _S11
        return x
