"""Kill anything at any moment: the retry goes on, nothing is lost, nothing counts twice."""

import json
import os
import random
import signal
import time

import psutil
import pytest

from ktcomponent.export import best_trials
from ktcomponent.study.binding import kept_oracle
from tests.step.steps import kill_all_of, running

TRIALS = 10
ORACLE = json.dumps({"max_trials": TRIALS, "seed": 11})
MOMENTS = 20

pytestmark = pytest.mark.slow


def family_of(pid):
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def assert_all_end(processes, seconds=5):
    gone, alive = psutil.wait_procs([p for p in processes if p.pid != os.getpid()], seconds)
    del gone
    assert [p for p in alive if p.status() != psutil.STATUS_ZOMBIE] == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The best trial and all values of the same search without a disturbance."""
    from tests.conftest import Commands

    folder = tmp_path_factory.mktemp("undisturbed")
    commands = Commands(str(folder / "study"), folder)
    code, output = commands.step("--oracle", ORACLE)
    assert code == 0, output
    state = commands.open().state
    return best_trials(state)[0], {i: t["values"] for i, t in state.trials.items()}


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_step_killed_at_any_moment_loses_nothing(commands, undisturbed, moment):
    chance = random.Random(moment)
    victim = ("supervisor", "child", "both")[moment % 3]
    calls = commands.folder / "calls"
    env = {"SECONDS": "0.15", "CALLS": str(calls)}
    options = ("--owner", "dag/run/task/-1", "--oracle", ORACLE)

    step = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:objective", *options, **env
    )
    time.sleep(chance.uniform(0.2, 2.2))
    family = family_of(step.pid)
    # The supervisor comes first, the training child second, the guard and others after it.
    victims = {"supervisor": family[:1], "child": family[1:2], "both": family[:2]}[victim]
    for process in victims:
        process.send_signal(signal.SIGKILL)
    if victim != "child":
        assert_all_end(family)
    step.communicate(timeout=60)

    tries = 0
    while (code := commands.step(*options, **env)[0]) != 99:
        tries += 1
        assert code in (0, 75, 1)
        assert tries < 5
    study = commands.open()
    assert len(study.state.trials) == TRIALS
    assert {t["status"] for t in study.state.trials.values()} == {"COMPLETED"}
    assert study.state.free() == []
    assert study.state.running() == {}
    assert_each_finished_once(study)
    assert {i: t["values"] for i, t in study.state.trials.items()} == undisturbed[1]
    assert best_trials(study.state)[0] == undisturbed[0]
    assert len(calls.read_text().splitlines()) <= TRIALS + 2


def assert_each_finished_once(study):
    log = [json.loads(study.storage.get(key)) for key in study.storage.list("log")]
    finished = [entry["trial"] for entry in log if entry["op"] == "finish"]
    assert sorted(finished) == sorted(study.state.trials)


def test_whatever_a_trial_started_ends_with_its_supervisor(commands):
    step = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:family", "--oracle", ORACLE
    )
    pids = [int(word) for word in step.stdout.readline().split()[1:]]
    family = {*family_of(step.pid), *map(psutil.Process, pids)}
    assert len(family) == 4
    step.kill()
    assert_all_end(family, 3)


def test_an_orphan_beside_its_retry_changes_nothing(commands, undisturbed):
    """The training child is stopped (not killed), so the step's retry runs beside it; then it wakes up."""
    options = ("--owner", "me", "--oracle", ORACLE)
    step = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:objective", *options, SECONDS="0.3"
    )
    running(commands)
    family = family_of(step.pid)
    for process in family:
        process.suspend()
    assert commands.step(*options)[0] == 0
    head = commands.open().state.seq
    for process in family:
        process.resume()
    output, _ = step.communicate(timeout=60)
    assert step.returncode == 75, output
    assert_all_end(family)
    after = commands.open()
    assert after.state.seq == head
    assert_each_finished_once(after)
    assert {i: t["values"] for i, t in after.state.trials.items()} == undisturbed[1]


def test_sigterm_while_tensorflow_is_busy_gives_back_within_3_s(commands):
    step = commands.start(
        "step", "--study", commands.study, "--hypermodel", "busy:objective", "--oracle", ORACLE
    )
    while "in TensorFlow" not in step.stdout.readline():
        assert step.poll() is None
    time.sleep(1)
    family = family_of(step.pid)
    began = time.monotonic()
    step.send_signal(signal.SIGTERM)
    output, _ = step.communicate(timeout=60)
    assert time.monotonic() - began < 3
    assert step.returncode == 75, output
    assert_all_end(family, 1)
    lease = commands.open().state.leases["00"]
    assert lease == {"state": "free", "attempt": 1, "first": 1, "losses": 0}


def test_ctrl_c_gives_back_too(commands):
    step = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:family", "--oracle", ORACLE
    )
    assert "pids" in step.stdout.readline()
    step.send_signal(signal.SIGINT)
    step.communicate(timeout=60)
    assert step.returncode == 75
    assert commands.open().state.leases["00"]["state"] == "free"


@pytest.mark.slow
def test_a_lane_that_dies_whole_loses_no_slot_of_a_hyperband_round(commands):
    """Supervisor, child and guard are gone, and their owner never comes back: the other lane waits and goes on."""
    oracle = json.dumps({"class": "Hyperband", "max_epochs": 9, "seed": 1})
    options = ("--oracle", oracle, "--lease", "3")
    dying = commands.start(
        *("step", "--study", commands.study, "--hypermodel", "fast:objective", "--owner", "dying"),
        *options,
        SECONDS="30",
    )
    study = running(commands)
    kill_all_of(dying)
    began = time.monotonic()
    code, output = commands.step(*options, "--owner", "living")
    assert code == 0, output
    assert time.monotonic() - began < 60
    state = commands.open().state
    assert len(state.trials) == kept_oracle(state).planned_trials()
    assert {trial["status"] for trial in state.trials.values()} == {"COMPLETED"}
    assert sum(lease["losses"] for lease in state.leases.values()) == 1
    log = [json.loads(state_of) for state_of in map(study.storage.get, study.storage.list("log"))]
    assert [entry["writer"]["owner"] for entry in log if entry["op"] == "expire"] == ["living"]
