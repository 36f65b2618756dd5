"""Where the parts of a study lie, and the versions of their format."""

from __future__ import annotations

import urllib.parse

FORMAT = 1
READER = 1
"""Entries with a higher `min_reader` are not understood."""
WRITER = 1
"""Studies with a higher `min_writer` are not written to."""

STUDY = "study.json"


def log(n: int) -> str:
    return f"log/{n:020d}.json"


def snapshot(n: int, digest: str) -> str:
    return f"snapshots/{n:020d}-{digest}.json"


def beat(generation: int, trial_id: str, attempt: int) -> str:
    return f"beats/{safe(trial_id)}/{generation}-{attempt}.json"


def attempt_file(generation: int, trial_id: str, attempt: int, name: str) -> str:
    # A reset starts ids and attempts anew; its files must not meet those of the generation before.
    return f"trials/{safe(trial_id)}/{generation}-{attempt}/{name}"


def export(name: str) -> str:
    return f"exports/{safe(name)}"


def safe(name: str) -> str:
    """A name that stays within its folder, whatever a user put into it; distinct names stay distinct."""
    quoted = urllib.parse.quote(name, safe="").replace(".", "%2E")
    if not quoted or len(quoted) > 200:
        raise ValueError(
            f"A name must have 1 to 200 characters once quoted, got {len(quoted)}: {name[:80]!r}."
        )
    return quoted
