"""The state of Keras callbacks, so that a training can go on in another process as if nothing had happened.

Callbacks with `get_state` and `set_state` say themselves what their state is; of Keras's own the plain attributes
are taken. Any other is fine as long as it keeps no state: its attributes are the same as when the training began.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import types
from collections.abc import Sequence
from typing import Any

import keras
import ml_dtypes
import numpy as np

from ktcomponent.errors import KtcomponentError

_SKIPPED = frozenset(["_model", "model", "params", "_params", "_train_dir", "_val_dir"])
_DEPTH = 4
"""So deep a callback's attributes are looked into for a state."""
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
            state = {
                key: pack(vars(callback)[key], f"callback/{number}/{key}", arrays)
                for key in _attributes(callback)
            }
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
            continue
        own = _attributes(callback)
        for key in own & set(state):
            setattr(callback, key, state[key])


def _attributes(callback: Any) -> set[str]:
    """The attributes of one of Keras's own callbacks that are its state."""
    if isinstance(callback, keras.callbacks.History):
        return set()  # the histories of the training are kept by themselves
    # Arguments are no state; some of them Keras changes, once, when the first epoch ends.
    skipped = _SKIPPED | set(inspect.signature(type(callback).__init__).parameters)
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and not os.path.exists(callback.filepath):
        skipped |= {"best"}  # that file is on another machine
    return {k for k, value in vars(callback).items() if k not in skipped and _can_be_packed(value)}


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
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        # A copy, since the training goes on while this is written.
        arrays[key] = raw(value)
        return {"array": key, "type": str(value.dtype), "shape": list(value.shape)}
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
            return like(arrays[packed["array"]], packed["type"], packed["shape"])
        items = packed["dict"] if set(packed) == {"dict"} else packed
        return {name: unpack(item, arrays) for name, item in items.items()}
    return packed


def raw(value: np.ndarray) -> np.ndarray:
    """A copy of an array; of types that NumPy's files don't know (bfloat16 and the like) its bytes."""
    value = np.array(value)
    return value.reshape(-1).view(np.uint8) if value.dtype.kind == "V" else value


def like(value: np.ndarray, dtype: str, shape: Sequence[int]) -> np.ndarray:
    """The array of which `raw` made this."""
    if value.dtype == np.uint8 and dtype != "uint8":
        value = value.view(np.dtype(getattr(ml_dtypes, dtype))).reshape(shape)
    return value


def _can_be_packed(value: Any) -> bool:
    try:
        pack(value, "", {})
    except TypeError:
        return False
    return True


def _speaks(callback: Any) -> bool:
    return callable(getattr(callback, "get_state", None)) and callable(getattr(callback, "set_state", None))


def _is_keras(callback: Any) -> bool:
    """Whether it is one of Keras's own, whose attributes are plain; a LambdaCallback is the user's."""
    own = type(callback).__module__.partition(".")[0] == "keras"
    return own and not isinstance(callback, keras.callbacks.LambdaCallback)


def _fingerprint(callback: Any) -> dict[str, Any]:
    """Something that differs where an attribute differs, as deep as can be seen."""
    return {key: _mark(value, _DEPTH) for key, value in vars(callback).items() if key not in _SKIPPED}


def _mark(value: Any, depth: int) -> Any:
    if isinstance(value, (*_PLAIN, np.generic)):
        return repr(value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return hashlib.sha256(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data).hexdigest()
    if depth == 0 or isinstance(
        value, (keras.layers.Layer, keras.optimizers.Optimizer, type, types.ModuleType)
    ):
        return id(value)
    if isinstance(value, dict):
        return [(_mark(key, 1), _mark(item, depth - 1)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [_mark(item, depth - 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(str(_mark(item, depth - 1)) for item in value)
    if isinstance(value, types.MethodType):
        return _mark(value.__func__, depth), _mark(value.__self__, depth - 1)
    inner = [id(value)]
    if isinstance(value, types.FunctionType):
        return inner, [_mark(_content(cell), depth - 1) for cell in value.__closure__ or ()]
    return inner, [(k, _mark(item, depth - 1)) for k, item in getattr(value, "__dict__", {}).items()]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None
