"""What the tests with containers share."""

from __future__ import annotations

import json
import os

import pytest

from tests import docker_engine, servers


@pytest.fixture(scope="session")
def engine():
    """A Docker engine with the trainer image. The first run builds it, within the time of the test that asks first."""
    engine = docker_engine.start()
    try:
        engine.build_images()
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def airflow_env(s3):
    """Of an Airflow on PostgreSQL, whose connection `storage` alone has what reaches the S3 server."""
    database = servers.start_postgres()

    def make(secret):
        connection = {
            "conn_type": "aws",
            "login": "id",
            "password": secret,
            "extra": {"endpoint_url": os.environ["FSSPEC_S3_ENDPOINT_URL"]},
        }
        return {
            "KTCOMPONENT_STORAGE": f"{s3}/studies",
            "AIRFLOW_CONN_STORAGE": json.dumps(connection),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url.replace("://", "+psycopg2://"),
            "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
            **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "FSSPEC_S3_ENDPOINT_URL"), ""),
        }

    yield make
    database.stop()
