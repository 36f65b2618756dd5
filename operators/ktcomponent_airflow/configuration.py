"""The section [ktcomponent] of airflow.cfg."""

from __future__ import annotations

SECTION = "ktcomponent"

OPTIONS: dict[str, tuple[str, str]] = {
    "storage": (
        "URL below which studies lie where an operator or task group is given none: each DAG run gets a folder.",
        "gs://tuning",
    ),
    "image": ("Image of the containers where an operator is given none.", "registry.example.org/trainer:1"),
    "pool": ("Airflow pool of all tasks that are given none.", "gpus"),
    "keep_checkpoints": (
        "Retention: of how many of a study's best trials the checkpoints stay, where it isn't set otherwise.",
        "5",
    ),
}
"""By name: what it is, and an example. None has a default."""


def configured(name: str) -> str | None:
    """What airflow.cfg, or the environment (AIRFLOW__KTCOMPONENT__<NAME>), says; None where it is silent."""
    from airflow.providers.common.compat.sdk import conf

    value: str | None = conf.get(SECTION, name, fallback=None)
    return value or None
