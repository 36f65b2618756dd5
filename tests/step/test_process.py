"""The training child as a process."""

import os

from ktcomponent.step.plan import Plan
from ktcomponent.step.process import TrainingChild


def test_the_last_word_of_a_child_is_heard_after_its_end(tmp_path, monkeypatch):
    plan = Plan(study=str(tmp_path / "study"), hypermodel="nowhere:build")
    order = {
        "plan": plan.to_json(),
        "incarnation": "i",
        "trials": 1,
        "incarnations": ["i"],
        "runtime_s": None,
    }
    child = TrainingChild(order, str(tmp_path / "scratch"))

    def late(seconds):
        if seconds:  # it speaks and ends after it was listened to
            os.waitid(os.P_PID, child._process.pid, os.WEXITED | os.WNOWAIT)
            return False
        return TrainingChild._listen(child, seconds)

    monkeypatch.setattr(child, "_listen", late)
    try:
        assert child.wait(1) == 2
        assert child.said_its_end()
    finally:
        child.end()
