"""Studies on real object storage servers: many processes, everything once, few requests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from fsspec.config import conf, set_conf_env

from ktcomponent.errors import ConfigurationError
from ktcomponent.maintenance.verify import verify
from ktcomponent.storage import open_storage
from ktcomponent.study import Study
from tests import servers
from tests.conftest import USER_CODE

pytestmark = pytest.mark.slow

PROCESSES = 16
TRIALS = 200
MOST_REQUESTS = 20


@pytest.fixture(scope="module", params=list(servers.STARTERS))
def server(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    started = servers.start(request.param, folder)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in started.env.items():
            patch.setenv(name, value)
        set_conf_env(conf)  # fsspec has read the environment when it was imported
        yield started
    started.stop()


def start_step(url, folder, *options, hypermodel="fast:objective", **env):
    return subprocess.Popen(
        [sys.executable, "-m", "ktcomponent", "step", "--study", url, "--hypermodel", hypermodel, *options],
        env={**os.environ, "PYTHONPATH": str(USER_CODE), "TF_CPP_MIN_LOG_LEVEL": "3", **env},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=(Path(folder) / "out.txt").open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def test_a_storage_keeps_its_contract(server):
    storage = open_storage(f"{server.url}/contract")
    storage.check_shared()
    assert storage.put_if_absent("log/1", b"one")
    assert not storage.put_if_absent("log/1", b"two")
    storage.put("log/empty", b"")
    storage.put("log/large", b"x" * 1000)
    assert storage.get_many(["log/1", "log/none", "log/empty", "log/large"], limit=9) == [
        b"one",
        None,
        b"",
        b"x" * 10,
    ]
    assert storage.list("log") == ["log/1", "log/empty", "log/large"]
    assert storage.list("nothing") == []
    storage.delete("log/1")
    storage.delete("log/1")
    assert storage.get("log/1") is None
    assert storage.list("probes") == []


@pytest.mark.alone
def test_sixteen_processes_finish_two_hundred_trials_once(server, tmp_path, capsys):
    url = f"{server.url}/many"
    oracle = json.dumps({"class": "RandomSearch", "max_trials": TRIALS, "seed": 3})
    before, began = server.requests(), time.monotonic()
    steps = [
        start_step(url, tmp_path, "--oracle", oracle, hypermodel="fast:short_nap") for _ in range(PROCESSES)
    ]
    codes = Counter(step.wait(600) for step in steps)
    seconds = time.monotonic() - began
    requests = (server.requests() - before) / TRIALS
    storage = open_storage(url)
    state = Study.open(storage).state
    log = [json.loads(data) for data in storage.get_many(storage.list("log"))]
    with capsys.disabled():
        ops = Counter(entry["op"] for entry in log)
        print(
            f"\n{server.url}: {PROCESSES} steps, {TRIALS} trials in {seconds:.0f} s, {requests:.1f} requests a trial, "
            f"{len(log)} commits {dict(ops)}, exit codes {dict(codes)}"
        )
    assert set(codes) <= {0, 99}, (tmp_path / "out.txt").read_text()[-3000:]
    assert len(state.trials) == TRIALS
    finished = Counter(entry["trial"] for entry in log if entry["op"] == "finish")
    assert finished == dict.fromkeys(state.trials, 1)
    assert verify(storage).problems == []
    assert requests <= MOST_REQUESTS


def test_a_training_that_was_killed_goes_on_from_the_server(server, tmp_path):
    resume_after_sigkill(f"{server.url}/resume", tmp_path)


def test_a_training_that_was_killed_goes_on_from_a_folder(tmp_path):
    resume_after_sigkill(f"{tmp_path}/resume", tmp_path)


def resume_after_sigkill(url, tmp_path):
    """Kills a step, its child and its guard in epoch 5 of 8; another one on the same study ends with the same bits."""

    def step(study, name, **env):
        return start_step(
            *(study, tmp_path, "--owner", "task"),
            *("--search-args", "resuming:search_args", "--checkpoint-every", "1"),
            hypermodel="resuming:twice",
            **{
                "FINAL_WEIGHTS": str(tmp_path / f"{name}-weights"),
                "EPOCHS_SEEN": str(tmp_path / f"{name}-epochs"),
                **env,
            },
        )

    def epochs(name):
        path = tmp_path / f"{name}-epochs"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    assert step(f"{tmp_path}/unbroken", "unbroken").wait(240) == 0
    broken = step(url, "broken", EPOCH_S="0.7")
    end = time.monotonic() + 120
    while len(epochs("broken")) < 5:
        assert time.monotonic() < end
        assert broken.poll() is None, (tmp_path / "out.txt").read_text()[-3000:]
        time.sleep(0.05)
    children = subprocess.run(
        ["pgrep", "-P", str(broken.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    for pid in [broken.pid, *map(int, children)]:
        os.kill(pid, signal.SIGKILL)
    broken.wait()
    assert step(url, "broken").wait(240) == 0, (tmp_path / "out.txt").read_text()[-3000:]
    assert (tmp_path / "broken-weights").read_text() == (tmp_path / "unbroken-weights").read_text()
    ran, whole = epochs("broken"), epochs("unbroken")
    assert len(ran) <= len(whole) + 1  # at most the epoch during which it was killed
    trial = Study.open(open_storage(url)).state
    assert trial.leases["0"]["attempt"] == 2
    unbroken = Study.open(open_storage(f"{tmp_path}/unbroken")).state
    assert trial.trials["0"]["score"] == unbroken.trials["0"]["score"]
    assert verify(open_storage(url)).problems == []


def test_a_server_that_ignores_exclusive_create_is_refused(tmp_path, monkeypatch):
    careless = servers.start_careless(tmp_path)
    try:
        for name, value in careless.env.items():
            monkeypatch.setenv(name, value)
        set_conf_env(conf)
        with pytest.raises(ConfigurationError, match="ignores exclusive create"):
            open_storage(f"{careless.url}/study").check_shared()
        step = start_step(f"{careless.url}/study", tmp_path, "--oracle", '{"class": "RandomSearch"}')
        assert step.wait(60) == 2
        told = (tmp_path / "out.txt").read_text()
        assert "ignores exclusive create" in told
        assert "Traceback" not in told
        assert open_storage(f"{careless.url}/study").list("") == []
    finally:
        careless.stop()
