"""The same programs against `keras_tuner` and `ktcomponent`."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "parity" in item.path.parts:
            item.add_marker(pytest.mark.slow)  # both packages import Keras


@pytest.fixture(scope="session")
def theirs() -> ModuleType:
    return importlib.import_module("keras_tuner")


@pytest.fixture(scope="session")
def ours() -> ModuleType:
    return importlib.import_module("ktcomponent")


@pytest.fixture(params=["keras_tuner", "ktcomponent"])
def either(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the two packages: what holds for KerasTuner must hold here."""
    return importlib.import_module(request.param)
