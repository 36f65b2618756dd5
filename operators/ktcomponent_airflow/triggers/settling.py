"""Events that come no sooner than Airflow can bear."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from airflow.triggers.base import TriggerEvent

SETTLE_S = 10.0
"""How long a task has to be deferred before it is resumed.

Until the worker has exited and the scheduler has read of it, Airflow takes a task that is resumed for one killed from
outside, and spends a retry on it (apache/airflow#66374 and #72716).
"""


async def settled(events: AsyncIterator[TriggerEvent]) -> AsyncIterator[TriggerEvent]:
    """The same events, each at least `SETTLE_S` seconds after the first was asked for."""
    begun = time.monotonic()
    async for event in events:
        await asyncio.sleep(begun + SETTLE_S - time.monotonic())
        yield event
