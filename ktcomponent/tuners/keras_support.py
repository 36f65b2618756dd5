"""What tuners of Keras models need of Keras beyond its public training loop. Keras is imported when it is used."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

from ktcomponent.errors import ConfigurationError


@contextlib.contextmanager
def maybe_distribute(distribution_strategy: Any) -> Iterator[None]:
    """The scope of a `tf.distribute.Strategy`, or nothing where there is none."""
    if distribution_strategy is None:
        yield
    else:
        with distribution_strategy.scope():
            yield


def require_tensorflow(feature: str) -> None:
    """Refuses what works with TensorFlow alone.

    Raises:
        ConfigurationError: If Keras runs on another backend.
    """
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ConfigurationError(
            f"{feature} needs Keras on TensorFlow, and here it runs on {backend}. Set KERAS_BACKEND=tensorflow, or do "
            "without."
        )


def model_size(model: Any) -> int:
    """The number of trainable scalars; 0 while the model is not built."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights) if model.built else 0


def override_compile(model: Any, optimizer: Any, loss: Any, metrics: Any) -> None:
    """Compiles a model again with some arguments replaced; the others stay as the model has them.

    Args:
        model: A model, compiled or not.
        optimizer, loss, metrics: Replace those of the model where given. Optimizers and metrics hold the state of one
            training, so each model gets its own copy.
    """
    if not (optimizer or loss or metrics):
        return
    compiled = getattr(model, "_compile_config", None)
    arguments: dict[str, Any] = dict(compiled.config) if compiled is not None else {}
    if optimizer:
        arguments["optimizer"] = copy_of(optimizer)
    if loss:
        arguments["loss"] = loss
    if metrics:
        arguments["metrics"] = copy_of(metrics)
    model.compile(**arguments)


def copy_of(argument: Any) -> Any:
    """A fresh optimizer or metric of the same configuration, also inside lists and dicts; others as they are."""
    import keras

    if isinstance(argument, dict):
        return {key: copy_of(value) for key, value in argument.items()}
    if isinstance(argument, (list, tuple)):
        return [copy_of(value) for value in argument]
    if isinstance(argument, (keras.optimizers.Optimizer, keras.metrics.Metric)):
        return type(argument).from_config(argument.get_config())
    return argument
