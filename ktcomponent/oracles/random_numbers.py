"""Random numbers that are a function of what they are for, so that no generator state is ever stored."""

from __future__ import annotations

import hashlib
import json


def uniform(*key: int | str) -> float:
    """A number from [0, 1), the same for the same key on every machine and in every version.

    Args:
        key: For example (seed, trial number, candidate counter, name). Distinct keys give independent numbers.
    """
    digest = hashlib.blake2b(json.dumps(key).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def entropy(seed: int) -> int:
    """The seed as numpy's generators take it, which know no negative numbers: another one for each."""
    return seed if seed >= 0 else (1 << 64) - seed
