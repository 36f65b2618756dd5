"""Operators and the task group, without a scheduler."""

import datetime
import importlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from ktcomponent_airflow import TuningOperator, TuningTaskGroup, get_provider_info
from ktcomponent_airflow.configuration import OPTIONS
from ktcomponent_airflow.operators import local

from ktcomponent.cli import cli
from ktcomponent.errors import ConfigurationError

TI = types.SimpleNamespace(
    dag_id="d",
    run_id="manual__2026-01-01T00:00:00+00:00",
    task_id="g.t",
    map_index=-1,
    try_number=1,
    max_tries=20,
)
CONTEXT = {"ti": TI}
SEARCH = {
    "study": "gs://b/s",
    "hypermodel": "m:build",
    "search_args": "m:load",
    "search_kwargs": {"epochs": 3},
    "oracle": {"max_trials": 12},
}


def parsed(arguments):
    """What the command line makes of the operator's arguments."""
    name, *rest = arguments
    command = cli.commands[name]
    return command.make_context(name, list(rest)).params


@pytest.mark.parametrize(
    "operator",
    [
        TuningOperator(task_id="t", command="prepare", **SEARCH),
        TuningOperator(
            task_id="t", batch_size=3, max_runtime=60, deadline="2031-01-01", max_wait=5, **SEARCH
        ),
        TuningOperator(task_id="t", command="export", top_k=2, min_trials=3, **SEARCH),
        TuningOperator(task_id="t", study="s", hypermodel="m:f"),
    ],
)
def test_the_command_line_understands_what_operators_say(operator):
    params = parsed(operator.command_line(CONTEXT))
    assert params["owner"] == "d/manual__2026-01-01T00:00:00+00:00/g.t/-1"
    for name in ("hypermodel", "search_args", "oracle", "batch_size", "top_k", "min_trials"):
        if name in params and hasattr(operator, name):
            assert params[name] == getattr(operator, name)


@pytest.mark.parametrize(
    ("code", "error"),
    [(99, AirflowSkipException), (2, AirflowFailException), (75, AirflowException), (1, AirflowException)],
)
def test_exit_codes_become_outcomes(code, error, monkeypatch, tmp_path):
    operator = TuningOperator(task_id="t", **{**SEARCH, "study": str(tmp_path)})
    monkeypatch.setattr(TuningOperator, "run_command", lambda *_: code)
    with pytest.raises(error) as raised:
        operator.execute(CONTEXT)
    assert type(raised.value) is error


def group(**kwargs):
    with DAG("d", schedule=None):
        arguments = {
            "study": "s",
            "hypermodel": "m:f",
            "oracle": {"max_trials": 12},
            "batch_size": 3,
            "lanes": 2,
        }
        return TuningTaskGroup(**{**arguments, **kwargs})


def test_every_lane_has_enough_batches_and_its_last_one_drains():
    tasks = group().children
    for lane in (1, 2):
        sizes = [tasks[f"tuning.lane_{lane}_batch_{n}"].batch_size for n in range(1, 5)]
        assert sizes == [3, 3, 3, None]
    assert len(tasks) == 2 + 8


def test_trigger_rules_let_the_other_lane_and_the_export_go_on():
    tasks = group().children
    assert tasks["tuning.lane_1_batch_1"].trigger_rule == "all_success"
    assert tasks["tuning.lane_1_batch_2"].trigger_rule == "none_skipped"
    export = tasks["tuning.export"]
    assert export.trigger_rule == "all_done"
    assert export.upstream_task_ids == {"tuning.lane_1_batch_4", "tuning.lane_2_batch_4"}
    assert tasks["tuning.prepare"].downstream_task_ids == {"tuning.lane_1_batch_1", "tuning.lane_2_batch_1"}


def test_a_group_without_a_number_of_trials_must_be_told_the_batches():
    with pytest.raises(ConfigurationError, match="batches"):
        group(oracle={"max_trials": None})
    assert len(group(oracle={"max_trials": None}, batches=2).children) == 2 + 4
    with pytest.raises(ConfigurationError, match="no argument"):
        group(oracle={"max_trails": 3})


def test_retries_are_generous_and_can_be_set():
    assert TuningOperator(task_id="t", **SEARCH).retries == 20
    assert group(task_args={"retries": 3}).children["tuning.prepare"].retries == 3
    with DAG("d", schedule=None, default_args={"retries": 1, "retry_delay": datetime.timedelta(seconds=1)}):
        assert TuningOperator(task_id="t", **SEARCH).retries == 1


def test_urls_paths_and_settings_are_templated():
    fields = set(TuningOperator.template_fields)
    assert {
        "study",
        "hypermodel",
        "search_args",
        "search_kwargs",
        "oracle",
        "env",
        "deadline",
        "to",
    } <= fields


def test_the_provider_describes_itself_in_airflows_schema():
    import airflow
    import jsonschema

    info = get_provider_info()
    schema = Path(airflow.__file__).parent / "provider_info.schema.json"
    jsonschema.validate(info, json.loads(schema.read_text()))
    modules = [m for kind in ("operators", "sensors", "triggers") for m in info[kind][0]["python-modules"]]
    for name in [*modules, *(f["class-name"].rpartition(".")[0] for f in info["task-decorators"])]:
        importlib.import_module(name)


@pytest.mark.slow
def test_airflow_shows_the_provider_and_its_options(tmp_path):
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}

    def airflow(*arguments):
        command = [sys.executable, "-m", "airflow", *arguments]
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    shown = airflow("providers", "get", "ktcomponent", "--full", "-o", "json")
    for name in ("operators.docker", "sensors.study", "decorators.tuning_task", "links.StudyLink"):
        assert f"ktcomponent_airflow.{name}" in shown
    options = airflow(
        "config", "list", "--section", "ktcomponent", "--include-descriptions", "--include-examples"
    )
    for name in OPTIONS:
        assert name in options


def test_user_code_below_pythons_prefix_is_found(monkeypatch, tmp_path):
    dags = tmp_path / "airflow" / "dags"
    dags.mkdir(parents=True)
    monkeypatch.setattr("sys.base_prefix", str(tmp_path))
    monkeypatch.syspath_prepend(str(dags))
    found = local._import_path().split(":")
    assert str(dags) in found
    assert not [folder for folder in found if "site-packages" in folder or folder.endswith("/bin")]


@pytest.mark.parametrize(
    ("study", "link"),
    [
        ("gs://tuning/churn/", "https://console.cloud.google.com/storage/browser/tuning/churn"),
        ("s3://tuning/churn", "https://s3.console.aws.amazon.com/s3/buckets/tuning?prefix=churn/"),
        ("ftp://me:a-password@host/churn", "ftp://***@host/churn"),
    ],
)
def test_a_task_links_to_its_study(study, link):
    operator = TuningOperator(task_id="t", study="{{ study }}", hypermodel="m:f")
    operator.study = study
    (found,) = operator.operator_extra_links
    assert found.get_link(operator, ti_key=None) == link


def test_a_users_oracle_needs_no_import_in_the_dag_file():
    assert len(group(oracle={"class": "nowhere:Own", "max_trials": 6}).children) == 2 + 4
