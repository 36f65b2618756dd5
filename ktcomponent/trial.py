"""A trial: one set of hyperparameter values and what came of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.metrics import MetricHistory, MetricsTracker

MAX_MESSAGE = 2000
RUNGS = ("rungs", "stopped")
"""What of a record the stopping rule has made."""


class TrialStatus:
    """What can be said of a trial.

    Attributes:
        RUNNING: It may run.
        IDLE: Nothing to run now; ask again.
        INVALID: This run failed; the trial is due for a retry.
        STOPPED: As an answer to `create_trial`: the search is over.
        COMPLETED: It ended with a score.
        FAILED: It failed for good.
    """

    RUNNING = "RUNNING"
    IDLE = "IDLE"
    INVALID = "INVALID"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


class Trial:
    """One set of hyperparameter values, run one or more times.

    Args:
        hyperparameters: The space with this trial's values.
        trial_id: Unique within the study; drawn where left out.
        status: One of `TrialStatus`.
        message: Why it failed.

    Attributes:
        metrics: A `MetricsTracker`.
        score: The objective's best value, None until the trial completed.
        best_step: The step of that value.
        number: Position in the order of creation, from 0; None for a trial that an oracle has not taken up.
        runs: How many times a run of it ended.
        ended: Position in the order in which trials ended for good, from 0; None until then.
        enqueued: Whether a person asked for its values.
        rungs: What its training had reached at the rungs of the stopping rule: steps to the best value so far.
        unused: Hyperparameters with a value that its program never asked for.
        stopped: The rung at which the stopping rule ended its training, in steps; None where it didn't.
        why: Why the oracle chose its values, None where it doesn't say. `how` is "initial", "earlier" (the
            best of an earlier study), "promoted" (the model of the trial `trial_id` goes on), "random", "grid", "exploit" (the
            model expects it to be better than the best) or "explore" (it may be, since little is known there); with the
            latter two, in units of the score, the model's `mean` and `deviation` and the `expected_improvement` on
            the best, and `feasible`, the probability that it doesn't fail, where trials have failed.
    """

    def __init__(
        self,
        hyperparameters: HyperParameters,
        trial_id: str | None = None,
        status: str = TrialStatus.RUNNING,
        message: str | None = None,
    ) -> None:
        self.hyperparameters = hyperparameters
        self.trial_id = uuid.uuid4().hex if trial_id is None else trial_id
        self.metrics = MetricsTracker()
        self.score: float | None = None
        self.best_step: int | None = 0
        self.status = status
        self.message = message
        self.number: int | None = None
        self.runs = 0
        self.ended: int | None = None
        self.enqueued = False
        self.rungs: dict[int, float] = {}
        self.stopped: int | None = None
        self.unused: list[str] = []
        self.why: dict[str, Any] | None = None
        self._unknown: dict[str, Any] = {}

    def summary(self) -> None:
        """Prints the values, the score and the message."""
        print(f"Trial {self.trial_id} summary")  # noqa: T201
        print("Hyperparameters:")  # noqa: T201
        self.display_hyperparameters()
        if self.score is not None:
            print(f"Score: {self.score}")  # noqa: T201
        if self.message is not None:
            print(self.message)  # noqa: T201

    def display_hyperparameters(self) -> None:
        for name, value in self.hyperparameters.values.items():
            print(f"{name}: {value}")  # noqa: T201
        if not self.hyperparameters.values:
            print("default configuration")  # noqa: T201

    def get_state(self) -> dict[str, Any]:
        """The whole trial as JSON, as KerasTuner writes it."""
        return {
            "trial_id": self.trial_id,
            "hyperparameters": self.hyperparameters.get_config(),
            "metrics": self.metrics.get_config(),
            "score": self.score,
            "best_step": self.best_step,
            "status": self.status,
            "message": self.message,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        self.trial_id = state["trial_id"]
        self.hyperparameters = HyperParameters.from_config(state["hyperparameters"])
        self.metrics = MetricsTracker.from_config(state["metrics"])
        self.score = state["score"]
        self.best_step = state["best_step"]
        self.status = state["status"]
        self.message = state["message"]

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Trial:
        trial = cls(HyperParameters())
        trial.set_state(state)
        return trial

    def save(self, fname: str) -> None:
        """Writes `get_state()` as JSON to a path or URL; for programs written for KerasTuner."""
        import fsspec

        with fsspec.open(fname, "w") as file:
            json.dump(self.get_state(), file)

    def reload(self, fname: str) -> None:
        """Takes over what `save` wrote."""
        import fsspec

        with fsspec.open(fname, "r") as file:
            self.set_state(json.load(file))

    @classmethod
    def load(cls, fname: str) -> Trial:
        """The trial that `save` wrote."""
        trial = cls(HyperParameters())
        trial.reload(fname)
        return trial

    def to_record(self) -> dict[str, Any]:
        """What a study's log keeps of the trial: of bounded size beside the trial's own values.

        The search space is the oracle's, full histories are a file of the attempt, keys that newer software
        wrote are kept.
        """
        return {
            **self._unknown,
            "number": self.number,
            "status": self.status,
            "values": dict(self.hyperparameters.values),
            "score": self.score,
            "best_step": self.best_step,
            "metrics": self.metrics.summary(),
            "message": _shorten(self.message),
            "runs": self.runs,
            "ended": self.ended,
            **({"enqueued": True} if self.enqueued else {}),
            **({"why": self.why} if self.why else {}),
            **({"unused": self.unused} if self.unused else {}),
            **self.record_of_rungs(),
        }

    def record_of_rungs(self) -> dict[str, Any]:
        """The part of the record that changes while the trial runs."""
        return {
            **({"rungs": {str(rung): value for rung, value in self.rungs.items()}} if self.rungs else {}),
            **({} if self.stopped is None else {"stopped": self.stopped}),
        }

    def take_rungs(self, record: Mapping[str, Any]) -> None:
        """Sets what `record_of_rungs` told."""
        self.rungs = {int(rung): float(value) for rung, value in record.get("rungs", {}).items()}
        self.stopped = record.get("stopped")

    def with_rungs(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record of the trial, with its rungs as they are now."""
        return {**{k: v for k, v in record.items() if k not in RUNGS}, **self.record_of_rungs()}

    @classmethod
    def from_record(cls, trial_id: str, record: Mapping[str, Any], space: HyperParameters) -> Trial:
        """Makes a trial from its record and the oracle's search space, which is copied."""
        known = dict(record)
        hyperparameters = space.copy()
        hyperparameters.values = space.revived(known.pop("values"))
        trial = cls(hyperparameters, trial_id, known.pop("status"), known.pop("message"))
        trial.metrics.metrics = {
            name: MetricHistory.from_config(history) for name, history in known.pop("metrics").items()
        }
        score = known.pop("score")
        trial.score = None if score is None else float(score)
        trial.best_step = known.pop("best_step")
        trial.number = known.pop("number")
        trial.runs = known.pop("runs")
        trial.ended = known.pop("ended")
        trial.enqueued = known.pop("enqueued", False)
        trial.why = known.pop("why", None)
        trial.unused = known.pop("unused", [])
        trial.take_rungs({key: known.pop(key) for key in RUNGS if key in known})
        trial._unknown = known
        return trial


def _shorten(message: str | None) -> str | None:
    """The head and the tail of a long message: at most `MAX_MESSAGE` bytes as JSON."""
    if message is None or (size := len(json.dumps(message))) <= MAX_MESSAGE:
        return message
    keep = (MAX_MESSAGE - 20) * len(message) // size
    short = f"{message[: keep // 4]}\n...\n{message[-(keep - keep // 4) :]}"
    return short if len(json.dumps(short)) <= MAX_MESSAGE else _shorten(short)
