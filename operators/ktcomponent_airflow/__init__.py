"""Airflow operators that run a durable hyperparameter search.

Names resolve lazily (PEP 562): Airflow asks every provider for its description at every start, and that must
load neither Airflow's operators nor anything heavier. Nobody pays for Docker or Kubernetes who doesn't use it.
"""

import importlib
from typing import Any

_NAMES = {
    "DockerTuningOperator": "operators.docker",
    "KubernetesTuningOperator": "operators.kubernetes",
    "RUN_FOLDER": "operators.arguments",
    "StudySensor": "sensors.study",
    "TuningOperator": "operators.local",
    "TuningTaskGroup": "task_group",
    "get_provider_info": "provider",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module 'ktcomponent_airflow' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ktcomponent_airflow.{_NAMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
