"""The probe: does a server keep the promise of an exclusive create?

Some servers take the condition and ignore it, and then two workers both believe that they made a commit. So a
throw-away key is created by several writers at once, and once more afterwards: exactly one may win, judged by
reading back.
"""

from __future__ import annotations

import threading
import time
import uuid

from ktcomponent.errors import ConfigurationError, StorageError
from ktcomponent.storage.base import Storage

FOLDER = "probes"
WRITERS = 4
OLD_S = 3600
MAX_BYTES = 64


def is_left_over(key: str) -> bool:
    """Whether a probe's key is so old that nobody is trying it any more."""
    began = key.rsplit("/", 1)[-1].partition("-")[0]
    return began.isdigit() and time.time() - int(began) > OLD_S


def probe(storage: Storage) -> None:
    """Tries exclusive creates on a key of the storage, which is removed again.

    Raises:
        ConfigurationError: If not exactly one of the writers won.
        StorageError: If the storage can't be written to now.
    """
    key = f"{FOLDER}/{int(time.time())}-{uuid.uuid4().hex}"
    answers: dict[bytes, bool] = {}
    errors: list[StorageError] = []
    barrier = threading.Barrier(WRITERS)

    def write(data: bytes) -> None:
        barrier.wait()
        try:
            answers[data] = storage.put_if_absent(key, data)
        except StorageError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(b"writer %d" % n,)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = storage.get(key, MAX_BYTES)
    if stored is None:
        raise errors[0] if errors else StorageError(f"{storage.url}/{key} was written and is not there.")
    try:
        again = storage.put_if_absent(key, b"too late")
        kept = storage.get(key, MAX_BYTES) == stored
    finally:
        storage.delete(key)
    # A winner whose reply was lost may be told False; a loser is never told True.
    winners = [data for data, won in answers.items() if won]
    if again or not kept or any(data != stored for data in winners):
        raise ConfigurationError(
            f"{storage.url} ignores exclusive create: {len(winners) + again} of {WRITERS + 1} writers of one key "
            "were told that they had created it. Several workers would overwrite each other's commits there. Use "
            "another server, or say `single_writer` if there will only ever be one worker at a time."
        )
