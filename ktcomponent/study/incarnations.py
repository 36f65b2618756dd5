"""The commits that need no oracle: opening and closing incarnations, and ending a search."""

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


EXHAUSTED = "the oracle has no more trials"
"""The reason of the end of a search that ran all its trials."""

ANY = "any"
"""Replace whichever incarnation is current."""


def current(study: Study | None, owner: str) -> str | None:
    """The last incarnation that an owner opened, None if there is none."""
    known = study.state.owners.get(owner) if study is not None else None
    return known["incarnation"] if known else None


def take_over(
    study: Study, writer: Writer, reason: str, *, replaces: str | None = ANY, restart: bool = False
) -> None:
    """Opens `writer`'s incarnation; what the one it replaces holds is given back, as a loss.

    Args:
        study: The study.
        writer: The owner and its new incarnation.
        reason: For the reader of the log.
        replaces: The incarnation to replace (None for none): refused if another is current by now.
        restart: Whether it must be open too.

    Raises:
        Fenced: If another incarnation is current.
    """

    def decide(_: StudyState) -> Draft:
        known = current(study, writer.owner) if replaces == ANY else replaces
        return Draft("takeover", extra={"replaces": known, "reason": reason, "restart": restart})

    study.commit(writer, decide, patient=True)


def give_back(study: Study, writer: Writer, reason: str, *, told: bool = False) -> bool:
    """Closes `writer`'s incarnation and gives back what it holds; False where it is closed already.

    Args:
        study: The study.
        writer: The owner and its incarnation.
        reason: For the reader of the log.
        told: Whether the step was told to end, as preemption does, and did not fail by itself.
    """
    extra = {"reason": reason, **({"told": True} if told else {})}
    try:
        return study.commit(writer, lambda _: Draft("giveback", extra=extra)) is not None
    except Refused:
        return False


def stop(study: Study, writer: Writer, reason: str, *, at: int | None = None, failures: bool = False) -> bool:
    """Ends the search.

    Args:
        study: The study.
        writer: Who.
        reason: Kept in the study.
        at: Only if this commit is still the last one.
        failures: Whether it ends because too many trials failed, which can be mended.

    Returns:
        False where it was over already, or something was committed in the meantime.
    """

    def decide(state: StudyState) -> Draft | None:
        if state.stop is not None or at not in (None, state.seq):
            return None
        return Draft("stop", extra={"reason": reason, **({"failures": True} if failures else {})})

    return study.commit(writer, decide) is not None
