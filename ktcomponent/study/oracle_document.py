"""An oracle's state as part of a study's document.

oracle -> first_document, OracleDocument.difference -> patch -> commit
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from ktcomponent.errors import KtcomponentError
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.study.entry import dumps, plain
from ktcomponent.study.patch import Patch, diff

LARGE_COMMIT = 64 * 1024

_LOG = logging.getLogger(__name__)


class OracleDocument:
    """What an oracle's decisions change in a document.

    Args:
        oracle: The oracle.

    Attributes:
        is_plain: Whether a decision can only touch the common state and the trial it is about, since the oracle's class
            overrides nothing that keeps state.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.is_plain = all(getattr(type(oracle), name) is getattr(Oracle, name) for name in _KEEPING)

    def difference(self, document: dict[str, Any], trial_ids: Iterable[str]) -> Patch:
        """The patch from a document to the oracle's state.

        Args:
            document: The study's "oracle".
            trial_ids: The trials that a decision was about.
        """
        if self.is_plain:
            new = self._oracle._common_state()
            records = {i: self._oracle.trials[i].to_record() for i in trial_ids}
        else:
            new = self._oracle.get_state()
            new.pop("ongoing_trials", None)
            records = new.pop("trials")
        patch: Patch = []
        for key, value in plain(new).items():
            patch += change(document, key, value, ["oracle", key])
        for trial_id, record in plain(records).items():
            patch += change(document["trials"], trial_id, record, ["oracle", "trials", trial_id])
        return patch

    def warn_if_large(self, patch: Patch) -> None:
        """Tells the author of an oracle that keeps more and more."""
        if self.is_plain:
            return
        size = len(dumps(patch))
        if size > LARGE_COMMIT:
            largest = max(patch, key=lambda operation: len(dumps(operation)))
            _LOG.warning(
                "A commit of %d KiB: the oracle's state %r grows. Keep what can be derived out of get_state().",
                size // 1024,
                "/".join(largest[1]),
            )


_KEEPING = ("get_state", "set_state", "create_trial", "update_trial", "end_trial", "update_space")
"""Methods that can change an oracle's state."""


def first_document(oracle: Oracle, config: dict[str, Any]) -> Patch:
    """The patch that makes a new study's document from an oracle that has no trials yet."""
    state = oracle.get_state()
    if state.pop("trials") or state.pop("ongoing_trials"):
        raise KtcomponentError("The oracle of a new study must have no trials yet.")
    return [["set", ["config"], plain(config)], ["set", ["oracle"], {**plain(state), "trials": {}}]]


def change(old: dict[str, Any], key: str, value: Any, path: list[str]) -> Patch:
    """The patch that gives a key of an object a value, the key being at `path` in the document."""
    return diff(old[key], value, path) if key in old else [["set", path, value]]
