"""What tests of steps share: their settings, and a step that runs beside the test."""

import contextlib
import json
import time

import psutil

from ktcomponent.storage import open_storage
from ktcomponent.study import Study

TWELVE = json.dumps({"class": "RandomSearch", "max_trials": 12, "seed": 3})


def oracle(**settings):
    return json.dumps({"class": "RandomSearch", "max_trials": 12, "seed": 3, **settings})


def statuses(study):
    return [t["status"] for t in study.state.trials.values()]


def wait_until(condition, timeout=30):
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, "it didn't happen in time"
        time.sleep(0.02)
    return found


def running(commands):
    """The study once a trial runs in it."""

    def look():
        study = Study.find(open_storage(commands.study))
        return study if study is not None and study.state.running() else None

    return wait_until(look, 60)


def ended_within(process, seconds):
    began = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < seconds
    return process.returncode, output


def kill_all_of(step):
    """A step with its supervisor, child and guard, as when its machine is gone."""
    for process in [*psutil.Process(step.pid).children(recursive=True), step]:
        # One may end since the one before did.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    step.wait()
