"""The states of all random number generators that a Keras training draws from, beside those of its layers."""

from __future__ import annotations

import random
import sys
from typing import Any

import keras
import numpy as np

_SEED = "global_random_seed"
_GENERATOR = "global_seed_generator"


def get_random_states(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Python's, NumPy's, Keras's and TensorFlow's, as JSON; arrays go into `arrays`."""
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    arrays["random/numpy"] = np.asarray(keys)
    states: dict[str, Any] = {
        "python": [version, list(internal), gauss],
        "numpy": [kind, int(position), int(has_gauss), float(cached)],
    }
    attributes = _global_attributes()
    if attributes is not None:
        get, _ = attributes
        states["keras_seed"] = get(_SEED)
        generator = get(_GENERATOR)
        if generator is not None:
            arrays["random/keras"] = keras.ops.convert_to_numpy(generator.state)
    context = _tensorflow_context()
    if context is not None and getattr(context, "_rng", None) is not None:
        version, internal, gauss = context._rng.getstate()
        states["tensorflow"] = [version, list(internal), gauss]
    return states


def set_random_states(states: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Gives the generators the states that `get_random_states` took."""
    random.setstate(_python_state(states["python"]))
    kind, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, arrays["random/numpy"], position, has_gauss, cached))
    attributes = _global_attributes()
    if attributes is not None:
        _, put = attributes
        put(_SEED, states.get("keras_seed"))
        if "random/keras" in arrays:
            generator = keras.random.SeedGenerator(0)
            generator.state.assign(arrays["random/keras"])
            put(_GENERATOR, generator)
    context = _tensorflow_context()
    if context is not None and "tensorflow" in states and getattr(context, "_rng", None) is not None:
        context._rng.setstate(_python_state(states["tensorflow"]))


def _python_state(kept: list[Any]) -> tuple[Any, ...]:
    version, internal, gauss = kept
    return version, tuple(internal), gauss


def _global_attributes() -> tuple[Any, Any] | None:
    # Keras has no public name for its global generator; without this only unseeded `keras.random` calls differ.
    module = sys.modules.get("keras.src.backend.common.global_state")
    if module is None:
        return None
    return module.get_global_attribute, module.set_global_attribute


def _tensorflow_context() -> Any:
    module = sys.modules.get("tensorflow.python.eager.context")
    return None if module is None else module.context()
