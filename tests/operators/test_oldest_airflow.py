"""The operators' unit tests on the oldest supported Airflow, in an environment of its own."""

import os
import subprocess

import pytest

from tests.conftest import ROOT

PYTHON = ROOT / ".venv-airflow-3.1/bin/python"


@pytest.mark.slow
@pytest.mark.skipif(os.environ.get("KTCOMPONENT_OLDEST") == "1", reason="runs in the newest Airflow only")
def test_the_operators_work_on_the_oldest_airflow(tmp_path):
    if not PYTHON.exists():
        pytest.skip("the oldest Airflow isn't installed; scripts/install_oldest.sh installs it")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "PYTEST", "PYTHONDONT"))}
    env |= {"AIRFLOW_HOME": str(tmp_path), "CI": "", "KTCOMPONENT_OLDEST": "1"}
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/operators"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    version = subprocess.run(
        [PYTHON, "-m", "airflow", "version"], env=env, capture_output=True, text=True, check=True
    )
    assert version.stdout.strip().splitlines()[-1].startswith("3.1.")
