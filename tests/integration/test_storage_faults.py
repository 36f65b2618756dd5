"""Bad networks before a real S3 server: retried with a budget, then exit 75 and one message; nothing is lost."""

import json
import time

import pytest
from fsspec.config import conf, set_conf_env

from ktcomponent.errors import StorageError
from ktcomponent.maintenance.verify import verify
from ktcomponent.storage import open_storage
from ktcomponent.study import Study
from tests import servers
from tests.integration.test_object_storage import start_step
from tests.proxy import Proxy
from tests.study.test_study import A1, claim, finish, started

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    server = servers.start_s3(tmp_path_factory.mktemp("s3"))
    made = Proxy(int(server.env["FSSPEC_S3_ENDPOINT_URL"].rsplit(":", 1)[1]))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**server.env, "FSSPEC_S3_ENDPOINT_URL": made.url}.items():
            patch.setenv(name, value)
        set_conf_env(conf)
        yield made
    made.stop()
    server.stop()


@pytest.fixture(autouse=True)
def _calm(proxy):
    yield
    proxy.strike(None)


@pytest.mark.parametrize("fault", [429, 500, 503, "drop request", "drop reply"])
def test_what_passes_is_tried_again_and_counts_once(proxy, fault):
    storage = open_storage(f"s3://bucket/passing-{fault}".replace(" ", "-"))
    study = started(storage, A1)
    for number in range(3):
        proxy.strike(fault, left=2)
        claim(study, A1, str(number))
        proxy.strike(fault, left=2, only="log")
        finish(study, A1, str(number))
        assert proxy.seen == 2
    assert Study.open(storage).state.seq == 2 + 6
    assert verify(storage).problems == []


def test_an_outage_ends_with_a_storage_error_after_the_budget(proxy):
    storage = open_storage("s3://bucket/outage", retry_s=2)
    study = started(storage, A1)
    proxy.strike("drop request")
    began = time.monotonic()
    with pytest.raises(StorageError, match="s3://bucket/outage"):
        claim(study, A1, "0")
    assert time.monotonic() - began < 60
    proxy.strike(None)
    claim(study, A1, "0")


def test_a_revoked_credential_is_not_tried_again(proxy):
    storage = open_storage("s3://bucket/revoked")
    study = started(storage, A1)
    proxy.strike(403)
    began = time.monotonic()
    with pytest.raises(StorageError, match="Can't"):
        claim(study, A1, "0")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("fault", [503, 403, "drop reply"])
def test_a_step_in_an_outage_ends_with_75_and_the_next_one_goes_on(proxy, fault, tmp_path):
    url = f"s3://bucket/step-{fault}".replace(" ", "-")
    oracle = json.dumps({"class": "RandomSearch", "max_trials": 6, "seed": 1})
    options = ("--oracle", oracle, "--owner", "task", "--storage-options", '{"retry_s": 2}')
    step = start_step(url, tmp_path, *options, SECONDS="0.5")
    end = time.monotonic() + 60
    while not (study := Study.find(open_storage(url))) or len(study.state.trials) < 2:
        assert time.monotonic() < end, (tmp_path / "out.txt").read_text()
        time.sleep(0.2)
    proxy.strike(fault)
    assert step.wait(120) == 75
    told = (tmp_path / "out.txt").read_text()
    assert "Traceback" not in told
    assert "Can't" in told
    proxy.strike(None)
    assert start_step(url, tmp_path, *options).wait(120) == 0
    state = Study.open(open_storage(url)).state
    assert [t["status"] for t in state.trials.values()] == ["COMPLETED"] * 6
    assert verify(open_storage(url)).problems == []
