"""The state of Keras callbacks, so that a training can go on in another process as if nothing had happened.

Callbacks with `get_state` and `set_state` say themselves what their state is; of Keras's own the plain attributes
are taken. Any other is fine as long as it keeps no state: its attributes are the same as when the training began.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from ktcomponent.errors import KtcomponentError

_SKIPPED = frozenset(["_model", "model", "params", "_params"])
_PLAIN = (bool, int, float, str, type(None))

Arrays = dict[str, np.ndarray]


class CannotResume(KtcomponentError):
    """A training can't go on from a checkpoint, or none can be made; it says why."""


def get_states(callbacks: Sequence[Any], arrays: Arrays) -> list[dict[str, Any]]:
    """The states of callbacks as JSON; arrays in them go into `arrays`.

    Raises:
        CannotResume: If a state can't be written.
    """
    states = []
    for number, callback in enumerate(callbacks):
        name = type(callback).__name__
        state: Any = None
        if _speaks(callback):
            try:
                state = pack(callback.get_state(), f"callback/{number}", arrays)
            except TypeError as error:
                raise CannotResume(f"get_state() of the callback {name} gave no JSON: {error}") from error
        elif _is_keras(callback):
            state = {}
            # Arguments are no state; some of them Keras changes, once, when the first epoch ends.
            arguments = inspect.signature(type(callback).__init__).parameters
            for key, value in vars(callback).items():
                if key not in _SKIPPED and key not in arguments and _can_be_packed(value):
                    state[key] = pack(value, f"callback/{number}/{key}", arrays)
        states.append({"class": name, "state": state})
    return states


def set_states(callbacks: Sequence[Any], states: Sequence[dict[str, Any]], arrays: Arrays) -> None:
    """Gives callbacks the states that `get_states` took.

    Raises:
        CannotResume: If these are other callbacks.
    """
    names = [type(callback).__name__ for callback in callbacks]
    before = [state["class"] for state in states]
    if names != before:
        raise CannotResume(f"its callbacks were {before}, and now they are {names}")
    for callback, kept in zip(callbacks, states, strict=True):
        if kept["state"] is None:
            continue
        state = unpack(kept["state"], arrays)
        if _speaks(callback):
            callback.set_state(state)
        else:
            for key, value in state.items():
                setattr(callback, key, value)


class Watched:
    """Callbacks of which nobody knows whether they keep a state.

    Args:
        callbacks: All callbacks, as they are when the training begins.
    """

    def __init__(self, callbacks: Sequence[Any]) -> None:
        self._unknown = [c for c in callbacks if not _speaks(c) and not _is_keras(c)]
        self._before = [_fingerprint(callback) for callback in self._unknown]

    def check(self) -> None:
        """Raises `CannotResume` if one of them does."""
        for callback, before in zip(self._unknown, self._before, strict=True):
            now = _fingerprint(callback)
            changed = sorted(key for key in {**before, **now} if before.get(key) != now.get(key))
            if changed:
                raise CannotResume(
                    f"the callback {type(callback).__name__} keeps state ({', '.join(changed)}) and has no get_state() "
                    "and set_state()"
                )


def refusal(callbacks: Sequence[Any]) -> str | None:
    """Why nothing can be resumed with these callbacks; None where it can."""
    if any(isinstance(callback, keras.callbacks.BackupAndRestore) for callback in callbacks):
        return "BackupAndRestore keeps checkpoints of its own"
    return None


def pack(value: Any, key: str, arrays: Arrays) -> Any:
    """A value as JSON; arrays become references.

    Raises:
        TypeError: If it holds something else.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, np.ndarray):
        arrays[key] = value
        return {"array": key}
    if isinstance(value, (list, tuple)):
        return [pack(item, f"{key}/{n}", arrays) for n, item in enumerate(value)]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {"dict": {name: pack(item, f"{key}/{name}", arrays) for name, item in value.items()}}
    raise TypeError(f"{type(value).__name__}")


def unpack(packed: Any, arrays: Arrays) -> Any:
    """What `pack` was given; tuples are lists."""
    if isinstance(packed, list):
        return [unpack(item, arrays) for item in packed]
    if isinstance(packed, dict):
        if "array" in packed:
            return arrays[packed["array"]]
        items = packed["dict"] if set(packed) == {"dict"} else packed
        return {name: unpack(item, arrays) for name, item in items.items()}
    return packed


def _can_be_packed(value: Any) -> bool:
    try:
        pack(value, "", {})
    except TypeError:
        return False
    return True


def _speaks(callback: Any) -> bool:
    return callable(getattr(callback, "get_state", None)) and callable(getattr(callback, "set_state", None))


def _is_keras(callback: Any) -> bool:
    return type(callback).__module__.partition(".")[0] == "keras"


def _fingerprint(callback: Any) -> dict[str, Any]:
    """Something that differs where a plain attribute differs; others are told apart by identity alone."""
    marks: dict[str, Any] = {}
    for key, value in vars(callback).items():
        if key in _SKIPPED:
            continue
        arrays: Arrays = {}
        try:
            marks[key] = repr(pack(value, "", arrays)), [(k, a.tobytes()) for k, a in arrays.items()]
        except TypeError:
            size: Callable[[], int] | None = getattr(value, "__len__", None)
            marks[key] = id(value), size() if size is not None else None
    return marks
