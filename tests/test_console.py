"""Tables and a bar in a terminal, plain lines elsewhere."""

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest

from ktcomponent import console, report
from ktcomponent.oracles import RandomSearchOracle
from ktcomponent.tuners.progress import Progress
from tests.conftest import USER_CODE

PROGRAM = """
import ktcomponent

class Box(ktcomponent.Tuner):
    def run_trial(self, trial):
        x = trial.hyperparameters.Float("x[red]", -1, 1)
        with_default = trial.hyperparameters.Boolean("flag", default=True)
        return x ** 2

oracle = ktcomponent.oracles.RandomSearchOracle(max_trials=3, seed=1)
tuner = Box(oracle, directory="d", project_name="p")
tuner.search()
tuner.search_space_summary(extended=True)
tuner.results_summary(2)
"""


def in_a_terminal(arguments, folder):
    """What a program writes to a terminal of 100 columns."""
    main, terminal = pty.openpty()
    env = {**os.environ, "COLUMNS": "100", "TERM": "xterm", "PYTHONPATH": str(USER_CODE)}
    process = subprocess.Popen(arguments, stdout=terminal, stderr=terminal, cwd=folder, env=env)
    os.close(terminal)
    output, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        readable, _, _ = select.select([main], [], [], 1)
        try:
            data = os.read(main, 65536) if readable else b""
        except OSError:  # the program closed its end
            break
        output += data
    os.close(main)
    assert process.wait(timeout=30) == 0, output
    return output.decode()


def test_a_search_in_a_terminal_has_tables_and_a_bar(tmp_path):
    output = in_a_terminal([sys.executable, "-c", PROGRAM], tmp_path)
    text = re.sub(r"\x1b\[[0-9;]*m", "", output)
    assert "Trial 0 1 of 3" in text
    assert re.search(r"│ x\[red\] +│ [-0-9.e]+ +│ [-0-9.e]+ +│", text)  # a name is no markup
    assert "━" in text
    assert "2/3 trials" in text
    assert re.search(r"about [0-9.]+ s left", text)
    assert "┃ trial ┃ status    ┃ score" in text
    assert "┃ hyperparameter ┃ type" in text


def test_without_a_terminal_there_are_plain_lines(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f│━┃]", run.stdout)
    lines = run.stdout.splitlines()
    assert re.fullmatch(r"trial 1 of 3: .* -> default_objective [^,]+, best .*, 2 left \(.*\)", lines[0])
    assert "x[red]  type: Float  domain: min_value=-1.0, max_value=1.0, sampling=linear  default: -1" in lines
    assert any(line.startswith(("0  status: COMPLETED", "1  status", "2  status")) for line in lines)


def test_status_in_a_terminal_is_a_table(commands, tmp_path):
    commands.step("--oracle", '{"max_trials": 2, "seed": 1}')
    output = in_a_terminal([sys.executable, "-m", "ktcomponent", "status", commands.study], tmp_path)
    assert "│ trials" in output
    _, plain = commands.run("status", commands.study)
    assert "│" not in plain
    assert "2 of 2 planned: 2 completed" in plain


def test_status_gives_the_traceback_of_the_last_failure(commands):
    code, _ = commands.step("--oracle", '{"max_trials": 9, "seed": 1}', hypermodel="fast:failing")
    assert code == 2
    study = commands.open()
    told = report.status(study)
    kept = study.state.trials[told["last_failure"]["trial_id"]]["message"]
    assert told["last_failure"]["message"] == kept
    assert "Traceback (most recent call last)" in kept
    assert "in failing" in kept
    _, output = commands.run("status", commands.study)
    assert "Traceback (most recent call last)" in output
    assert output.count("failure   trial 2: ") == 1


def test_a_study_without_failures_has_none(commands):
    commands.step("--oracle", '{"max_trials": 2, "seed": 1}')
    assert report.status(commands.open())["last_failure"] is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (8.13, "8.1 s"), (180, "3 min"), (9000, "2.5 h")]
)
def test_durations(seconds, text):
    assert console.duration(seconds) == text


def test_a_failed_first_trial_has_no_best_yet(capsys):
    oracle = RandomSearchOracle("loss", max_trials=4)
    oracle.hyperparameters.Float("x", 0, 1)
    progress = Progress(oracle)
    trial = oracle.create_trial("t")
    progress.trial_begins(trial)
    trial.status, trial.message = "FAILED", "Traceback:\nValueError: no"
    oracle.end_trial(trial)
    progress.trial_ended(trial)
    assert re.fullmatch(
        r"trial 1 of 4: x=\S+ -> FAILED: ValueError: no, 0.0 s, 3 left \(0.0 s\)\n", capsys.readouterr().out
    )
