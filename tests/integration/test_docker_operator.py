"""`DockerTuningOperator` against a real engine, without a scheduler: what goes wrong, and what is left then."""

from __future__ import annotations

import http.server
import threading
import time
import types

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from ktcomponent_airflow import DockerTuningOperator

from ktcomponent.maintenance.verify import verify
from ktcomponent.storage import open_storage
from ktcomponent.study import Study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def parabola(hp, seconds=0.0):
    import time

    x = hp.Float("x", -1, 1)
    time.sleep(seconds)
    return x * x


class Store(dict):
    """Airflow 3.3's store of a task, as far as the mixin uses it."""

    def set(self, key, value):
        self[key] = value

    def delete(self, key):
        self.pop(key, None)


def context(try_number=1, **store):
    ti = types.SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, stats_tags={})
    ti.try_number, ti.max_tries = try_number, 20
    return {"ti": ti, "task_state_store": Store(store)}


@pytest.fixture
def make(engine, tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    folder.chmod(0o777)
    for above in folder.parents:
        if above.owner() == "root" and str(above).startswith("/tmp/"):
            above.chmod(0o755)

    def make(**arguments):
        defaults = {
            "study": f"file://{folder}/study",
            "hypermodel": parabola,
            "oracle": {"max_trials": 4, "seed": 1},
            "image": "ktcomponent-trainer",
            "pull": "never",
            "docker_url": engine.url,
            "engine_wait": 0,
            "mounts": [{"target": str(folder), "source": str(folder), "type": "bind"}],
        }
        return DockerTuningOperator(task_id="t", **{**defaults, **arguments})

    yield make
    assert engine.containers() == []
    assert engine.run("volume", "ls", "-q") == ""


def study_of(operator):
    return Study.open(open_storage(operator.study))


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def test_a_batch_runs_in_a_container_and_leaves_nothing(make):
    operator = make(batch_size=3, cpus=1.5, mem_limit="1g", shm_size="128m", labels={"team": "churn"})
    result = operator.execute(context())
    assert result == {
        "study": operator.study,
        "status": "running",
        "completed": 3,
        "failed": 0,
        "best_score": result["best_score"],
    }
    assert verify(study_of(operator).storage).problems == []


def test_one_that_is_told_to_end_gives_its_trial_back(make):
    operator = make(search_kwargs={"seconds": 60})
    problems = []

    def run():
        try:
            operator.execute(context())
        except AirflowException as error:
            problems.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: (s := Study.find(open_storage(operator.study))) and s.state.running())
    began = time.monotonic()
    operator.on_kill()
    thread.join(10)
    assert time.monotonic() - began < 5
    assert problems == ["ktcomponent ended with 75; another try goes on where this one was."]
    state = study_of(operator).state
    assert (len(state.free()), state.running()) == (1, {})


@pytest.mark.parametrize("is_stored", [True, False])
def test_a_container_that_ended_while_nobody_watched_is_read_from_the_study(make, engine, is_stored):
    first = make(batch_size=2)
    first._arguments = first.command_line(context())
    container = first.submit_job(context())
    wait_for(lambda: engine.containers() == [])
    before = study_of(first).state.seq
    # As Airflow 3.3 has it, and as earlier ones do.
    given = context(2, **({first.external_id_key: container} if is_stored else {}))
    assert make(batch_size=2).execute(given)["completed"] == 2
    assert study_of(first).state.seq == before
    assert given["task_state_store"] == {}
    # Cleared by hand it runs again.
    given["ti"].try_number, given["ti"].max_tries = 3, 22
    assert make(batch_size=2).execute(given)["completed"] == 4


def test_one_that_is_told_to_end_while_it_is_made_never_starts(make, monkeypatch):
    operator = make(batch_size=1)
    create = operator.client.create_container
    monkeypatch.setattr(operator.client, "create_container", lambda **k: (create(**k), operator.on_kill())[0])
    with pytest.raises(AirflowException, match="Told to end"):
        operator.execute(context())
    assert Study.find(open_storage(operator.study)) is None


def test_a_running_container_is_found_by_its_labels_too(make, engine):
    given = context()
    first = make(batch_size=2, search_kwargs={"seconds": 2})
    first._arguments = first.command_line(given)
    container = first.submit_job(given)
    again = make(batch_size=2, search_kwargs={"seconds": 2})
    assert again.execute(context())["completed"] == 2
    assert again._container_id == container


def test_a_container_that_never_started_is_removed(make, engine):
    given = context()
    operator = make(batch_size=1)
    labels = ["--label", "ktcomponent.owner=d/r/t/-1", "--label", f"ktcomponent.study={operator.study}"]
    engine.run("create", *labels, "ktcomponent-trainer", "--version")
    assert operator.execute(given)["completed"] == 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        # Another machine may have them, or a sound driver.
        ({"gpus": 1}, AirflowException, "can't be started: .*device driver"),
        ({"networks": ["nowhere"]}, AirflowFailException, "network nowhere not found"),
        (
            {"mounts": [{"target": "/x", "source": "/nowhere/at/all", "type": "bind"}]},
            AirflowFailException,
            "/nowhere/at/all",
        ),
        ({"image": "missing:1"}, AirflowFailException, "no image 'missing:1'.*'never'"),
        ({"image": "Not An Image"}, AirflowFailException, "Not An Image"),
        ({"docker_url": "unix:///nowhere/docker.sock"}, AirflowFailException, "No Docker engine answers"),
        ({"docker_url": "foo://bar"}, AirflowFailException, "`docker_url` or `tls` is wrong"),
        ({"mem_limit": "8 gigs"}, AirflowFailException, "can't be started"),
        ({"host_config": {"nothing": 1}}, AirflowFailException, "can't be started"),
        ({"search_kwargs": {"when": object()}}, AirflowFailException, "not JSON serializable"),
        ({"docker_conn_id": "nowhere"}, AirflowFailException, "connection 'nowhere'"),
        ({"storage_conn_id": "nowhere"}, AirflowFailException, "no connection 'nowhere'"),
    ],
)
def test_what_can_not_be_started_is_one_message_and_leaves_nothing(make, arguments, error, message):
    with pytest.raises(error, match=message) as raised:
        make(**arguments).execute(context())
    assert type(raised.value) is error


def test_an_engine_that_is_away_is_retried(make, tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "docker.sock"))
    with pytest.raises(AirflowException, match="Another try") as raised:
        make(docker_url=f"unix://{tmp_path}/docker.sock").execute(context())
    assert type(raised.value) is AirflowException


class Registry(http.server.BaseHTTPRequestHandler):
    """A registry that has nothing, or is out of order."""

    status = 404

    def do_GET(self):
        body = b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}'
        self.send_response(200 if self.path == "/v2/" else self.status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@pytest.mark.parametrize(("status", "error"), [(404, AirflowFailException), (503, AirflowException)])
def test_only_an_image_that_the_registry_does_not_have_is_no_use_retrying(make, status, error):
    handler = type("Handler", (Registry,), {"status": status})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        image = f"127.0.0.1:{server.server_address[1]}/missing:1"
        with pytest.raises(error, match="can't be pulled") as raised:
            make(image=image, pull="missing").execute(context())
        server.shutdown()
    assert type(raised.value) is error
