"""Triggers: an event comes only once Airflow knows that the task is deferred."""

import asyncio
import datetime
import time

import pytest
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import TriggerEvent
from ktcomponent_airflow import KubernetesTuningOperator
from ktcomponent_airflow.triggers import settling
from ktcomponent_airflow.triggers.pod import SettledPodTrigger
from ktcomponent_airflow.triggers.study import StudyTrigger


async def first(trigger):
    begun = time.monotonic()
    event = await anext(trigger.run())
    return event.payload, time.monotonic() - begun


@pytest.mark.parametrize("kind", ["pod", "study"])
@pytest.mark.parametrize("takes", [0.0, 0.5])
def test_an_event_waits_for_airflow_and_no_longer(kind, takes, monkeypatch, tmp_path):
    monkeypatch.setattr(settling, "SETTLE_S", 0.4)

    async def told(*_):
        await asyncio.sleep(takes)
        yield TriggerEvent("ended")

    if kind == "pod":
        monkeypatch.setattr(KubernetesPodTrigger, "run", told)
        trigger = SettledPodTrigger("pod", "tuning", datetime.datetime.now(datetime.UTC), "base")
    else:
        monkeypatch.setattr(StudyTrigger, "_watch", told)
        trigger = StudyTrigger(str(tmp_path))
    payload, elapsed = asyncio.run(first(trigger))
    assert payload == "ended"
    assert max(0.4, takes) <= elapsed < max(0.4, takes) + 0.3


def test_a_deferred_task_watches_its_pod_with_the_same_arguments():
    begun = datetime.datetime.now(datetime.UTC)
    given = KubernetesPodTrigger("pod", "tuning", begun, "base", poll_interval=7, trigger_kwargs={"a": 1})
    operator = KubernetesTuningOperator(
        task_id="batch", study="gs://tuning/churn", hypermodel="churn.model:build", image="churn"
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.defer(trigger=given, method_name="trigger_reentry", timeout=None)
    path, arguments = deferred.value.trigger.serialize()
    assert path == "ktcomponent_airflow.triggers.pod.SettledPodTrigger"
    assert arguments == given.serialize()[1]
    assert SettledPodTrigger(**arguments).poll_interval == 7
