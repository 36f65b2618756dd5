"""The devices that a step needs, and an objective whose source comes with it."""

import pytest

TWO = '{"max_trials": 2, "seed": 1, "max_consecutive_failed_trials": 9}'
SOURCE = """
def parabola(hp, offset=0.0):
    x = hp.Float("x", -1, 1)
    if x > 5:
        raise ValueError("never")
    return (x - offset) ** 2

def broken(hp):
    return hp.Float("x", -1, 1) / 0
"""


@pytest.mark.slow
def test_a_machine_without_the_gpus_that_were_asked_for_is_left_before_a_claim(commands):
    code, output = commands.step("--oracle", TWO, "--gpus", "1")
    assert code == 75
    (message,) = [line for line in output.splitlines() if line.startswith("ktcomponent:")]
    assert "1 GPUs were asked for, and tensorflow sees 0" in message
    assert "Traceback" not in output
    assert commands.open().state.trials == {}


def test_gpus_of_a_framework_that_is_not_there_are_bad_configuration(commands):
    code, output = commands.step("--oracle", TWO, "--gpus", "1", KERAS_BACKEND="torch")
    assert code == 2
    assert "torch can't be imported" in output
    code, output = commands.step("--oracle", TWO, "--gpus", "1", KERAS_BACKEND="numpy")
    assert code == 2
    assert "expected one of tensorflow, torch, jax" in output


def test_a_black_box_loads_no_framework_to_tell_its_devices(commands):
    code, output = commands.step("--oracle", TWO)
    assert code == 0
    assert "devices:" not in output


def test_an_objective_may_come_as_its_source(commands):
    code, output = commands.step(
        *("--oracle", TWO, "--search-kwargs", '{"offset": -1.0}'),
        hypermodel="ktcomponent_source:parabola",
        KTCOMPONENT_SOURCE=SOURCE,
    )
    assert code == 0, output
    assert min(trial["score"] for trial in commands.open().state.trials.values()) == 0.0


def test_a_failure_shows_the_line_of_the_shipped_source(commands):
    commands.step("--oracle", TWO, hypermodel="ktcomponent_source:broken", KTCOMPONENT_SOURCE=SOURCE)
    _, output = commands.run("status", commands.study)
    assert 'return hp.Float("x", -1, 1) / 0' in output


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "KTCOMPONENT_SOURCE, which is not set"),
        ("def f(hp:\n", "doesn't run: SyntaxError"),
        ("import nowhere\n", "doesn't run: ModuleNotFoundError"),
        ("def other(hp): ...\n", "has no 'f'"),
    ],
)
def test_source_that_does_not_run_is_one_message(commands, source, message):
    env = {} if source is None else {"KTCOMPONENT_SOURCE": source}
    code, output = commands.step("--oracle", TWO, hypermodel="ktcomponent_source:f", **env)
    assert code == 2
    assert message in output
    assert "Traceback" not in output
