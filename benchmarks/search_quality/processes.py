"""Searches in processes of their own, each with one thread."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

ONE_THREAD = {
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT"), "1"
    ),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
}
"""LOKY's is for SMAC, whose forest takes as many threads as there are cores."""


def each(function: Callable[[Any], Any], jobs: Sequence[Any], workers: int) -> Iterator[tuple[Any, Any]]:
    """Each job and its result, as they end; or the exception that a job ended with.

    SIGTERM ends it after the jobs that run then.
    """
    os.environ.update(ONE_THREAD)  # the processes are started anew, and read it
    started_anew = multiprocessing.get_context("spawn")
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    pool = concurrent.futures.ProcessPoolExecutor(workers, started_anew)
    try:
        running = {pool.submit(function, job): job for job in jobs}
        for ended in concurrent.futures.as_completed(running):
            error = ended.exception()
            if isinstance(error, concurrent.futures.BrokenExecutor):
                raise error
            yield running[ended], ended.result() if error is None else error
    finally:
        pool.shutdown(cancel_futures=True)
        signal.signal(signal.SIGTERM, before)
