"""The training child: user code, oracle, TensorFlow. `python -m ktcomponent.step.child`, started by a supervisor.

Standard input brings the order as one line of JSON, then "go" once the incarnation is open; "ready" goes back
over a pipe when everything that can be checked without a claim has been, and "ended" at the very end.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, TextIO

from ktcomponent.console import say
from ktcomponent.errors import KtcomponentError
from ktcomponent.step import exit_codes
from ktcomponent.step.plan import Plan
from ktcomponent.storage import open_storage
from ktcomponent.study import Study, Writer
from ktcomponent.tuners.host import Host, Limits, hosting


def main() -> int:
    sys.stdout, sys.stderr = _open_output(1), _open_output(2)
    line = sys.stdin.readline()
    if not line:
        return exit_codes.INFRASTRUCTURE  # the supervisor has ended already
    order = json.loads(line)
    warnings.showwarning = _warn
    os.set_inheritable(order["ready"], False)
    supervisor = os.fdopen(order["ready"], "w")
    code = _run_or_explain(order, supervisor)
    # Without this the supervisor takes an exit, with whatever code, for a worker that was lost. User code may have closed it.
    with contextlib.suppress(OSError):
        supervisor.write("ended\n")
        supervisor.close()
    return code


def _run_or_explain(order: dict[str, Any], supervisor: TextIO) -> int:
    try:
        return _run(order, supervisor)
    except KtcomponentError as error:
        say(f"ktcomponent: {error}")
        return error.exit_code
    except Exception:  # noqa: BLE001 - unexpected, so its traceback is wanted
        traceback.print_exc()
        return exit_codes.UNEXPECTED


def _run(order: dict[str, Any], supervisor: TextIO) -> int:
    from ktcomponent.step import devices, resolve

    plan = Plan.from_json(order["plan"])
    storage = open_storage(plan.study, **plan.storage_options)
    study = Study.find(storage)
    limits = Limits(
        trials=order["trials"],
        runtime_s=order["runtime_s"],
        deadline=plan.deadline_time(),
        max_wait_s=plan.max_wait,
    )
    writer = Writer(plan.owner, order["incarnation"])
    host = Host(
        *(storage, writer, Path(order["scratch"]), limits),
        settings=plan.settings,
        study=study,
        is_new=study is None,
    )
    args, kwargs = resolve.load_search_arguments(plan)
    with hosting(host):
        tuner = resolve.make_tuner(plan, study.state if study else None)
    devices.check(plan.gpus)
    supervisor.write("ready\n")
    supervisor.flush()
    if sys.stdin.readline() != "go\n":
        return exit_codes.INFRASTRUCTURE
    tuner.search(*args, **kwargs)
    study = host.study or Study.open(storage)
    study.refresh()
    state = study.state
    is_over = state.stop is not None and not state.running()
    # 99 says that this step found nothing left to do.
    has_done = state.finished_by(order["incarnations"]) > 0
    return exit_codes.SEARCH_OVER if is_over and not has_done else exit_codes.DONE


class _Pipe(io.FileIO):
    """Standard output that may have lost its reader: user code that prints must not fail its trial by it."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            return len(data)


def _open_output(descriptor: int) -> io.TextIOWrapper:
    raw = _Pipe(descriptor, "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), errors="backslashreplace", line_buffering=True)


def _warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    say(f"{category.__name__}: {message}")


if __name__ == "__main__":
    sys.exit(main())
