"""Triggers: nothing is told before Airflow knows that the task is deferred."""

import asyncio
import datetime
import time

import pytest
from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.providers.common.compat.sdk import TaskDeferred
from airflow.triggers.base import TriggerEvent
from ktcomponent_airflow import KubernetesTuningOperator
from ktcomponent_airflow.triggers import settling, study
from ktcomponent_airflow.triggers.pod import SettledPodTrigger


async def looked_after(trigger):
    begun = time.monotonic()
    event = await anext(trigger.run())
    return event.payload - begun


@pytest.mark.parametrize("kind", ["pod", "study"])
def test_nothing_is_looked_at_before_airflow_knows_of_the_deferral(kind, monkeypatch, tmp_path):
    monkeypatch.setattr(settling, "SETTLE_S", 0.4)

    async def told(_):
        yield TriggerEvent(time.monotonic())

    if kind == "pod":
        monkeypatch.setattr(KubernetesPodTrigger, "run", told)
        trigger = SettledPodTrigger("pod", "tuning", datetime.datetime.now(datetime.UTC), "base")
    else:
        monkeypatch.setattr(study, "look", lambda *_: time.monotonic())
        trigger = study.StudyTrigger(str(tmp_path))
    assert 0.4 <= asyncio.run(looked_after(trigger)) < 0.8


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
