"""Operators and the task group, without a scheduler."""

import datetime
import types

import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
)
from ktcomponent_airflow import (
    ExportOperator,
    PrepareOperator,
    TuningOperator,
    TuningTaskGroup,
    get_provider_info,
)
from ktcomponent_airflow.operators import local

from ktcomponent.cli import cli
from ktcomponent.errors import ConfigurationError

TI = types.SimpleNamespace(
    dag_id="d", run_id="manual__2026-01-01T00:00:00+00:00", task_id="g.t", map_index=-1
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
        PrepareOperator(task_id="t", **SEARCH),
        TuningOperator(
            task_id="t", batch_size=3, max_runtime=60, deadline="2031-01-01", max_wait=5, **SEARCH
        ),
        ExportOperator(task_id="t", top_k=2, min_trials=3, **SEARCH),
        TuningOperator(task_id="t", study="s", hypermodel="m:f"),
    ],
)
def test_the_command_line_understands_what_operators_say(operator):
    params = parsed(operator.command(CONTEXT))
    assert params["owner"] == "d/manual__2026-01-01T00:00:00+00:00/g.t/-1"
    for name in ("hypermodel", "search_args", "oracle", "batch_size", "top_k", "min_trials"):
        if name in params and hasattr(operator, name):
            assert params[name] == getattr(operator, name)


@pytest.mark.parametrize(
    ("code", "error"),
    [(99, AirflowSkipException), (2, AirflowFailException), (75, AirflowException), (1, AirflowException)],
)
def test_exit_codes_become_outcomes(code, error, monkeypatch):
    operator = TuningOperator(task_id="t", **SEARCH)
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
    assert {"study", "hypermodel", "search_args", "search_kwargs", "oracle", "env", "deadline"} <= fields
    assert "to" in ExportOperator.template_fields


def test_the_provider_describes_itself():
    info = get_provider_info()
    assert info["package-name"] == "ktcomponent"


def test_user_code_below_pythons_prefix_is_found(monkeypatch, tmp_path):
    dags = tmp_path / "airflow" / "dags"
    dags.mkdir(parents=True)
    monkeypatch.setattr("sys.base_prefix", str(tmp_path))
    monkeypatch.syspath_prepend(str(dags))
    found = local._import_path().split(":")
    assert str(dags) in found
    assert not [folder for folder in found if "site-packages" in folder or folder.endswith("/bin")]


def test_a_users_oracle_needs_no_import_in_the_dag_file():
    assert len(group(oracle={"class": "nowhere:Own", "max_trials": 6}).children) == 2 + 4
