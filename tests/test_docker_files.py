"""What can be told of the Docker files without pulling their images."""

import os
import shutil
import subprocess

import pytest

from tests.conftest import ROOT


def test_the_composed_stack_is_sound():
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose isn't installed; scripts/servers.sh installs it, as root")
    command = ["docker-compose", "-f", str(ROOT / "docker/compose.yaml"), "config", "-q"]
    secrets = {"AIRFLOW_SECRET_KEY": "a", "AIRFLOW_JWT_SECRET": "b"}
    done = subprocess.run(command, env={**os.environ, **secrets}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    env = {name: value for name, value in os.environ.items() if name not in secrets}
    without = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert without.returncode != 0
    assert "set it" in without.stderr


def test_the_build_takes_nothing_but_what_the_images_copy():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for path in (ROOT / "docker").rglob("*Dockerfile"):
        for line in path.read_text().splitlines():
            if line.startswith("COPY"):
                copied |= {word.split("/")[0] for word in line.split()[1:-1] if not word.startswith("--")}
    assert copied == allowed
