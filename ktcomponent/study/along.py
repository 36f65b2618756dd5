"""`TakenAlong`: what a worker keeps in the study beside decisions, with the next commit that is made anyway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ktcomponent.study.entry import plain
from ktcomponent.study.oracle_document import change
from ktcomponent.study.patch import Patch
from ktcomponent.study.state import StudyState


class TakenAlong:
    """Notes for the configuration, and a tuner's own state."""

    def __init__(self) -> None:
        self._notes: dict[str, Any] = {}
        self._tuner: tuple[str, Callable[[], dict[str, Any]]] | None = None

    def note(self, key: str, value: Any) -> None:
        """Puts something into the configuration with the next commit."""
        self._notes[key] = value

    def keep_of_tuner(self, tuner_id: str, get_state: Callable[[], dict[str, Any]]) -> None:
        """Lets every commit from now on take along what `get_state` gives, where it has changed."""
        self._tuner = tuner_id, get_state

    def patch(self, state: StudyState) -> Patch:
        """All of it that the study doesn't have yet."""
        patch: Patch = [
            ["set", ["config", key], value]
            for key, value in self._notes.items()
            if state.config.get(key) != value
        ]
        if self._tuner is None:
            return patch
        tuner_id, get_state = self._tuner
        kept, now = state.document.get("tuners"), plain(get_state())
        if not now and tuner_id not in (kept or {}):
            return patch
        if kept is None:
            return [*patch, ["set", ["tuners"], {tuner_id: now}]]
        return patch + change(kept, tuner_id, now, ["tuners", tuner_id])

    def committed(self) -> None:
        """The notes are part of the study now."""
        self._notes.clear()
