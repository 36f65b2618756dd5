"""Airflow operators that run a durable hyperparameter search.

Names resolve lazily (PEP 562): Airflow asks every provider for its description at every start, and that must
load neither Airflow's operators nor anything heavier.
"""

import importlib
from typing import Any

_NAMES = {
    "ExportOperator": "operators.local",
    "PrepareOperator": "operators.local",
    "RUN_FOLDER": "task_group",
    "TuningOperator": "operators.local",
    "TuningTaskGroup": "task_group",
}

__all__ = ["get_provider_info", *sorted(_NAMES)]


def get_provider_info() -> dict[str, Any]:
    """What Airflow shows of this provider."""
    from importlib.metadata import version

    return {
        "package-name": "ktcomponent",
        "name": "ktcomponent",
        "description": "Durable hyperparameter search for Keras models.",
        "versions": [version("ktcomponent")],
        "operators": [
            {
                "integration-name": "ktcomponent",
                "python-modules": ["ktcomponent_airflow.operators.local"],
            }
        ],
    }


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'ktcomponent_airflow' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ktcomponent_airflow.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
