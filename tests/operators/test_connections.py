"""Airflow connections as the arguments of file systems."""

import json
import types

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from ktcomponent_airflow import TuningOperator
from ktcomponent_airflow.connections import as_environment, file_system_options

GOOGLE_KEYS = {"type": "service_account", "private_key": "a-private-key"}
CONNECTIONS = {
    "aws": (
        "s3://bucket/study",
        {
            "login": "id",
            "password": "a-secret-key",
            "extra": {"region_name": "eu-west-1", "endpoint_url": "http://s"},
        },
        {
            "key": "id",
            "secret": "a-secret-key",
            "endpoint_url": "http://s",
            "client_kwargs": {"region_name": "eu-west-1"},
        },
    ),
    "aws with an endpoint of S3 alone": (
        "s3://bucket/study",
        {"extra": {"service_config": {"s3": {"endpoint_url": "http://s"}}, "endpoint_url": "http://all"}},
        {"endpoint_url": "http://s"},
    ),
    "google_cloud_platform": (
        "gs://bucket/study",
        {"extra": {"keyfile_dict": json.dumps(GOOGLE_KEYS), "project": "p"}},
        {"token": GOOGLE_KEYS, "project": "p"},
    ),
    "wasb": (
        "abfs://bucket/study",
        {"login": "account", "password": "a-long-key"},
        {"account_name": "account", "account_key": "a-long-key"},
    ),
    "adls": (
        "abfs://bucket/study",
        {
            "host": "account",
            "login": "an-application",
            "password": "its-password",
            "extra": {"tenant_id": "t"},
        },
        {
            "account_name": "account",
            "tenant_id": "t",
            "client_id": "an-application",
            "client_secret": "its-password",
        },
    ),
    "generic": ("s3://bucket/study", {"extra": {"anon": True}}, {"anon": True}),
}


@pytest.fixture
def connection(monkeypatch):
    def make(conn_id, kind, **fields):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": kind, **fields}))

    return make


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_a_connection_becomes_the_arguments_of_its_file_system(kind, connection):
    url, fields, expected = CONNECTIONS[kind]
    connection("storage", kind.split()[0], **fields)
    options = file_system_options("storage", url)
    assert options == expected
    ((name, value),) = as_environment(url, options).items()
    assert name == f"FSSPEC_{url.split(':')[0].upper()}"
    assert json.loads(value) == expected


def test_fsspec_understands_what_the_environment_says():
    from fsspec.config import set_conf_env

    url, _, options = CONNECTIONS["aws"]
    found = {}
    set_conf_env(found, as_environment(url, options))
    assert found == {"s3": options}


def test_an_unknown_connection_is_one_message_and_no_retry(connection):
    with pytest.raises(AirflowFailException, match="no connection 'nowhere'"):
        file_system_options("nowhere", "s3://b/s")
    connection("storage", "aws", login="id")
    with pytest.raises(AirflowFailException, match="is for s3://, not for 'gs://b/s'"):
        file_system_options("storage", "gs://b/s")


@pytest.mark.parametrize(
    ("kind", "extra", "message"),
    [
        (
            "aws",
            {"role_arn": "arn:aws:iam::1:role/x"},
            "'role_arn' of the connection 'storage' is not understood",
        ),
        ("google_cloud_platform", {"keyfile_dict": "{"}, "keys of the connection 'storage' can't be read"),
        ("google_cloud_platform", {"key_path": "/nowhere/key.json"}, "can't be read"),
    ],
)
def test_a_connection_that_can_not_be_honoured_is_refused(kind, extra, message, connection):
    connection("storage", kind, extra=extra)
    url = {"aws": "s3://b/s", "google_cloud_platform": "gs://b/s"}[kind]
    with pytest.raises(AirflowFailException, match=message):
        file_system_options("storage", url)


def test_credentials_are_in_the_secret_environment_alone(connection):
    connection("storage", "aws", login="id", password="a-secret-key")
    operator = TuningOperator(
        task_id="t", study="s3://b/s", hypermodel="m:f", storage_conn_id="storage", env={"A": "1"}
    )
    context = {"ti": types.SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1)}
    assert "a-secret-key" in operator.secret_env["FSSPEC_S3"]
    shown = [operator.command_line(context), operator.shown_env(), operator.template_fields]
    shown += [getattr(operator, name) for name in operator.template_fields]
    assert "a-secret-key" not in str(shown)


def test_two_connections_for_one_kind_of_storage_are_refused(connection):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    connection("one", "aws", login="id", password="a-secret-key")
    connection("two", "aws", login="id", password="another-key")
    operator = TuningOperator(
        task_id="t",
        command="export",
        study=ObjectStoragePath("s3://one@bucket/study"),
        to=ObjectStoragePath("s3://two@bucket/best"),
    )
    assert (operator.study, operator.storage_conn_id) == ("s3://bucket/study", "one")
    assert operator.target == "s3://bucket/best"
    with pytest.raises(AirflowFailException, match="different connections"):
        operator.secret_env  # noqa: B018


def test_every_line_of_a_key_is_masked(connection, monkeypatch):
    masked = []
    monkeypatch.setattr("ktcomponent_airflow.connections.mask_secret", masked.append)
    key = "-----BEGIN PRIVATE KEY-----\nfirst-line\nsecond-line\n"
    connection("storage", "google_cloud_platform", extra={"keyfile_dict": json.dumps({"private_key": key})})
    options = file_system_options("storage", "gs://bucket/study")
    text = as_environment("gs://bucket/study", options)["FSSPEC_GS"]
    for printed in ("first-line", repr(options), repr({"FSSPEC_GS": text}), text):
        for secret in sorted(masked, key=len, reverse=True):
            printed = printed.replace(secret, "***")
        assert "first-line" not in printed
