"""What tuners of Keras models need of Keras beyond its public training loop. Keras is imported when it is used."""

from __future__ import annotations

import contextlib
import gc
import math
import sys
from collections.abc import Iterator
from pathlib import Path
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


_gradients_before: set[str] | None = None


def clear_session() -> None:
    """Forgets earlier models, so that memory does not grow from trial to trial.

    Beside what Keras forgets: TensorFlow registers a function for each custom gradient that it traces, such as those
    of Keras's optimizers, and keeps it for ever, and with it the graph of the whole training step (keras issue 17458).
    Those that came since the first call belong to models that are gone.
    """
    import keras

    global _gradients_before
    keras.backend.clear_session()
    ops = sys.modules.get("tensorflow.python.framework.ops")
    registry = getattr(getattr(ops, "gradient_registry", None), "_registry", None)
    if isinstance(registry, dict):
        names = {name for name in registry if name.startswith("CustomGradient")}
        if _gradients_before is None:
            _gradients_before = names
        for name in names - _gradients_before:
            del registry[name]
    gc.collect()


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
    """A fresh optimizer or metric of the same configuration, also inside lists and dicts; others as they are.

    One that can't be made again from its configuration is used as it is, a metric from its beginning.
    """
    import keras

    if isinstance(argument, dict):
        return {key: copy_of(value) for key, value in argument.items()}
    if isinstance(argument, (list, tuple)):
        return [copy_of(value) for value in argument]
    if isinstance(argument, (keras.optimizers.Optimizer, keras.metrics.Metric)):
        try:
            return type(argument).from_config(argument.get_config())
        except Exception:  # noqa: BLE001 - a user's class may lack `get_config`, and fail in any way
            if isinstance(argument, keras.metrics.Metric):
                argument.reset_state()
            return argument
    return argument


def optimizer_layout(model: Any) -> dict[str, Any] | None:
    """The kind of a model's optimizer and the shapes of its variables, as JSON; None without an optimizer."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return None
    shapes = [list(variable.shape) for variable in optimizer.variables]
    return {"class": f"{type(optimizer).__module__}.{type(optimizer).__name__}", "shapes": shapes}


def build_optimizer(model: Any, layout: dict[str, Any] | None) -> None:
    """Builds a model's optimizer where it is of the kind that `optimizer_layout` gave, so that its state can be loaded."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or layout is None or optimizer.built:
        return
    kind = f"{type(optimizer).__module__}.{type(optimizer).__name__}"
    if kind == layout["class"] and len(optimizer.variables) < len(layout["shapes"]):
        optimizer.build(model.trainable_variables)


def write_model(model: Any, folder: Path, name: str, saved_model: bool) -> dict[str, str]:
    """Writes a Keras model as `<name>.keras` and, if asked, as the TensorFlow SavedModel `<name>.saved_model`.

    A model that can't be written whole (a subclass without `get_config`) leaves its weights.

    Returns:
        The names of what was written, and a `note` about what could not be.
    """
    path = folder / f"{name}.keras"
    written = {"file": path.name}
    try:
        model.save(path)
    except Exception as error:  # noqa: BLE001 - a user's model may fail in any way, and the rest is published
        path.unlink(missing_ok=True)
        written = {
            "file": f"{name}.weights.h5",
            "note": f"only the weights: the model can't be saved whole ({type(error).__name__}: {error})",
        }
        model.save_weights(folder / written["file"])
    if saved_model:
        require_tensorflow("A SavedModel")
        written["saved_model"] = f"{name}.saved_model"
        model.export(str(folder / written["saved_model"]), format="tf_saved_model", verbose=False)
    return written
