"""Watching over a worker's attempts: heartbeats, and whether they still are its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ktcomponent.errors import AttemptLost, Fenced, KtcomponentError, StorageError
from ktcomponent.storage import Storage
from ktcomponent.study import beats
from ktcomponent.study.reader import Until
from ktcomponent.study.study import Study, Writer


class Pulse:
    """What one look at the study shows of one incarnation; beats for what it holds.

    Args:
        study: The study, read by nobody else.
        writer: The incarnation.
    """

    def __init__(self, study: Study, writer: Writer) -> None:
        self.study = study
        self.writer = writer
        self._count = 0

    def look(self, until: Until = Until.ABOUT) -> bool:
        """Reads what was committed since the last look; whether an attempt of this incarnation was expired."""
        mine = dict(self.held)
        lost = False
        for entry in self.study.refresh(until):
            if entry["op"] == "claim" and entry["writer"]["incarnation"] == self.writer.incarnation:
                mine[entry["trial"]] = entry["attempt"]
            lost |= entry["op"] == "expire" and mine.get(entry["trial"]) == entry["attempt"]
        return lost

    @property
    def held(self) -> dict[str, int]:
        return self.study.state.held(self.writer.owner, self.writer.incarnation)

    def is_replaced(self) -> bool:
        """Whether another incarnation of the owner took over, or the study was reset."""
        return not self.study.state.is_open(self.writer.owner, self.writer.incarnation)

    @property
    def every(self) -> float:
        """After how many seconds the next beat is due: a third of the shortest lease that is held, or will be."""
        return self.study.state.shortest_lease(self.held) / 3

    def beat(self) -> None:
        """Beats for every attempt that is held."""
        self._count += 1
        for trial_id, attempt in self.held.items():
            beats.beat(self.study.storage, self.study.state.generation, trial_id, attempt, self._count)


class Watch:
    """A thread that watches over the search of a program without a supervisor.

    Args:
        storage: The study's storage.
        writer: Tells the current incarnation.
    """

    def __init__(self, storage: Storage, writer: Callable[[], Writer]) -> None:
        self._storage = storage
        self._writer = writer
        self._done = threading.Event()
        self._lost: KtcomponentError | None = None
        self._thread = threading.Thread(target=self._run, name="ktcomponent-watch", daemon=True)

    def start(self) -> Watch:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def check(self) -> None:
        """Raises what made the worker lose its attempt, if anything did."""
        if self._lost is not None:
            raise self._lost

    def go_on(self) -> None:
        """After an attempt was lost the worker goes on with another one."""
        if isinstance(self._lost, AttemptLost):
            self._lost = None

    def _run(self) -> None:
        try:
            study = Study.open(self._storage)
        except KtcomponentError as error:
            self._lost = error
            return
        was_open = False
        pulse = Pulse(study, self._writer())
        while not self._done.wait(pulse.every):
            pulse.writer = self._writer()
            try:
                if pulse.look():
                    self._lost = AttemptLost(
                        "Another worker took the trial: there was no beat within its lease."
                    )
                pulse.beat()
            except StorageError:
                continue  # An outage is not a loss: what counts is what the log says once it can be read.
            except KtcomponentError as error:
                self._lost = error
                return
            if was_open and pulse.is_replaced():
                self._lost = Fenced(f"Another worker took over from {pulse.writer.owner!r}.")
                return
            was_open = not pulse.is_replaced()
