"""The devices that a step trains on: told at its start, and checked where GPUs were asked for."""

from __future__ import annotations

import importlib
import os
import sys

from ktcomponent.console import say
from ktcomponent.errors import ConfigurationError, MissingDevices

BACKENDS = ("tensorflow", "torch", "jax")


def check(wanted: int) -> None:
    """Prints what the training framework sees, and makes sure that it sees enough GPUs.

    The framework is the one that user code has imported, else, where GPUs are wanted, Keras's backend: a node
    whose driver is broken often still has its device files, so only the framework's own answer counts.

    Args:
        wanted: How many GPUs there must be at least; 0 only tells.

    Raises:
        MissingDevices: If there are fewer.
        ConfigurationError: If GPUs are wanted and the framework isn't installed.
    """
    loaded = [name for name in BACKENDS if name in sys.modules]
    if not loaded and wanted:
        loaded = [os.environ.get("KERAS_BACKEND", "tensorflow")]
    gpus: list[str] = []
    for name in loaded:
        gpus = gpus or _gpus(name)
    described = f"{os.cpu_count()} CPUs" + (f", {len(gpus)} GPUs ({', '.join(gpus)})" if gpus else ", no GPU")
    if loaded:
        say(f"devices: {described}, by {' and '.join(loaded)}")
    if len(gpus) < wanted:
        raise MissingDevices(
            f"{wanted} GPUs were asked for, and {' and '.join(loaded)} sees {len(gpus)} on this machine. Nothing was "
            "claimed: another try may run on a sound node."
        )


def _gpus(framework: str) -> list[str]:
    """The names of the GPUs that a framework sees."""
    if framework not in BACKENDS:
        raise ConfigurationError(f"KERAS_BACKEND is {framework!r}; expected one of {', '.join(BACKENDS)}.")
    try:
        module = importlib.import_module(framework)
    except ImportError as error:
        raise ConfigurationError(
            f"GPUs were asked for, and {framework} can't be imported: {error}. Install it in the image, or leave "
            "out --gpus."
        ) from error
    if framework == "tensorflow":
        devices = module.config.list_physical_devices("GPU")
        return [
            str(module.config.experimental.get_device_details(device).get("device_name", device.name))
            for device in devices
        ]
    if framework == "torch":
        count = module.cuda.device_count() if module.cuda.is_available() else 0
        return [str(module.cuda.get_device_name(i)) for i in range(count)]
    return [str(device.device_kind) for device in module.devices() if device.platform == "gpu"]
