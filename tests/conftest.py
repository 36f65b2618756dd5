"""What several rooms of tests share."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest

from ktcomponent.storage import Storage, open_storage
from ktcomponent.study import Study

ROOT = Path(__file__).resolve().parent.parent
USER_CODE = ROOT / "tests" / "user_code"
sys.path.insert(0, str(USER_CODE))
sys.path.insert(0, str(ROOT / "scripts"))

with contextlib.suppress(ModuleNotFoundError):  # which the environment of the oldest Airflow doesn't have
    from hypothesis import HealthCheck, settings

    # Two processes of tests and what they start share two cores: how long an example takes says nothing.
    settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("shared")


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a bucket of a real S3 server on this machine, which the environment names to every process."""
    from tests import servers

    server = servers.start_s3(tmp_path_factory.mktemp("s3"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.env.items():
            patch.setenv(name, value)
        # fsspec may have read its environment before.
        patch.setitem(fsspec.config.conf, "s3", {"endpoint_url": server.env["FSSPEC_S3_ENDPOINT_URL"]})
        yield server.url
    server.stop()


@pytest.fixture(params=["file", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty place for a study."""
    return open_storage(tmp_path / "study" if request.param == "file" else f"memory:/{tmp_path}")


@dataclasses.dataclass
class Commands:
    """Runs the command line in processes of its own, as a user would.

    Attributes:
        study: URL of the study that `step` and `prepare` use.
        folder: The working directory.
    """

    study: str
    folder: Path
    started: list[subprocess.Popen[str]] = dataclasses.field(default_factory=list)

    @property
    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": f"{USER_CODE}{os.pathsep}{ROOT / 'dags'}",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    def start(self, *arguments: str, prefix: Sequence[str] = (), **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "ktcomponent", *arguments],
            env={**self.env, **env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, prefix: Sequence[str] = (), **env: str) -> tuple[int, str]:
        """Runs a command, behind others if need be; returns its exit code and its output."""
        process = self.start(*arguments, prefix=prefix, **env)
        output, _ = process.communicate(timeout=240)
        return process.returncode, output

    def step(self, *options: str, hypermodel: str = "fast:objective", **env: str) -> tuple[int, str]:
        return self.run("step", "--study", self.study, "--hypermodel", hypermodel, *options, **env)

    def open(self) -> Study:
        return Study.open(open_storage(self.study))


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    made = Commands(str(tmp_path / "study"), tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


CONTAINERS = ("test_docker.py", "test_docker_operator.py", "test_kubernetes.py")
"""These share one Docker engine."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where tests run in several processes, those of a module share one, and so their servers."""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.split("::")[0]
            return "containers" if module.endswith(CONTAINERS) else module

    return ByModule(config, log)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """In CI everything a test needs is there, so a skip is a failure."""
    del item, call
    report = (yield).get_result()
    if report.skipped and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped in CI: {report.longrepr}"
