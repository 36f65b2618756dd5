"""Opening and closing incarnations: the two commits a supervisor makes, which need no oracle."""

from __future__ import annotations

import os
import socket
import uuid

from ktcomponent.errors import Refused
from ktcomponent.study.state import StudyState
from ktcomponent.study.study import Draft, Study, Writer


def new_incarnation() -> str:
    return uuid.uuid4().hex


def new_owner() -> str:
    """An owner for a process that nobody named."""
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def take_over(study: Study, writer: Writer, reason: str, restart_of: str | None = None) -> None:
    """Opens `writer`'s incarnation; what the one it replaces holds is given back, as a loss.

    Args:
        study: The study.
        writer: The owner and its new incarnation.
        reason: For the reader of the log.
        restart_of: The incarnation to replace: refused if another is current by now. Without it, whichever
            is current.

    Raises:
        Fenced: If another incarnation is current.
    """

    def decide(state: StudyState) -> Draft:
        current = state.owners.get(writer.owner)
        replaces = restart_of or (current["incarnation"] if current else None)
        extra = {"replaces": replaces, "reason": reason}
        return Draft("takeover", extra={**extra, "restart": True} if restart_of else extra)

    study.commit(writer, decide)


def give_back(study: Study, writer: Writer, reason: str) -> bool:
    """Closes `writer`'s incarnation and gives back what it holds; False where it is closed already."""
    try:
        return study.commit(writer, lambda _: Draft("giveback", extra={"reason": reason})) is not None
    except Refused:
        return False


def stop(study: Study, writer: Writer, reason: str) -> bool:
    """Ends the search; False where it was over already."""
    entry = study.commit(
        writer, lambda state: None if state.stop else Draft("stop", extra={"reason": reason})
    )
    return entry is not None
