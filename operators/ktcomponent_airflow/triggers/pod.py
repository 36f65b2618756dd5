"""The provider's trigger of a pod, with events that come no sooner than Airflow can bear."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

from ktcomponent_airflow.triggers.settling import settled


class SettledPodTrigger(KubernetesPodTrigger):
    """Watches a pod for `KubernetesTuningOperator`: one that can't start would resume its task at once."""

    @classmethod
    def of(cls, trigger: KubernetesPodTrigger) -> SettledPodTrigger:
        """The same watch as `trigger`."""
        return cls(**trigger.serialize()[1])

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        async for event in settled(super().run()):
            yield event
