"""Where the parts of a study lie, and the versions of their format."""

from __future__ import annotations

import hashlib
import urllib.parse

FORMAT = 1
READER = 1
"""Entries with a higher `min_reader` are not understood."""
WRITER = 1
"""Studies with a higher `min_writer` are not written to."""

STUDY = "study.json"


def log(n: int) -> str:
    return f"log/{n:020d}.json"


def segment(first: int, size: int) -> str:
    return f"segments/{size}/{first:020d}.jsonl"


def snapshot(n: int, digest: str) -> str:
    return f"snapshots/{n:020d}-{digest}.json"


def beat(generation: int, trial_id: str, attempt: int) -> str:
    return f"beats/{safe(trial_id)}/{generation}-{attempt}.json"


def attempt_file(generation: int, trial_id: str, attempt: int, name: str) -> str:
    # A reset starts ids and attempts anew; its files must not meet those of the generation before.
    return f"{attempt_folder(generation, trial_id, attempt)}/{name}"


def attempt_folder(generation: int, trial_id: str, attempt: int) -> str:
    return f"trials/{safe(trial_id)}/{generation}-{attempt}"


def export(name: str) -> str:
    return f"exports/{safe(name)}"


def safe(name: str) -> str:
    """A name that stays within its folder, whatever a user put into it; distinct names stay distinct.

    All but letters, digits, "-" and "_" is percent-encoded. What is longer than 200 characters then is cut, and told
    apart by its SHA-256 behind a "~", which no other name has.
    """
    quoted = urllib.parse.quote(name, safe="", errors="surrogatepass")
    quoted = quoted.replace(".", "%2E").replace("~", "%7E")
    if 0 < len(quoted) <= 200:
        return quoted
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    return f"{quoted[:100].rpartition('%')[0] or quoted[:100]}~{digest}"
