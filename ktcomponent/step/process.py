"""The training child as a process: started in a group of its own, ended whole.

A guard, a second tiny process, waits for the supervisor's death and then kills the group: a child that is
busy in C++ can't watch for that itself, and what it started in turn is in its group too.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from typing import Any

_GUARD = """
import os, shutil, signal, sys
sys.stdin.read()
try:
    os.killpg(int(sys.argv[1]), signal.SIGKILL)
except ProcessLookupError:
    pass
shutil.rmtree(sys.argv[2], ignore_errors=True)
"""


class TrainingChild:
    """A running training child.

    Args:
        order: What it is to do; `ready` is added.
        scratch: Its local folder, which the guard removes.
    """

    def __init__(self, order: dict[str, Any], scratch: str) -> None:
        self._has_ended = False
        self._heard = b""
        self._is_silent = False
        self._pipe, its_end = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ktcomponent.step.child"],
            stdin=subprocess.PIPE,
            pass_fds=[its_end],
            process_group=0,
            text=True,
        )
        os.close(its_end)
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(self._process.pid), scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._tell(json.dumps({**order, "scratch": scratch, "ready": its_end}))

    def is_ready(self) -> bool:
        """Whether it has checked everything and waits for `go`."""
        return b"ready\n" in self._heard

    def said_its_end(self) -> bool:
        """Whether it ended by its own main function, and not by user code that ended the process."""
        return b"ended\n" in self._heard

    def go(self) -> None:
        """Lets it claim trials."""
        self._tell("go")

    def wait(self, seconds: float) -> int | None:
        """Its return code (negative: killed by that signal), or None while it runs. Ends early when it says something."""
        self._listen(seconds)
        if self._process.poll() is not None:
            while self._listen(0):
                pass
        return self._process.returncode

    def _listen(self, seconds: float) -> bool:
        """Waits for what it says, or for its end; whether it said something."""
        if self._is_silent:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            return False
        readable, _, _ = select.select([self._pipe], [], [], seconds)
        said = os.read(self._pipe, 64) if readable else b""
        self._is_silent = bool(readable) and not said  # its end of the pipe is closed
        self._heard += said
        return bool(said)

    def end(self) -> None:
        """Kills what is left of it and of everything it started."""
        if self._has_ended:
            return
        self._has_ended = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._guard.kill()
        self._guard.wait()
        for pipe in (self._process.stdin, self._guard.stdin):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        os.close(self._pipe)

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            if pipe is not None:
                pipe.write(f"{line}\n")
                pipe.flush()
