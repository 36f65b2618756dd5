"""Linear algebra on one thread: a proposal's matrices are small, and trainings run beside it."""

from __future__ import annotations

import contextlib
import functools

import threadpoolctl


def one_thread() -> contextlib.AbstractContextManager[object]:
    """Within it NumPy and SciPy, which must have been imported before, compute on one thread.

    Several threads that wait for each other make a proposal many times slower where other programs keep the
    processors busy; and a result's last bits depend on their number.
    """
    limit: contextlib.AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limit


@functools.cache
def _controller() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()
