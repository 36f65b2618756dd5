"""A Docker engine for the tests, with the trainer image: the one that DOCKER_HOST names, else one of our own.

Ours keeps its images in `.servers/docker` of the repository, so that only the first run builds them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else "docker"


class Engine:
    """A running engine.

    Attributes:
        url: For DOCKER_HOST.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kt-docker-"))
        self.url = f"unix://{self._folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            "dockerd",
            "--data-root",
            str(ROOT / ".servers/docker"),
            "--exec-root",
            f"{self._folder}/exec",
        ]
        # No debug lines, no bridge of the machine's own engine, if it has one.
        command += ["--pidfile", f"{self._folder}/pid", "-H", self.url, "--shutdown-timeout", "10"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 60
        while subprocess.run([PROGRAM, "info"], env=self.env, capture_output=True, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"dockerd doesn't start:\n{(self._folder / 'log').read_text()[-3000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def close(self) -> None:
        self.stop()
        for mount in self._folder.glob("exec/netns/*"):
            subprocess.run(["umount", "-l", mount], capture_output=True, check=False)
        with contextlib.suppress(OSError):
            shutil.rmtree(self._folder)

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_HOST": self.url}

    def run(self, *arguments: str) -> str:
        """Runs a `docker` command; returns what it printed."""
        done = subprocess.run(
            [PROGRAM, *arguments], env=self.env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr}")
        return done.stdout.strip()

    def containers(self, *options: str) -> list[str]:
        """Ids of our containers, whatever their state."""
        return self.run("ps", "-aq", "--no-trunc", "--filter", "label=ktcomponent.owner", *options).split()

    def build_images(self) -> None:
        """Trainer image and example: by the project's own script."""
        done = subprocess.run(
            [ROOT / "scripts/images.sh"], env=self.env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"scripts/images.sh: {done.stdout}{done.stderr}")


def start() -> Engine:
    """Starts an engine; skips the test where none can be started."""
    for program in ("dockerd", "debootstrap"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
            pytest.skip(f"{program} isn't installed; scripts/servers.sh installs it, as root")
    if os.geteuid() != 0:
        pytest.skip("only root can start a Docker engine")
    engine = Engine()
    try:
        engine.start()
    except BaseException:
        engine.close()
        raise
    return engine
