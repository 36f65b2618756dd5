"""What tests of steps share: their settings, and a step that runs beside the test."""

import json
import time

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

    return wait_until(look)


def ended_within(process, seconds):
    began = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < seconds
    return process.returncode, output
