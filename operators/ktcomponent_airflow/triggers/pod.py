"""The provider's trigger of a pod, which resumes no task sooner than Airflow can bear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent

from ktcomponent_airflow.triggers import settling


class SettledPodTrigger(KubernetesPodTrigger):
    """Watches a pod for `KubernetesTuningOperator`: one that can't start would resume its task at once."""

    @classmethod
    def of(cls, trigger: KubernetesPodTrigger) -> SettledPodTrigger:
        """The same watch as `trigger`."""
        return cls(**trigger.serialize()[1])

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", super().serialize()[1]

    async def run(self) -> AsyncIterator[TriggerEvent]:
        # Before it has seen anything: a pod whose end is seen and not told yet would outlive a task that is cleared.
        await asyncio.sleep(settling.SETTLE_S)
        async for event in super().run():
            yield event
