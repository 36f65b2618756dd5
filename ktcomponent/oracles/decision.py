"""Methods of an oracle that decide something, each outermost call of which is one decision.

A subclass may override any of them and call `super()`: the override and all it calls are one decision, taken in
memory or through a `Ledger`, and taken again after a lost race. `Oracle.__init_subclass__` wraps them, so nobody
has to remember it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ktcomponent.trial import Trial, TrialStatus

if TYPE_CHECKING:
    from ktcomponent.oracles.oracle import Oracle

DECISIONS = ("create_trial", "update_trial", "end_trial", "update_space")

F = TypeVar("F", bound=Callable[..., Any])


def synchronized(func: F) -> F:
    """Makes a method of an oracle one decision, whoever calls it from whatever thread.

    Overrides of `create_trial`, `update_trial`, `end_trial` and `update_space` get this by themselves;
    writing it, as KerasTuner's documentation does, changes nothing.
    """
    if getattr(func, "_synchronized", False):
        return func
    method: Any = func
    name = method.__name__
    if name == "end_trial" and "status" in inspect.signature(method).parameters:
        method = _in_older_form(method)

    @functools.wraps(method)
    def decision(self: Oracle, *args: Any, **kwargs: Any) -> Any:
        if name == "end_trial":
            args, kwargs = (_ended_trial(self, *args, **kwargs),), {}
        with self._lock:
            if self._deciding:
                return method(self, *args, **kwargs)
            self._deciding = True
            try:
                return self._decide(name, functools.partial(method, self), args, kwargs)
            finally:
                self._deciding = False

    decision._synchronized = True  # type: ignore[attr-defined]
    return cast("F", decision)


def _ended_trial(oracle: Oracle, *args: Any, **kwargs: Any) -> Trial:
    """The trial that `end_trial` was given, in its present or its older form."""
    first = args[0] if args else kwargs.get("trial", kwargs.get("trial_id"))
    if isinstance(first, Trial):
        return first
    status = args[1] if len(args) > 1 else kwargs.get("status", TrialStatus.COMPLETED)
    trial = oracle.trials[str(first)]
    trial.status = status
    return trial


def _in_older_form(method: Any) -> Any:
    """An override `end_trial(self, trial_id, status)` as one that takes a trial."""

    @functools.wraps(method)
    def end_trial(self: Oracle, trial: Trial) -> None:
        self.trials[trial.trial_id].message = trial.message
        method(self, trial.trial_id, trial.status)

    return end_trial
