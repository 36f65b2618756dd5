"""`Supervisor`: one step. Light, without user code or TensorFlow.

It waits while there is nothing to claim, starts the training child, beats for what the child holds, and alone
opens and closes the incarnation under which the child commits. It asks nothing of the child: it kills it, and
then commits. What the child holds it reads from the log.
"""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from typing import Any

from ktcomponent.clock import SYSTEM, Clock
from ktcomponent.console import say
from ktcomponent.errors import Fenced, StorageError
from ktcomponent.oracles.registry import BUILT_IN
from ktcomponent.step import exit_codes
from ktcomponent.step.plan import Plan
from ktcomponent.step.process import TrainingChild
from ktcomponent.storage import open_storage
from ktcomponent.study import Study, StudyLedger, Writer, incarnations
from ktcomponent.study.binding import kept_oracle
from ktcomponent.study.expiry import Expiry, pause_s
from ktcomponent.study.reader import Until
from ktcomponent.study.watch import Pulse
from ktcomponent.trial import TrialStatus

TICK_S = 0.2
MAX_IDLE_LOSSES = 2
"""How often a child that is killed while it holds nothing is started again."""


class _Ended(BaseException):
    """The step was told to end, or the process that started it has ended. No error: nobody may try again after it."""


class _Attentive(Clock):
    """A clock whose sleepers are woken up, by an exception, when the step is told to end."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._check()
            time.sleep(min(left, TICK_S))


class Supervisor:
    """Runs one step.

    Args:
        plan: What to do.
        parent: Id of the process with which this one ends, if any.
    """

    def __init__(self, plan: Plan, parent: int | None = None) -> None:
        self.plan = plan
        self._parent = parent
        self._told: str | None = None
        self._started = time.monotonic()
        self._storage = open_storage(plan.study, **plan.storage_options)
        self._storage.clock = _Attentive(self._check_told)
        self._incarnations: list[str] = []
        self._pulse: Pulse | None = None
        # The owner's incarnation when this step began: whoever replaces it in the meantime is a later try.
        self._before: str | None = None
        self._idle_losses = 0
        self._expiry: Expiry | None = None
        self._study: Study | None = None

    def run(self) -> int:
        """Runs the step to its end; returns its exit code."""
        before = {s: signal.signal(s, self._on_signal) for s in (signal.SIGTERM, signal.SIGINT)}
        # The child makes this folder when it needs it; then there is a guard that removes it whatever happens.
        scratch = os.path.join(tempfile.gettempdir(), f"ktcomponent-{secrets.token_hex(8)}")
        try:
            code = self._wait_for_work()
            while code is None:
                code = self._run_child(scratch)
            return code
        except _Ended:
            if self._pulse is None:
                self._say(f"ktcomponent: {self._told}; ended before the training process was started")
            else:
                self._give_back_all()
            return exit_codes.INFRASTRUCTURE
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            for number, handler in before.items():
                signal.signal(number, handler)

    # -- before the child --------------------------------------------------------------------------------

    def _wait_for_work(self) -> int | None:
        """None when the child has something to do, else the step's exit code."""
        deadline = self.plan.deadline_time()
        end = time.monotonic() + self.plan.max_wait
        self._study = study = Study.find(self._storage)
        if study is None:
            return None
        self._before = incarnations.current(study, self.plan.owner)
        waited, told = 0.0, False
        while True:
            if incarnations.current(study, self.plan.owner) != self._before:
                self._say(
                    f"ktcomponent: a later try of {self.plan.owner!r} goes on. This step commits nothing."
                )
                return exit_codes.INFRASTRUCTURE
            if deadline is not None and deadline.timestamp() <= time.time():
                incarnations.stop(study, self._fresh_writer(), "the deadline passed")
            answer = self._look_for_work(study)
            if answer != TrialStatus.IDLE:
                return None if answer == TrialStatus.RUNNING else exit_codes.SEARCH_OVER
            if time.monotonic() >= end:
                self._say(
                    f"nothing to do within {self.plan.max_wait:g} s: the remaining trials run elsewhere"
                )
                return exit_codes.DONE
            if not told:
                self._say("waiting: the remaining trials run elsewhere")
                told = True
            if self._expiry is None:
                self._expiry = Expiry(study, self._fresh_writer())
            if not self._expiry.look():
                pause = pause_s(waited, study.state)
                self._storage.clock.sleep(pause)
                waited += pause
            study.refresh()

    def _look_for_work(self, study: Study) -> str:
        """RUNNING with something to claim, IDLE while others may give some back, STOPPED at the end."""
        state = study.state
        mine = state.held(self.plan.owner)
        if state.stop is not None:
            if mine:
                # An earlier try of this owner left them; they can't be finished any more.
                writer = self._fresh_writer()
                incarnations.take_over(study, writer, "the search is over", replaces=self._before)
                self._before = writer.incarnation
            return TrialStatus.IDLE if study.state.running() else TrialStatus.STOPPED
        if mine or state.free():
            return TrialStatus.RUNNING
        kept = state.config["oracle"]
        if kept["class"] not in BUILT_IN:
            return TrialStatus.RUNNING
        writer = self._fresh_writer()
        answer = StudyLedger(study, kept_oracle(state), writer).peek()
        if answer == TrialStatus.STOPPED and state.stop is None:
            stopped = incarnations.stop(study, writer, incarnations.EXHAUSTED, at=state.seq)
            return TrialStatus.STOPPED if stopped else TrialStatus.IDLE
        return answer

    def _fresh_writer(self) -> Writer:
        return Writer(self.plan.owner, incarnations.new_incarnation())

    # -- with the child ----------------------------------------------------------------------------------

    def _run_child(self, scratch: str) -> int | None:
        """One training child; None where another one must follow."""
        writer = self._next_incarnation()
        if writer is None:
            return exit_codes.INFRASTRUCTURE
        child = TrainingChild(self._order(writer), scratch)
        try:
            code = self._watch(child, writer)
            spoke = code is not None and child.said_its_end()
        except _Ended:
            child.end()
            self._give_back_all()
            return exit_codes.INFRASTRUCTURE
        except Fenced as error:
            child.end()
            self._say(f"ktcomponent: {error}. This step commits nothing more.")
            return exit_codes.INFRASTRUCTURE
        finally:
            child.end()
        return self._after(code, spoke)

    def _next_incarnation(self) -> Writer | None:
        """A fresh incarnation; after a lost child it is opened here, so that the loss counts at once."""
        writer = self._fresh_writer()
        if self._pulse is not None:
            study = self._pulse.study
            writer = dataclasses.replace(writer, generation=self._pulse.writer.generation)
            reason, lost = "the training process was lost", self._incarnations[-1]
            try:
                incarnations.take_over(study, writer, reason, replaces=lost, restart=True)
            except Fenced as error:
                self._say(f"ktcomponent: {error}. This step commits nothing more.")
                return None
            self._pulse = Pulse(study, writer)
        self._incarnations.append(writer.incarnation)
        return writer

    def _order(self, writer: Writer) -> dict[str, Any]:
        trials, runtime = self.plan.batch_size, self.plan.max_runtime
        if trials is not None and self._pulse is not None:
            trials -= self._pulse.study.state.finished_by(self._incarnations)
        if runtime is not None:
            runtime -= time.monotonic() - self._started
        return {
            "plan": self.plan.to_json(),
            "incarnation": writer.incarnation,
            "trials": trials,
            "incarnations": self._incarnations,
            "runtime_s": runtime,
        }

    def _watch(self, child: TrainingChild, writer: Writer) -> int | None:
        """Watches over the child; its return code, or None where it lost its attempt."""
        started = False
        looked = time.monotonic()
        while True:
            code = child.wait(TICK_S)
            self._check_told()
            if code is not None:
                return code
            if not started and child.is_ready():
                if self._pulse is None:
                    self._pulse = self._begin(writer)
                started = True
                child.go()
                looked = time.monotonic()
            if self._pulse is None:
                continue
            if time.monotonic() - looked >= self._pulse.every:
                looked = time.monotonic()
                if self._lost_attempt(self._pulse):
                    return None

    def _begin(self, writer: Writer) -> Pulse:
        """Opens the step's first incarnation.

        Raises:
            Fenced: If a later try of the owner has begun in the meantime.
        """
        self._storage.trust_shared()  # the training child has made sure of it
        study = self._study
        if study is None:
            study = Study.from_start(self._storage) or Study.open(self._storage)
        else:
            study.refresh()
        writer = dataclasses.replace(writer, generation=study.state.generation)
        incarnations.take_over(study, writer, "a step begins", replaces=self._before)
        return Pulse(study, writer)

    def _lost_attempt(self, pulse: Pulse) -> bool:
        """Looks at the log and beats; whether another step expired what the child runs.

        Raises:
            Fenced: If a newer incarnation of the owner took over.
        """
        try:
            lost = pulse.look()
            if pulse.is_replaced():
                raise Fenced(f"another incarnation of {self.plan.owner!r} took over")
            pulse.beat()
        except StorageError as error:
            self._say(f"ktcomponent: {error} Trying again.")
            return False
        return lost

    def _give_back_all(self) -> None:
        """Closes the incarnation, also where it holds nothing: no commit of the child can land any more."""
        held: dict[str, int] = {}
        self._storage.clock = SYSTEM  # this is to be done to its end
        if self._pulse is not None:
            self._pulse.look(Until.HEAD)
            held = self._pulse.held
            reason = self._told or "told to end"
            incarnations.give_back(self._pulse.study, self._pulse.writer, reason, told=True)
        names = ", ".join(sorted(held))
        self._say(
            f"ktcomponent: {self._told}; " + (f"gave back trial {names}" if held else "no trial was held")
        )

    def _after(self, code: int | None, spoke: bool) -> int | None:
        """What follows the child's end: its code passed on, or None for another child.

        Args:
            code: Its return code, None where it lost its attempt.
            spoke: Whether it ended by itself; else something killed it, or user code ended the process.
        """
        if code is None:
            self._say("ktcomponent: another step expired what the training process ran; starting it again")
            return None
        how = f"ended with {code}" if code >= 0 else f"was killed ({signal.Signals(-code).name})"
        if self._pulse is None:
            if code < 0:
                self._say(f"ktcomponent: the training process {how} before it claimed a trial")
            return exit_codes.UNEXPECTED if code < 0 else code
        if spoke and code in (exit_codes.DONE, exit_codes.SEARCH_OVER):
            return code
        self._pulse.look(Until.HEAD)
        held = ", ".join(sorted(self._pulse.held))
        if held and not spoke:
            self._say(f"ktcomponent: the training process {how} while it ran trial {held}; starting it again")
            return None
        if code < 0 and self._idle_losses < MAX_IDLE_LOSSES:
            self._idle_losses += 1
            self._say(f"ktcomponent: the training process {how} between two trials; starting it again")
            return None
        # A commit of the child may still be on its way: closed, it can't land any more.
        incarnations.give_back(self._pulse.study, self._pulse.writer, f"the training process {how}")
        if spoke and code >= 0:
            return code
        trials = self.plan.batch_size
        if code == exit_codes.DONE and trials is not None:
            # User code may have closed what the end is told by; then the study tells.
            self._pulse.look(Until.HEAD)
            if self._pulse.study.state.finished_by(self._incarnations) >= trials:
                return code
        # User code ended the process between two trials: what its code says is not for it to say.
        self._say(f"ktcomponent: the training process {how}")
        return exit_codes.UNEXPECTED

    # -- being told --------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _: object) -> None:
        self._told = f"received {signal.Signals(number).name}"

    def _check_told(self) -> None:
        if self._told is None and self._parent is not None and os.getppid() != self._parent:
            self._told = "the process that started this step has ended"
        if self._told is not None:
            raise _Ended

    def _say(self, line: str) -> None:
        try:
            say(line)
        except OSError:
            return  # Whoever read the output is gone; the work goes on.
