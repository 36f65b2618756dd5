"""Bad arguments are one message, where the DAG is parsed or where the task starts."""

import sys
import time
import types

import pytest
import requests
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException
from airflow.sdk import ObjectStoragePath
from docker.errors import APIError
from ktcomponent_airflow import DockerTuningOperator, TuningOperator, TuningTaskGroup
from ktcomponent_airflow.operators.arguments import options_of
from ktcomponent_airflow.source import source_of
from ktcomponent_airflow.task_group import lane_numbers

from ktcomponent.errors import ConfigurationError
from ktcomponent.study import Study, Writer, incarnations
from tests.conftest import Commands

TI = types.SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=9, max_tries=20)
CONTEXT = {"ti": TI}
FACTOR = 2


def objective(hp, offset=0.0):
    import math

    return math.fabs(hp.Float("x", -1, 1) - offset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": "stop"}, "expected one of 'prepare', 'step', 'export'"),
        ({"command": "prepare", "batch_size": 3}, "`batch_size` belongs to the command 'step'"),
        ({"to": "gs://b/x"}, "`to` belongs to the command 'export'"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"max_runtime": -1}, "`max_runtime` must be at least 0"),
        ({"study": " "}, "`study` is empty"),
        ({"gpus": "two"}, "`gpus` must be a whole number or 'all'"),
        ({"gpus": -1}, "`gpus` must be"),
        ({"hypermodel": None}, "needs `hypermodel`"),
    ],
)
def test_arguments_that_do_not_fit_are_told_when_the_dag_is_parsed(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        TuningOperator(task_id="t", **{"study": "s", "hypermodel": "m:f", **arguments})


@pytest.mark.parametrize(
    "given",
    ["gs://b/f", ["gs://b/f"], ("gs://b/f",), ObjectStoragePath("gs://b/f"), [ObjectStoragePath("gs://b/f")]],
)
def test_earlier_studies_may_be_one_or_several(given):
    operator = TuningOperator(task_id="t", study="gs://b/s", hypermodel="m:f", warm_start=given)
    options = options_of(operator, "me")
    assert options[options.index("--warm-start") + 1] == "gs://b/f"
    assert options.count("--warm-start") == 1


def test_an_earlier_study_that_renders_to_nothing_fails_without_a_retry():
    operator = TuningOperator(task_id="t", study="gs://b/s", hypermodel="m:f", warm_start=["{{ nothing }}"])
    operator.warm_start = ["None"]
    with pytest.raises(AirflowFailException, match="`warm_start` is 'None' once its template is rendered"):
        operator.command_line(CONTEXT)


@pytest.mark.parametrize("rendered", ["", "None", "  ", "gs://", None])
def test_a_study_that_renders_to_nothing_fails_without_a_retry(rendered):
    operator = TuningOperator(task_id="t", study="{{ nothing }}", hypermodel="m:f")
    operator.study = rendered
    with pytest.raises(AirflowFailException, match="once its template is rendered"):
        operator.execute(CONTEXT)


def test_an_interpreter_that_is_not_there_fails_without_a_retry(tmp_path):
    operator = TuningOperator(
        task_id="t", study=str(tmp_path), hypermodel="m:f", python="/nowhere/python", oracle={"max_trials": 1}
    )
    with pytest.raises(AirflowFailException, match="/nowhere/python can't be started"):
        operator.execute(CONTEXT)


def test_another_interpreter_runs_the_command(commands: Commands):
    python = commands.folder / "python"
    python.write_text(f'#!/bin/sh\necho "$@" > {commands.folder}/told\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    operator = TuningOperator(
        task_id="t", study=commands.study, hypermodel=objective, python=str(python), oracle={"max_trials": 2}
    )
    assert operator.execute(CONTEXT)["completed"] == 2
    assert "-m ktcomponent --parent" in (commands.folder / "told").read_text()


@pytest.mark.parametrize(
    "secret",
    [
        {"study": "s3://AKIA:a-secret@bucket/s"},
        {"to": "s3://AKIA:a-secret@bucket/to", "command": "export", "hypermodel": None},
        {"warm_start": "s3://AKIA:a-secret@bucket/before"},
        {"storage_options": {"client_kwargs": {"aws_secret_access_key": "a-secret"}}},
    ],
)
def test_credentials_that_everybody_would_see_are_refused(secret):
    with pytest.raises(ConfigurationError, match="storage_conn_id") as error:
        TuningOperator(task_id="t", **{"study": "s3://b/s", "hypermodel": "m:f", **secret})
    assert "a-secret" not in str(error.value)


def test_what_user_code_leaves_behind_does_not_hold_the_task(commands: Commands):
    (commands.folder / "leaving.py").write_text(
        "import subprocess\ndef objective(hp):\n"
        "    subprocess.Popen(['sleep', '30'], start_new_session=True)\n    return hp.Float('x', 0, 1)\n"
    )
    operator = TuningOperator(
        task_id="t",
        study=commands.study,
        hypermodel="leaving:objective",
        oracle={"max_trials": 1},
        env={"PYTHONPATH": str(commands.folder)},
    )
    began = time.monotonic()
    assert operator.execute(CONTEXT)["completed"] == 1
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("value", [0, -1, "2", 2.5, True])
@pytest.mark.parametrize("name", ["lanes", "batch_size", "batches"])
def test_a_group_needs_at_least_one_of_each(name, value):
    arguments = {"study": "s", "hypermodel": "m:f", "oracle": {"max_trials": 4}, name: value}
    with DAG("d", schedule=None), pytest.raises(ConfigurationError, match=f"`{name}` of 'tuning'"):
        TuningTaskGroup(**arguments)


@pytest.mark.parametrize("count", [0, -1, "3", None, 1.5, True])
def test_a_number_of_lanes_that_is_none_fails_without_a_retry(count):
    with pytest.raises(AirflowFailException, match="`lanes`"):
        lane_numbers(count)


def test_studies_lie_below_the_configured_storage(monkeypatch):
    with pytest.raises(ConfigurationError, match="or set `storage`"):
        TuningOperator(task_id="t", hypermodel="m:f")
    monkeypatch.setenv("AIRFLOW__KTCOMPONENT__STORAGE", "gs://tuning/")
    monkeypatch.setenv("AIRFLOW__KTCOMPONENT__IMAGE", "trainer:7")
    monkeypatch.setenv("AIRFLOW__KTCOMPONENT__POOL", "gpus")
    monkeypatch.setenv("AIRFLOW__KTCOMPONENT__KEEP_CHECKPOINTS", "5")
    operator = DockerTuningOperator(task_id="t", hypermodel="m:f")
    assert operator.study.startswith("gs://tuning/{{ dag.dag_id }}/")
    assert (operator.image, operator.pool) == ("trainer:7", "gpus")
    line = operator.command_line(CONTEXT)
    assert line[line.index("--keep-checkpoints") + 1] == "5"
    with DAG("d", schedule=None, default_args={"pool": "mine"}):
        assert TuningOperator(task_id="t", hypermodel="m:f").pool == "mine"


@pytest.mark.parametrize(("status", "is_permanent"), [(400, True), (500, False)])
def test_an_engine_that_is_busy_is_asked_again(status, is_permanent):
    response = requests.Response()
    response.status_code, response.reason = status, "x"

    def inspect_image(_):
        raise APIError("x", response=response, explanation="layer store is busy")

    operator = DockerTuningOperator(task_id="t", study="s", hypermodel="m:f", image="i")
    operator.client = types.SimpleNamespace(inspect_image=inspect_image)
    with pytest.raises(AirflowException, match="layer store is busy") as raised:
        operator._provide_image()
    assert isinstance(raised.value, AirflowFailException) == is_permanent


def test_an_image_and_a_way_to_pull_it_are_needed():
    with pytest.raises(ConfigurationError, match="needs `image`"):
        DockerTuningOperator(task_id="t", study="s", hypermodel="m:f")
    with pytest.raises(ConfigurationError, match="`pull` must be"):
        DockerTuningOperator(task_id="t", study="s", hypermodel="m:f", image="i", pull="maybe")
    with pytest.raises(ConfigurationError, match="not both"):
        DockerTuningOperator(
            task_id="t", study="s", hypermodel="m:f", image="i", network_mode="host", networks=["n"]
        )


def test_an_objective_of_the_dag_file_is_shipped_as_its_source():
    operator = TuningOperator(task_id="t", study="s", hypermodel=objective)
    assert operator.hypermodel == "ktcomponent_source:objective"
    made = {}
    exec(operator.shown_env()["KTCOMPONENT_SOURCE"], made)  # noqa: S102
    assert made["objective"](types.SimpleNamespace(Float=lambda *_: -1.0)) == 1.0


def test_an_objective_that_needs_its_file_is_refused():
    def uses_a_global(hp):
        return hp.Float("x", 0, 1) * FACTOR

    factor = 3

    def uses_a_local(hp):
        return hp.Float("x", 0, 1) * factor

    for function, name in ((uses_a_global, "FACTOR"), (uses_a_local, "factor")):
        with pytest.raises(ConfigurationError, match=f"uses {name} of its file"):
            source_of(function)
    with pytest.raises(ConfigurationError, match="no plain function"):
        source_of(lambda hp: 0.0)


def outcome(operator, code):
    with pytest.raises(AirflowException) as raised:
        operator.outcome(code, CONTEXT)
    return raised.value


def test_three_tries_that_finish_no_trial_fail_for_good(commands: Commands):
    assert commands.step("--batch-size", "1", "--owner", "d/r/t/-1", "--oracle", '{"max_trials": 9}')[0] == 0
    study = commands.open()
    operator = TuningOperator(task_id="t", study=commands.study, hypermodel="m:f")

    def begin(number):
        writer = Writer("d/r/t/-1", f"incarnation-{number}", study.state.generation)
        incarnations.take_over(study, writer, "a step begins")
        return writer

    # Being preempted is no fault of the step.
    for number in range(4):
        incarnations.give_back(study, begin(number), "received SIGTERM", told=True)
    assert type(outcome(operator, 75)) is AirflowException
    for number in range(4, 6):
        begin(number)
        assert type(outcome(operator, 137)) is AirflowException
    begin(6)
    error = outcome(operator, None)
    assert type(error) is AirflowFailException
    assert "3 tries running" in str(error)
    # So does clearing the task, which adds its tries to `max_tries`.
    TI.try_number, TI.max_tries = 10, 29
    assert type(outcome(operator, None)) is AirflowException
    TI.try_number, TI.max_tries = 9, 20
    # A trial that finishes counts anew.
    assert commands.step("--batch-size", "1", "--owner", "d/r/t/-1")[0] == 0
    assert Study.open(study.storage).state.seq > study.state.seq
    assert type(outcome(operator, 1)) is AirflowException
