"""What Airflow shows of this provider, `airflow providers get ktcomponent` too. Imports nothing of Airflow."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from ktcomponent_airflow.configuration import OPTIONS, SECTION

_INTEGRATION = "ktcomponent"


def get_provider_info() -> dict[str, Any]:
    """The provider's description, in the form of Airflow's schema."""

    def modules(*names: str) -> list[dict[str, Any]]:
        found = [f"ktcomponent_airflow.{name}" for name in names]
        return [{"integration-name": _INTEGRATION, "python-modules": found}]

    return {
        "package-name": "ktcomponent",
        "name": "ktcomponent",
        "description": "Durable hyperparameter search for Keras models.",
        "versions": [version("ktcomponent")],
        "operators": modules("operators.local", "operators.docker", "operators.kubernetes"),
        "sensors": modules("sensors.study"),
        "triggers": modules("triggers.pod", "triggers.study"),
        "extra-links": ["ktcomponent_airflow.links.StudyLink"],
        "task-decorators": [{"class-name": "ktcomponent_airflow.decorators.tuning_task", "name": "tuning"}],
        "config": {
            SECTION: {
                "description": "Defaults of ktcomponent's operators; what a DAG says comes first.",
                "options": {
                    name: {
                        "description": description,
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": example,
                        "default": None,
                    }
                    for name, (description, example) in OPTIONS.items()
                },
            }
        },
    }
