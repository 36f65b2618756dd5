"""One entry of the log as bytes: JSON whose last key is the SHA-256 of everything before it."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from ktcomponent.errors import CorruptEntry

MAX_BYTES = 16 * 1024 * 1024
_TAIL = ',"sha256":"'
_TAIL_LENGTH = len(_TAIL) + 64 + len('"}\n')


def encode(entry: dict[str, Any]) -> bytes:
    """The stored form of an entry."""
    body = dumps(entry)[:-1]
    digest = hashlib.sha256(body.encode()).hexdigest()
    return f'{body}{_TAIL}{digest}"}}\n'.encode()


def decode(data: bytes, key: str) -> dict[str, Any]:
    """The entry that was stored.

    Raises:
        CorruptEntry: If the bytes are not what `encode` made.
    """
    if len(data) > MAX_BYTES:
        raise CorruptEntry(f"{key} has {len(data)} bytes, more than an entry can have. {REMEDY}")
    body, tail = data[:-_TAIL_LENGTH], data[-_TAIL_LENGTH:]
    expected = f'{_TAIL}{hashlib.sha256(body).hexdigest()}"}}\n'.encode()
    if tail != expected:
        raise CorruptEntry(f"{key} is not what its writer wrote: its checksum differs. {REMEDY}")
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptEntry(f"{key} is no JSON: {error}. {REMEDY}") from error
    if not isinstance(entry, dict):
        raise CorruptEntry(f"{key} is no JSON object. {REMEDY}")
    return entry


REMEDY = (
    "Restore the object from a backup or an older version of it, or make a sound copy with `ktcomponent study "
    "repair`; nothing was changed or skipped."
)


def dumps(value: Any) -> str:
    """Compact JSON; NaN and the infinities become the strings "nan", "inf" and "-inf"."""
    return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False)


def plain(value: Any) -> Any:
    """The value as reading it back from JSON would give it."""
    return json.loads(dumps(value))


def revive(value: Any) -> Any:
    """A deep copy in which the strings that stand for NaN and the infinities are numbers again."""
    if isinstance(value, dict):
        return {k: revive(v) for k, v in value.items()}
    if isinstance(value, list):
        return [revive(v) for v in value]
    return float(value) if isinstance(value, str) and value in ("nan", "inf", "-inf") else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if hasattr(value, "item"):  # a NumPy scalar
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value
