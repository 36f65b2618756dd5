"""Importing the packages is cheap: user code and DAG files pay for nothing they don't use."""

import subprocess
import sys

import pytest

HEAVY = ("tensorflow", "keras", "scipy", "docker", "kubernetes")


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("ktcomponent", (*HEAVY, "airflow", "numpy")),
        ("ktcomponent_airflow", HEAVY),
        ("ktcomponent.cli", (*HEAVY, "fsspec", "tenacity", "asyncio")),
        ("ktcomponent.step.child, ktcomponent.oracles.bayesian.sampler", (*HEAVY, "fsspec", "tenacity")),
    ],
)
def test_importing_a_package_loads_nothing_heavy(package, forbidden):
    code = f"import sys, {package}; print([m for m in {forbidden!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_dag_file_loads_nothing_heavy():
    names = "TuningTaskGroup, TuningOperator, DockerTuningOperator, StudySensor"
    code = f"import sys; from ktcomponent_airflow import {names}; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_public_names_resolve():
    import ktcomponent

    for name in ktcomponent.__all__:
        assert getattr(ktcomponent, name) is not None
    assert ktcomponent.oracles.RandomSearchOracle
    with pytest.raises(AttributeError):
        ktcomponent.no_such_name  # noqa: B018
