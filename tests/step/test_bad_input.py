"""What can't work is said in one message, with exit code 2, and nothing is left behind."""

import json
import os
import subprocess
import sys

import pytest

from ktcomponent.study import entry as entries
from ktcomponent.study import layout

ORACLE = json.dumps({"max_trials": 5, "seed": 1})


def refused(result, *words):
    code, output = result
    assert code == 2, output
    assert "Traceback" not in output
    for word in words:
        assert word in output
    return output


@pytest.mark.parametrize(
    ("hypermodel", "words"),
    [
        ("nowhere.model:build", ["nowhere", "can't be imported", "PYTHONPATH"]),
        ("fast:nothing", ["the module fast has no 'nothing'"]),
        ("fast", ["package.module:name"]),
        ("broken:build", ["broken", "SyntaxError"]),
        ("fast:math", ["Expected a function"]),
        ("no_tuner:make", ["must return a Tuner"]),
        ("fast:NeedsArgument", ["class that needs arguments"]),
        ("fast:Search", ["makes its own oracle"]),
    ],
)
@pytest.mark.parametrize("command", ["step", "prepare"])
def test_a_hypermodel_that_can_not_be_had(commands, command, hypermodel, words):
    (commands.folder / "broken.py").write_text("def build(hp:\n")
    (commands.folder / "no_tuner.py").write_text("def make():\n    return 3\n")
    arguments = [command, "--study", commands.study, "--hypermodel", hypermodel, "--oracle", ORACLE]
    output = refused(commands.run(*arguments), *words)
    assert len(output.strip().splitlines()) == 1
    assert not os.path.exists(commands.study)


@pytest.mark.parametrize(
    ("oracle", "words"),
    [
        ('{"class": "Oracular"}', ["no oracle 'Oracular'", "RandomSearch"]),
        ('{"max_trails": 5}', ["no argument 'max_trails'", "max_trials"]),
        ('{"max_trials": -1}', ["at least 1", "-1"]),
        ('{"objective": "my_metric"}', ["my_metric", "direction"]),
        ('{"class": "fast:space"}', ["no subclass"]),
        ("{max_trials: 5}", ["no JSON"]),
        ("[1]", ["JSON object"]),
    ],
)
def test_an_oracle_that_does_not_exist(commands, oracle, words):
    refused(commands.step("--oracle", oracle), *words)
    assert not os.path.exists(commands.study)


def test_no_oracle_for_a_new_study(commands):
    refused(commands.step(), "--oracle must say how to search")
    assert not os.path.exists(commands.study)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--search-args", "fast:bad_load"], ["must return a tuple (args, kwargs)", "list"]),
        (["--search-args", "fast:none"], ["has no 'none'"]),
        (["--search-kwargs", "3"], ["JSON object"]),
        (["--deadline", "tomorrow"], ["is no time", "ISO 8601"]),
        (["--batch-size", "0"], ["--batch-size"]),
        (["--no-such-option"], ["--no-such-option"]),
    ],
)
def test_options_that_can_not_be(commands, options, words):
    refused(commands.step("--oracle", ORACLE, *options), *words)
    assert not os.path.exists(commands.study)


def written(commands):
    return sorted(p.relative_to(commands.folder) for p in (commands.folder / "study").rglob("*"))


@pytest.mark.parametrize("command", ["step", "prepare"])
@pytest.mark.parametrize(
    ("oracle", "words"),
    [
        ({"class": "own:Own"}, ["the oracle BayesianOptimization, not own:Own"]),
        ({"objective": "val_loss"}, ["the objective None", "val_loss"]),
    ],
)
def test_a_study_of_another_search(commands, command, oracle, words):
    (commands.folder / "own.py").write_text("import ktcomponent\nclass Own(ktcomponent.Oracle):\n    pass\n")
    assert commands.step("--oracle", ORACLE, "--batch-size", "1")[0] == 0
    before = written(commands)
    arguments = [
        command,
        "--study",
        commands.study,
        "--hypermodel",
        "fast:objective",
        "--oracle",
        json.dumps(oracle),
    ]
    refused(commands.run(*arguments), *words)
    assert written(commands) == before


def test_a_changed_domain_of_a_black_box_gives_the_claim_back(commands):
    assert commands.step("--oracle", ORACLE, "--batch-size", "1")[0] == 0
    refused(
        commands.step(hypermodel="fast:changed_domain"),
        "'x': max_value is 1.0 there and 2.0 here",
        "new study",
    )
    study = commands.open()
    assert study.state.running() == {}
    assert len(study.state.free()) == 1
    assert commands.step()[0] == 0
    assert [t["status"] for t in commands.open().state.trials.values()] == ["COMPLETED"] * 5


def test_new_hyperparameters_are_no_mistake(commands):
    commands.step("--oracle", ORACLE, "--batch-size", "1")
    assert commands.step(hypermodel="fast:more_hyperparameters")[0] == 0
    assert "y" in commands.open().state.trials["4"]["values"]


@pytest.mark.parametrize(
    ("hypermodel", "oracle", "words"),
    [
        (
            "fast:returns_nothing",
            {},
            ["returns_nothing() to return a Keras model, a float or a dict", "None"],
        ),
        ("fast:other_metrics", {"objective": "val_loss"}, ["val_loss", "cost"]),
        ("fast:other_metrics", {}, ["single float", "cost"]),
    ],
)
def test_what_a_trial_finds_out_gives_the_claim_back(commands, hypermodel, oracle, words):
    refused(commands.step("--oracle", json.dumps({"max_trials": 5, **oracle}), hypermodel=hypermodel), *words)
    study = commands.open()
    assert study.state.running() == {}
    assert study.state.stop is None
    assert [lease["losses"] for lease in study.state.leases.values()] == [0]


@pytest.mark.parametrize("command", ["step", "prepare", "status", "stop", "export"])
def test_a_study_of_a_newer_format(commands, command):
    commands.step("--oracle", ORACLE, "--batch-size", "1")
    about = commands.folder / "study" / layout.STUDY
    about.write_text(json.dumps({**json.loads(about.read_text()), "format": 2}))
    options = ["--hypermodel", "fast:objective"]
    arguments = {
        "step": ["--study", commands.study, *options],
        "prepare": ["--study", commands.study, *options],
    }
    refused(commands.run(command, *arguments.get(command, [commands.study])), "format 2", "Upgrade")


def test_a_commit_of_newer_software(commands):
    commands.step("--oracle", ORACLE, "--batch-size", "1")
    study = commands.open()
    entry = json.loads((commands.folder / "study" / layout.log(study.state.seq)).read_text())
    entry.pop("sha256")
    newer = {**entry, "seq": study.state.seq + 1, "prev_sha256": study.state.last_sha256, "min_reader": 7}
    (commands.folder / "study" / layout.log(study.state.seq + 1)).write_bytes(entries.encode(newer))
    refused(commands.step(), "newer software", "Upgrade")


def test_a_damaged_entry(commands):
    commands.step("--oracle", ORACLE, "--batch-size", "1")
    (commands.folder / "study" / layout.log(2)).write_text("{}")
    refused(commands.step(), layout.log(2), "checksum")
    refused(commands.run("status", commands.study), layout.log(2))


def test_a_url_whose_filesystem_is_not_installed(commands):
    (commands.folder / "s3fs.py").write_text("raise ImportError('No module named s3fs')\n")
    arguments = ["step", "--study", "s3://bucket/study", "--hypermodel", "fast:objective", "--oracle", ORACLE]
    refused(commands.run(*arguments, PYTHONPATH=str(commands.folder)), "pip install 'ktcomponent[s3]'")
    refused(commands.run(*["status", "weird://bucket/study"]), "weird")


def test_a_place_that_can_not_be_written_to(commands):
    (commands.folder / "file").write_text("")
    arguments = ["--study", str(commands.folder / "file" / "study"), "--hypermodel", "fast:objective"]
    refused(commands.run("step", *arguments, "--oracle", ORACLE), "can't be written to")
    refused(commands.run("prepare", *arguments, "--oracle", ORACLE), "can't be written to")
    refused(
        commands.run("step", "--study", "/proc/study", *arguments[2:], "--oracle", ORACLE),
        "can't be written to",
    )


@pytest.mark.parametrize("command", ["status", "stop", "export"])
def test_a_study_that_is_not_there(commands, command):
    refused(commands.run(command, commands.study), "There is no study at", "ktcomponent prepare")
    assert not os.path.exists(commands.study)


def test_an_export_of_too_few_trials(commands):
    commands.step("--oracle", ORACLE, "--batch-size", "2")
    out = commands.folder / "out"
    refused(
        commands.run("export", commands.study, "--to", str(out), "--min-trials", "3"),
        "2 completed",
        "at least 3",
    )
    assert not out.exists()


def test_a_study_that_may_only_be_read(commands):
    """Root may write everywhere, so the command runs without that privilege."""
    commands.step("--oracle", ORACLE, "--batch-size", "1")
    folders = [p for p in (commands.folder / "study", *(commands.folder / "study").rglob("*")) if p.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    unprivileged = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    step = ["step", "--study", commands.study, "--hypermodel", "fast:objective"]
    try:
        for command in (
            step,
            ["stop", commands.study],
            ["export", commands.study, "--to", commands.study + "/x"],
        ):
            refused(commands.run(*command, prefix=unprivileged), "can't be written to")
        assert commands.run("status", commands.study, prefix=unprivileged)[0] == 0
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_study_in_memory_is_refused(commands):
    refused(
        commands.run("step", "--study", "memory://s", "--hypermodel", "fast:objective"),
        "ends with its process",
    )


def test_a_setting_that_prepare_changes_takes_effect_and_is_recorded(commands):
    def prepare(**settings):
        oracle = {"class": "BayesianOptimization", "max_trials": 4, "seed": 1, **settings}
        user = ("--study", commands.study, "--hypermodel", "fast:objective")
        return commands.run("prepare", *user, "--oracle", json.dumps(oracle))

    assert prepare(beta=2.6)[0] == 0
    assert commands.step()[0] == 0
    code, output = prepare(beta=1.0, max_trials=6)
    assert code == 0, output
    study = commands.open()
    assert (study.state.config["oracle"]["beta"], study.state.stop) == (1.0, None)
    entry = json.loads(study.storage.get(layout.log(study.state.seq)))
    assert entry["op"] == "config"
    assert ["set", ["config", "oracle", "beta"], 1.0] in entry["patch"]
    assert commands.step()[0] == 0
    assert len(commands.open().state.trials) == 6


def test_old_failures_do_not_stop_a_search_that_prepare_resumes(commands):
    oracle = json.dumps({"max_trials": 12, "seed": 1})
    code, output = commands.step("--oracle", oracle, hypermodel="fast:failing")
    assert (code, "3" in output) == (2, True)
    assert commands.open().state.stop["failures"]
    # A retry of the step doesn't help; somebody has to say that the fault is mended.
    assert commands.step("--oracle", oracle, "--batch-size", "1")[0] == 99
    user = ("--study", commands.study, "--hypermodel", "fast:objective")
    code, output = commands.run("prepare", *user, "--oracle", oracle)
    assert code == 0, output
    assert commands.step("--oracle", oracle)[0] == 0
    statuses = [trial["status"] for trial in commands.open().state.trials.values()]
    assert statuses == ["FAILED"] * 3 + ["COMPLETED"] * 9


@pytest.mark.slow
@pytest.mark.parametrize("feature", ["distribution_strategy", "TensorBoard", "SavedModel"])
def test_what_needs_tensorflow_says_so_on_another_backend(commands, feature):
    (commands.folder / "elsewhere.py").write_text(
        """
import sys, types
import keras, numpy as np
import ktcomponent
from ktcomponent.errors import ConfigurationError
from ktcomponent.tuners.keras_support import write_model
from ktcomponent.tuners.tensorboard import configure

board = type("TensorBoard", (), {"log_dir": "logs"})()
try:
    if sys.argv[1] == "distribution_strategy":
        ktcomponent.RandomSearch(lambda hp: None, "loss", distribution_strategy=object())
    elif sys.argv[1] == "TensorBoard":
        configure([board], None, str)
    else:
        import pathlib
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        write_model(model, pathlib.Path("."), "model", saved_model=True)
except ConfigurationError as error:
    print(error)
"""
    )
    done = subprocess.run(
        [sys.executable, "elsewhere.py", feature],
        cwd=commands.folder,
        env={**commands.env, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.strip().splitlines()
    assert feature in line
    assert "here it runs on jax" in line
