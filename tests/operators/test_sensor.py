"""`StudySensor` and its trigger, without a triggerer."""

import asyncio

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred
from ktcomponent_airflow import StudySensor
from ktcomponent_airflow.triggers import settling
from ktcomponent_airflow.triggers.study import StudyTrigger

from ktcomponent.errors import ConfigurationError
from ktcomponent.study import Writer, incarnations
from tests.conftest import Commands

SIX = '{"max_trials": 6, "seed": 1}'


def sensor(commands, **arguments):
    return StudySensor(**{"task_id": "t", "study": commands.study, **arguments})


def test_it_waits_for_a_study_that_is_not_there_yet(commands: Commands):
    assert not sensor(commands).poke({})


def test_it_waits_for_trials_a_score_or_the_end(commands: Commands):
    commands.step("--oracle", SIX, "--batch-size", "3")
    best = min(trial["score"] for trial in commands.open().state.trials.values())
    assert sensor(commands, trials=3).poke({}).xcom_value == {
        "study": commands.open().url,
        "status": "running",
        "completed": 3,
        "failed": 0,
        "best_score": best,
    }
    assert sensor(commands, score=best).poke({})
    assert sensor(commands, score=best + 1).poke({})
    for waits in (sensor(commands), sensor(commands, trials=4), sensor(commands, score=best - 1)):
        assert not waits.poke({})
    commands.step()
    commands.step()
    assert sensor(commands).poke({}).xcom_value["status"] == "done"


def test_what_will_not_come_any_more_fails_without_a_retry(commands: Commands):
    commands.step("--oracle", SIX, "--batch-size", "2")
    incarnations.stop(commands.open(), Writer("me", "1"), "enough")
    for arguments in ({"trials": 3}, {"score": -1.0}):
        with pytest.raises(AirflowFailException, match="will not come"):
            sensor(commands, **arguments).poke({})


def test_trials_and_a_score_are_not_asked_for_together(commands: Commands):
    with pytest.raises(ConfigurationError, match="not both"):
        sensor(commands, trials=3, score=1.0)


def test_credentials_that_everybody_would_see_are_refused(commands: Commands):
    with pytest.raises(ConfigurationError, match="a URL has credentials in it"):
        sensor(commands, study="s3://me:hunter2@bucket/churn")
    with pytest.raises(ConfigurationError, match="`storage_options` has 'secret'"):
        sensor(commands, storage_options={"secret": "canary"})
    waits = sensor(commands)
    waits.study = "s3://me:hunter2@bucket/churn"  # as its template is rendered
    with pytest.raises(AirflowFailException, match="a URL has credentials in it"):
        waits.execute({})


def test_it_waits_in_the_triggerer(commands: Commands, monkeypatch):
    monkeypatch.setattr(settling, "SETTLE_S", 0.1)
    waiting = sensor(commands, trials=2, deferrable=True, poke_interval=0.2)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})
    path, arguments = deferred.value.trigger.serialize()
    assert path == "ktcomponent_airflow.triggers.study.StudyTrigger"
    trigger = StudyTrigger(**arguments)

    async def event():
        told = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(0.5)
        assert not told.done()
        await asyncio.to_thread(commands.step, "--oracle", SIX, "--batch-size", "2")
        return await asyncio.wait_for(told, 30)

    told = asyncio.run(event()).payload
    assert waiting.told({}, told)["completed"] == 2


@pytest.mark.parametrize(("is_permanent", "error"), [(True, AirflowFailException), (False, AirflowException)])
def test_only_what_a_retry_can_not_help_is_not_retried(commands: Commands, is_permanent, error):
    with pytest.raises(error) as raised:
        sensor(commands).told({}, {"error": "no such bucket", "is_permanent": is_permanent})
    assert type(raised.value) is error


@pytest.mark.parametrize("rendered", ["", "None", "s3://"])
@pytest.mark.parametrize("deferrable", [True, False])
def test_a_study_that_renders_to_nothing_fails_without_a_retry(rendered, deferrable):
    waits = StudySensor(task_id="t", study="{{ nothing }}", deferrable=deferrable)
    waits.study = rendered
    with pytest.raises(AirflowFailException, match="once its template is rendered"):
        waits.execute({})


@pytest.mark.parametrize("trials", [0, -1, "3", True])
def test_a_number_of_trials_that_is_none_is_refused(trials):
    with pytest.raises(ConfigurationError, match="`trials`"):
        StudySensor(task_id="t", study="s", trials=trials)
