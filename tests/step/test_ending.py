"""When a step waits, and what ends one before its batch is done: signals, deadlines, a later try, the process that started it. Real processes."""

import datetime
import signal
import subprocess
import sys
import time

import psutil
import pytest

from ktcomponent.step.plan import parse_time
from ktcomponent.storage import open_storage
from ktcomponent.study import Study
from tests.step.steps import TWELVE, ended_within, kill_all_of, oracle, running, statuses, wait_until


def test_sigterm_gives_the_trial_back_and_leaves_no_process(commands):
    step = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:family", "--oracle", TWELVE
    )
    pids = [int(p) for p in wait_until(step.stdout.readline).split()[1:]]
    study = running(commands)
    step.send_signal(signal.SIGTERM)
    code, output = ended_within(step, 3)
    assert code == 75
    assert "gave back trial 00" in output
    study.refresh()
    assert study.state.leases["00"] == {"state": "free", "attempt": 1, "first": 1, "losses": 0}
    wait_until(lambda: not any(psutil.pid_exists(p) for p in pids), 3)
    assert commands.step("--batch-size", "1", "--max-runtime", "60")[0] == 0
    study.refresh()
    assert study.state.leases["00"]["state"] == "ended"


def test_sigterm_before_anything_is_claimed_ends_with_75(commands):
    running_elsewhere = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:sleepy", "--oracle", oracle(max_trials=1)
    )
    running(commands)
    waiting = commands.start("step", "--study", commands.study, "--hypermodel", "fast:sleepy")
    assert "waiting" in waiting.stdout.readline()
    waiting.send_signal(signal.SIGTERM)
    assert ended_within(waiting, 3)[0] == 75
    assert running_elsewhere.poll() is None


def test_waiting_ends_after_max_wait_and_when_a_trial_is_given_back(commands):
    settings = oracle(max_trials=1)
    first = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:sleepy", "--oracle", settings
    )
    running(commands)
    code, output = commands.step("--max-wait", "0.5")
    assert (code, "run elsewhere" in output) == (0, True)
    waiting = commands.start("step", "--study", commands.study, "--hypermodel", "fast:objective")
    assert "waiting" in waiting.stdout.readline()
    first.send_signal(signal.SIGTERM)
    assert ended_within(waiting, 30)[0] == 0
    assert statuses(commands.open()) == ["COMPLETED"]


@pytest.mark.slow
def test_a_retry_fences_the_try_that_still_runs(commands):
    options = ("--owner", "me", "--oracle", oracle(max_trials=4))
    orphan = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:objective", *options, SECONDS="3"
    )
    running(commands)
    code, output = commands.step(*options)
    assert code == 0, output
    code, output = ended_within(orphan, 30)
    assert code == 75, output
    study = commands.open()
    assert statuses(study) == ["COMPLETED"] * 4
    assert study.state.leases["0"]["attempt"] == 2
    assert study.state.leases["0"]["losses"] == 1


def test_a_step_ends_with_the_process_that_started_it(commands):
    code = (
        "import os, subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-m', 'ktcomponent', '--parent', str(os.getpid()), *sys.argv[1:]])\n"
        "time.sleep(600)\n"
    )
    arguments = ["step", "--study", commands.study, "--hypermodel", "fast:family", "--oracle", TWELVE]
    starter = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=commands.env,
        cwd=commands.folder,
        stdout=subprocess.DEVNULL,
    )
    study = running(commands)
    family = psutil.Process(starter.pid).children(recursive=True)
    assert len(family) >= 3
    starter.kill()
    starter.wait()
    wait_until(lambda: not any(p.is_running() for p in family), 5)
    study.refresh()
    assert study.state.leases["00"] == {"state": "free", "attempt": 1, "first": 1, "losses": 0}


def test_max_runtime_stops_new_claims(commands):
    code, output = commands.step("--oracle", TWELVE, "--max-runtime", "1.5", SECONDS="0.4")
    assert code == 0, output
    assert 0 < len(commands.open().state.trials) < 12
    assert not commands.open().state.running()


@pytest.mark.slow
def test_a_passed_deadline_ends_the_search_for_everybody(commands):
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    code, output = commands.step("--oracle", TWELVE, "--deadline", soon.isoformat(), SECONDS="0.4")
    assert code == 0, output
    study = commands.open()
    assert study.state.stop["reason"] == "the deadline passed"
    assert 0 < len(study.state.trials) < 12
    assert commands.step()[0] == 99
    past = commands.folder / "other"
    code, _ = commands.run(
        "step",
        "--study",
        str(past),
        "--hypermodel",
        "fast:objective",
        "--oracle",
        TWELVE,
        "--deadline",
        "2020-01-01",
    )
    assert code == 99
    assert Study.open(open_storage(past)).state.trials == {}


def test_a_step_of_an_ended_search_frees_what_its_owner_left(commands):
    step = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:sleepy", "--oracle", TWELVE, "--owner", "me"
    )
    running(commands)
    kill_all_of(step)
    assert commands.run("stop", commands.study)[0] == 0
    assert commands.step("--owner", "me", "--max-wait", "5")[0] == 99
    assert commands.open().state.running() == {}


@pytest.mark.slow
def test_a_step_that_waits_leaves_the_work_to_a_later_try_of_its_owner(commands):
    settings = oracle(max_trials=1)
    first = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:sleepy", "--oracle", settings
    )
    running(commands)
    waiting = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:objective", "--owner", "me"
    )
    assert "waiting" in waiting.stdout.readline()
    waiting.send_signal(signal.SIGSTOP)
    first.send_signal(signal.SIGTERM)
    first.wait()
    retry = commands.start(
        "step", "--study", commands.study, "--hypermodel", "fast:objective", "--owner", "me", SECONDS="3"
    )
    study = running(commands)
    waiting.send_signal(signal.SIGCONT)
    code, output = ended_within(waiting, 10)
    assert code == 75, output
    retry.communicate(timeout=30)
    assert retry.returncode == 0
    study.refresh()
    assert study.state.leases["0"]["losses"] == 0
    assert study.state.leases["0"]["attempt"] == 2


def test_a_deadline_may_be_any_iso_time():
    assert parse_time("20990101").year == 2099
    assert parse_time("1700000000").year == 2023
    assert parse_time("2031-05-04T06:00:00+02:00").utcoffset() == datetime.timedelta(hours=2)


def test_other_commands_end_with_the_process_that_started_them_too(commands):
    (commands.folder / "slow.py").write_text("import time\ntime.sleep(60)\n")
    code = (
        "import os, subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-m', 'ktcomponent', '--parent', str(os.getpid()), *sys.argv[1:]])\n"
        "print(p.pid, flush=True); time.sleep(600)\n"
    )
    arguments = ["prepare", "--study", commands.study, "--hypermodel", "slow:build", "--oracle", TWELVE]
    scratch = commands.folder / "scratch"
    scratch.mkdir()
    starter = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**commands.env, "TMPDIR": str(scratch)},
        cwd=commands.folder,
        stdout=subprocess.PIPE,
    )
    command = psutil.Process(int(starter.stdout.readline()))
    time.sleep(1)
    assert command.is_running()
    starter.kill()
    starter.communicate()
    wait_until(lambda: not command.is_running(), 3)
    assert list(scratch.iterdir()) == []
