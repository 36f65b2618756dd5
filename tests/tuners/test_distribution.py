"""Training on several devices, and by several workers together."""

import json
import os
import socket
import subprocess
import sys

import pytest

from ktcomponent.storage import open_storage
from ktcomponent.study import Study
from tests.conftest import USER_CODE

pytestmark = pytest.mark.slow


@pytest.fixture
def start():
    """Starts a program; what is left of it is killed at the end."""
    started = []

    def begin(*arguments):
        started.append(_start(*arguments))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def _start(*arguments):
    return subprocess.Popen(
        [sys.executable, str(USER_CODE / "distributed.py"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(USER_CODE), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def result_of(process):
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    return json.loads(output.strip().splitlines()[-1])


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def test_a_mirrored_strategy_on_two_devices(start, tmp_path):
    told = result_of(start("mirrored", tmp_path))
    assert told["statuses"] == ["COMPLETED", "COMPLETED"]
    assert told["score"] < 10


def test_workers_of_one_job_share_each_trial_and_their_chief_alone_reports(start, tmp_path):
    ports = ",".join(map(str, free_ports(2)))
    both = [start("workers", tmp_path, index, ports) for index in (0, 1)]
    chief, other = [result_of(process) for process in both]
    assert (chief["reports"], other["reports"]) == (True, False)
    assert chief["ended"] == other["ended"]
    state = Study.open(open_storage(tmp_path / "p")).state
    assert len(state.trials) == 4
    # Each trial's result is the sum over two workers that had the same values.
    for trial in state.trials.values():
        assert trial["score"] == pytest.approx(2 * trial["values"]["x"], rel=1e-6)
    assert {lease["attempt"] for lease in state.leases.values()} == {1}
    assert len(state.owners) == 1
