"""Moving a KerasTuner project into a study."""

import json
import shutil

import pytest

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.importer import import_project
from ktcomponent.storage import open_storage
from ktcomponent.study import Study, artifacts

SPEC = {"class": "RandomSearch", "objective": "loss", "max_trials": 6}


def space():
    hp = HyperParameters()
    hp.Float("x", 0, 1)
    return hp


def trial_file(trial_id, status, x, score):
    hp = space()
    hp.values["x"] = x
    found = {"direction": "min", "observations": [{"value": [score], "step": 3}]}
    return {
        "trial_id": trial_id,
        "hyperparameters": hp.get_config(),
        "metrics": {"metrics": {"loss": found} if status == "COMPLETED" else {}},
        "score": score if status == "COMPLETED" else None,
        "best_step": 3,
        "status": status,
        "message": "Traceback" if status == "FAILED" else None,
    }


@pytest.fixture
def project(tmp_path):
    """Files as KerasTuner 1.4.8 leaves them: a completed, a failed and a running trial."""
    folder = tmp_path / "dir" / "project"
    statuses = {"0": "COMPLETED", "1": "FAILED", "2": "RUNNING"}
    for n, (trial_id, status) in enumerate(statuses.items()):
        (folder / f"trial_{trial_id}").mkdir(parents=True)
        content = trial_file(trial_id, status, 0.25 * (n + 1), 0.5)
        (folder / f"trial_{trial_id}" / "trial.json").write_text(json.dumps(content))
    (folder / "trial_0" / "checkpoint.weights.h5").write_bytes(b"weights")
    state = {
        "ongoing_trials": {"tuner0": "2"},
        "hyperparameters": space().get_config(),
        "start_order": ["0", "1", "2"],
        "end_order": ["0", "1"],
        "retry_queue": [],
        "seed": 77,
        "seed_state": 91,
    }
    (folder / "oracle.json").write_text(json.dumps(state))
    return folder


def change(project, **keys):
    path = project / "oracle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def change_trial(project, **keys):
    path = project / "trial_0" / "trial.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_trials_scores_seed_and_files_are_brought_in(project, tmp_path):
    study = import_project(str(project), str(tmp_path / "study"), SPEC)
    state = Study.open(open_storage(tmp_path / "study")).state
    assert state.seq == study.state.seq
    assert [(t["status"], t["values"]["x"], t["score"]) for t in state.trials.values()] == [
        ("COMPLETED", 0.25, 0.5),
        ("FAILED", 0.5, None),
        ("RUNNING", 0.75, None),
    ]
    assert state.document["oracle"]["seed"] == 77
    assert {i: lease["state"] for i, lease in state.leases.items()} == {
        "0": "ended",
        "1": "ended",
        "2": "free",
    }
    folder = tmp_path / "files"
    folder.mkdir()
    artifacts.download(study.storage, state.generation, "0", state.leases["0"], folder)
    assert (folder / "checkpoint.weights.h5").read_bytes() == b"weights"


def test_the_search_goes_on_and_runs_first_what_had_not_ended(project, commands):
    code, output = commands.run("import", str(project), "--to", commands.study, "--oracle", json.dumps(SPEC))
    assert code == 0, output
    assert "1 completed, 1 failed" in output
    (commands.folder / "box.py").write_text("def box(hp):\n    return {'loss': hp.Float('x', 0, 1)}\n")
    code, output = commands.step(hypermodel="box:box")
    assert code == 0, output
    trials = commands.open().state.trials
    assert len(trials) == 6
    assert trials["2"]["score"] == trials["2"]["values"]["x"] == 0.75
    assert len({t["values"]["x"] for t in trials.values()}) == 6


def test_an_import_that_was_broken_off_goes_on(project, tmp_path, monkeypatch):
    from ktcomponent import importer

    bring, calls = importer._bring, []

    def killed(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        bring(*args)

    monkeypatch.setattr(importer, "_bring", killed)
    with pytest.raises(KeyboardInterrupt):
        import_project(str(project), str(tmp_path / "study"), SPEC)
    monkeypatch.setattr(importer, "_bring", bring)
    state = import_project(str(project), str(tmp_path / "study"), SPEC).state
    assert [t["status"] for t in state.trials.values()] == ["COMPLETED", "FAILED", "RUNNING"]
    assert state.leases["0"]["attempt"] == 1


def test_an_import_that_was_killed_in_an_upload_goes_on_and_nobody_interferes(project, commands, monkeypatch):
    from ktcomponent import importer

    upload = importer.artifacts.upload

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(importer.artifacts, "upload", killed)
    monkeypatch.setattr(importer.StudyLedger, "close", lambda *_, **__: None)  # killed, so it can't
    with pytest.raises(KeyboardInterrupt):
        import_project(str(project), commands.study, SPEC)
    monkeypatch.undo()
    assert importer.artifacts.upload is upload
    (commands.folder / "box.py").write_text("def box(hp):\n    return {'loss': hp.Float('x', 0, 1)}\n")
    code, output = commands.step(hypermodel="box:box")
    assert code == 75, output
    assert "import" in output
    state = import_project(str(project), commands.study, SPEC).state
    assert [(t["status"], t["values"]["x"]) for t in state.trials.values()] == [
        ("COMPLETED", 0.25),
        ("FAILED", 0.5),
        ("RUNNING", 0.75),
    ]
    assert commands.step(hypermodel="box:box")[0] == 0


def test_a_link_in_a_project_is_not_followed(project, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (project / "trial_0" / "linked").symlink_to(tmp_path / "secret")
    state = import_project(str(project), str(tmp_path / "study"), SPEC).state
    assert [f["name"] for f in state.leases["0"]["files"]] == ["checkpoint.weights.h5"]


def test_a_study_that_is_there_is_left_alone(project, commands):
    commands.step("--batch-size", "1", "--oracle", '{"max_trials": 4}')
    before = commands.open().state.seq
    with pytest.raises(ConfigurationError, match="already"):
        import_project(str(project), commands.study, SPEC)
    assert commands.open().state.seq == before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"class": "Hyperband", "objective": "loss"}, "brackets"),
        ({"class": "BayesianOptimization", "objective": "loss"}, "beta"),
        ({**SPEC, "objective": "val_loss"}, "no score for the objective"),
        ({**SPEC, "max_trials": 2}, "max_trials=2"),
        ({**SPEC, "class": "Annealing"}, "no oracle 'Annealing'"),
        ({**SPEC, "objective": [{"name": "loss", "direction": "max"}]}, "gives -0.5"),
    ],
)
def test_another_oracle_is_refused_and_nothing_is_written(project, tmp_path, spec, message):
    with pytest.raises(ConfigurationError, match=message):
        import_project(str(project), str(tmp_path / "study"), spec)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: (p / "oracle.json").unlink(), "no KerasTuner project"),
        (lambda p: (p / "oracle.json").write_text("{"), "no JSON"),
        (lambda p: (p / "oracle.json").write_text("[]"), "no JSON object"),
        (lambda p: change(p, hyperparameters=None), "no oracle of KerasTuner"),
        (lambda p: (p / "trial_1" / "trial.json").unlink(), "is missing"),
        (lambda p: (p / "trial_1" / "trial.json").write_text("{}"), "no trial of KerasTuner"),
        (lambda p: change(p, start_order=["../../secret"]), "no trial's id"),
        (lambda p: change(p, start_order=[["0"]]), "no trial's id"),
        (lambda p: change(p, start_order=[".."]), "no trial's id|not a usable name|missing"),
        (lambda p: change(p, seed="x"), "seed"),
        (lambda p: change(p, start_order=None), "start_order is no list"),
        (lambda p: change(p, end_order=5), "end_order is no list"),
        (lambda p: change(p, start_order=["0", "1", "1"]), "distinct"),
        (lambda p: change_trial(p, score="abc"), "no trial of KerasTuner"),
        (lambda p: change_trial(p, metrics=[]), "no trial of KerasTuner"),
        (lambda p: change_trial(p, status="DONE"), "unknown status"),
        (lambda p: change_trial(p, best_step={"a": 1}), "best_step"),
        (lambda p: change_trial(p, score=float("nan")), "score is nan"),
        (lambda p: (p / "trial_1" / "trial.json").write_text("[" * 100000), "no JSON"),
    ],
)
def test_what_is_no_project_is_refused_and_nothing_is_written(project, tmp_path, spoil, message):
    spoil(project)
    with pytest.raises(ConfigurationError, match=message):
        import_project(str(project), str(tmp_path / "study"), SPEC)
    assert not (tmp_path / "study").exists()


def test_the_command_refuses_with_one_message(project, commands):
    change(project, start_order=["../../secret"])
    code, output = commands.run("import", str(project), "--to", commands.study, "--oracle", json.dumps(SPEC))
    assert code == 2
    assert output.startswith("ktcomponent: ")
    assert "no trial's id" in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["RandomSearch", "Hyperband"])
def test_a_real_project_moves_over_with_its_models(name, tmp_path):
    """Searched by KerasTuner, imported, gone on with; the models give what they gave there."""
    import engine
    import keras_tuner
    import numpy as np

    import ktcomponent

    settings = {
        "RandomSearch": {"max_trials": 2},
        "Hyperband": {"max_epochs": 2, "factor": 2},
    }[name]
    (x, y), fit = engine.load()
    there = getattr(keras_tuner, name)(
        engine.counting, "val_loss", seed=1, directory=str(tmp_path), project_name="kt", **settings
    )
    there.search(x, y, **fit, epochs=2, verbose=0)
    spec = {"class": name, "objective": "val_loss", **settings}
    if name == "RandomSearch":
        spec["max_trials"] = 3
    else:
        spec["hyperband_iterations"] = 2
    import_project(str(tmp_path / "kt"), str(tmp_path / "moved" / "kt"), spec)
    shutil.rmtree(tmp_path / "kt")
    del spec["class"], spec["objective"]
    here = getattr(ktcomponent, name)(
        engine.counting, "val_loss", directory=str(tmp_path / "moved"), project_name="kt", **spec
    )
    for a, b in zip(there.oracle.get_best_trials(9), here.oracle.get_best_trials(9), strict=False):
        assert (a.trial_id, a.score, a.hyperparameters.values) == (
            b.trial_id,
            b.score,
            b.hyperparameters.values,
        )
    model = here.get_best_models()[0]
    assert model.evaluate(x, y, verbose=0) == pytest.approx(here.oracle.get_best_trials()[0].score)
    count = len(here.oracle.trials)
    here.search(x, y, **fit, epochs=2, verbose=0)
    assert len(here.oracle.trials) == (3 if name == "RandomSearch" else 2 * count)
    if name == "Hyperband":
        assert np.allclose(
            [t.score for t in here.oracle.trials.values()],
            [100 - t.hyperparameters.get("tuner/epochs") for t in here.oracle.trials.values()],
        )
