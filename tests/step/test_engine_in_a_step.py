"""Programs of KerasTuner inside `ktcomponent step`."""

import json
import os
import signal
import threading
import time

import pytest

from ktcomponent.storage import open_storage
from ktcomponent.study import Study, artifacts

pytestmark = pytest.mark.slow

HYPERBAND = json.dumps(
    {"class": "Hyperband", "objective": "val_loss", "max_epochs": 4, "factor": 2, "seed": 1}
)


def hyperband(commands, *options, hypermodel="engine:counting"):
    return commands.step(
        "--oracle", HYPERBAND, "--search-args", "engine:load", *options, hypermodel=hypermodel
    )


def check_hyperband(study, tmp_path):
    """Every round ran to its epoch, on top of what the earlier trial had learned."""
    state = study.state
    assert len(state.trials) == 15
    promoted = 0
    for trial_id, trial in state.trials.items():
        values = trial["values"]
        assert trial["status"] == "COMPLETED"
        assert trial["score"] == pytest.approx(100 - values["tuner/epochs"]), values
        folder = tmp_path / f"files-{trial_id}"
        folder.mkdir()
        artifacts.download(study.storage, state.generation, trial_id, state.leases[trial_id], folder)
        (execution,) = json.loads((folder / "history.json").read_text())["executions"]
        assert len(execution["loss"]) == values["tuner/epochs"] - values["tuner/initial_epoch"]
        promoted += "tuner/trial_id" in values
    assert promoted == 5
    assert state.stop is not None


def test_hyperband_continues_models_over_steps(commands, tmp_path):
    codes = []
    while not codes or codes[-1] == 0:
        code, output = hyperband(commands, "--batch-size", "6")
        assert code in (0, 99), output
        codes.append(code)
    assert codes == [0, 0, 0, 99]
    check_hyperband(commands.open(), tmp_path)


def test_hyperband_goes_on_after_a_kill_and_with_a_hypermodel_class(commands, tmp_path):
    first = commands.start(
        "step",
        *("--study", commands.study, "--hypermodel", "engine:CountingModel", "--search-args", "engine:load"),
        *("--oracle", HYPERBAND, "--owner", "me"),
    )
    end = time.monotonic() + 120
    while time.monotonic() < end:
        study = Study.find(open_storage(commands.study))
        if study is not None and len(study.state.trials) >= 5 and study.state.running():
            break
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    code, output = hyperband(commands, "--owner", "me", hypermodel="engine:CountingModel")
    assert code == 0, output
    check_hyperband(commands.open(), tmp_path)


def test_hyperband_in_two_lanes(commands, tmp_path):
    results = {}

    def lane(name):
        results[name] = hyperband(commands, "--owner", name, "--max-wait", "60")

    lanes = [threading.Thread(target=lane, args=(name,)) for name in ("a", "b")]
    for thread in lanes:
        thread.start()
    for thread in lanes:
        thread.join()
    assert {code for code, _ in results.values()} <= {0, 99}, results
    check_hyperband(commands.open(), tmp_path)


def test_hooks_have_the_same_effect_as_in_a_notebook(commands, monkeypatch):
    import engine

    code, output = commands.step("--search-args", "engine:load", hypermodel="engine:traced_tuner")
    assert code == 0, output
    in_a_step = (commands.folder / "trace.txt").read_text().split()
    notebook = commands.folder / "notebook"
    notebook.mkdir()
    monkeypatch.chdir(notebook)
    args, kwargs = engine.load()
    engine.traced_tuner().search(*args, verbose=0, **kwargs)
    assert in_a_step == (notebook / "trace.txt").read_text().split()
    assert set(in_a_step) == set(engine.HOOKS)
    kept = [
        Study.open(open_storage(url)).state.document["tuners"]
        for url in (commands.study, notebook / "traced")
    ]
    assert kept == [{"tuner0": {"seen": 2}}] * 2


def test_the_state_of_a_tuner_is_kept_per_tuner_and_goes_on(commands):
    options = ("--search-args", "engine:load", "--batch-size", "1")
    for tuner_id in ("a", "a", "b"):
        commands.step(*options, hypermodel="engine:traced_tuner", KERASTUNER_TUNER_ID=tuner_id)
    # The third step found the search over, so "b" has nothing.
    assert commands.open().state.document["tuners"] == {"a": {"seen": 2}}


def test_with_an_oracle_address_everybody_is_a_worker_and_is_told_once(commands):
    code, output = commands.step(
        "--search-args",
        "engine:load",
        hypermodel="engine:traced_tuner",
        KERASTUNER_ORACLE_IP="127.0.0.1",
        KERASTUNER_ORACLE_PORT="8000",
        KERASTUNER_TUNER_ID="chief",
    )
    assert code == 0, output
    assert output.count("KERASTUNER_ORACLE_IP") == 1
    assert commands.open().state.document["tuners"] == {"chief": {"seen": 2}}


@pytest.mark.parametrize("hypermodel", ["StrictHook", "OwnFit"])
def test_a_step_adds_no_argument_and_writes_no_bars(commands, hypermodel):
    oracle = json.dumps({"objective": "val_loss", "max_trials": 2, "seed": 1})
    code, output = commands.step(
        "--oracle", oracle, "--search-args", "engine:load", hypermodel=f"engine:{hypermodel}"
    )
    assert code == 0, output
    assert [t["status"] for t in commands.open().state.trials.values()] == ["COMPLETED"] * 2
    assert not any(character in output for character in "\x1b\x08\r━")
