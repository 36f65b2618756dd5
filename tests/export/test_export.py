"""Exports: whole, verifiable, loadable, of models and of black boxes."""

import csv
import hashlib
import json

import pytest

from ktcomponent.export import read_manifest
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.storage import open_storage

ORACLE = json.dumps({"max_trials": 4, "seed": 1})


def exported(commands, *options):
    code, output = commands.run("export", commands.study, "--to", str(commands.folder / "out"), *options)
    assert code == 0, output
    storage = open_storage(commands.folder / "out")
    return storage, read_manifest(storage), output


def test_an_export_lists_and_hashes_every_file(commands):
    commands.step("--oracle", ORACLE)
    storage, manifest, _ = exported(commands)
    for file in manifest["files"]:
        data = storage.get(file["name"])
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["size"], file["sha256"])
    state = commands.open().state
    assert manifest["study_id"] == state.study_id
    assert manifest["commit"] == state.seq
    assert manifest["trials"] == {"COMPLETED": 4}
    assert "ktcomponent" in manifest["versions"]


def test_the_best_hyperparameters_can_be_used_again(commands):
    commands.step("--oracle", ORACLE)
    storage, manifest, _ = exported(commands)
    best = json.loads(storage.get("best_hyperparameters.json"))
    scores = {i: t["score"] for i, t in commands.open().state.trials.items()}
    assert best["score"] == min(scores.values()) == scores[best["trial_id"]]
    hp = HyperParameters.from_config(best["hyperparameters"])
    assert hp.get("x") == best["values"]["x"]
    assert manifest["score"] == best["score"]


def test_the_table_has_a_line_a_trial(commands):
    commands.step("--oracle", ORACLE, hypermodel="fast:conditional")
    storage, _, _ = exported(commands)
    rows = list(csv.DictReader(storage.get("trials.csv").decode().splitlines()))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3"]
    assert {"hp.kind", "hp.of_a", "hp.of_b", "score", "status"} <= set(rows[0])


def test_an_export_of_an_unfinished_search_is_partial(commands):
    commands.step("--oracle", ORACLE, "--batch-size", "2")
    _, manifest, output = exported(commands)
    assert manifest["partial"]
    assert "partial" in output
    commands.step()
    commands.step()
    assert not exported(commands)[1]["partial"]


def test_the_manifest_is_gone_while_an_export_is_replaced(commands, monkeypatch):
    from ktcomponent import export

    commands.step("--oracle", ORACLE)
    target = commands.folder / "out"
    exported(commands)
    seen = []
    upload = export.Storage.upload
    monkeypatch.setattr(
        "ktcomponent.storage.local.LocalStorage.upload",
        lambda self, path, key: (seen.append((target / "manifest.json").exists()), upload(self, path, key)),
    )
    export.export(commands.study, str(target))
    assert seen
    assert not any(seen)
    assert (target / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("build", ["build", "build_only_callable"])
def test_models_are_exported_with_their_weights(commands, build):
    import keras
    import models
    import numpy as np

    user = ("--hypermodel", f"models:{build}", "--search-args", "models:load")
    oracle = json.dumps({"objective": "val_loss", "max_trials": 2, "seed": 1})
    code, output = commands.run("step", "--study", commands.study, *user, "--oracle", oracle)
    assert code == 0, output
    storage, manifest, _ = exported(commands, *user, "--top-k", "5")
    assert [m["file"] for m in manifest["models"]] == ["model_1.keras", "model_2.keras"]
    (_x, _y), fit = models.load()
    for exported_model in manifest["models"]:
        path = commands.folder / exported_model["file"]
        assert storage.download(exported_model["file"], path)
        model = keras.models.load_model(path, custom_objects={"OnlyCallable": models.OnlyCallable})
        assert np.isclose(
            model.evaluate(*fit["validation_data"], verbose=0), exported_model["score"], rtol=1e-4
        )
    assert manifest["versions"]["keras"] == keras.__version__


def test_an_export_in_the_place_of_another_leaves_nothing_of_it(commands):
    commands.step("--oracle", ORACLE)
    storage, manifest, _ = exported(commands)
    storage.put("model_2.keras", b"old")
    manifest["files"].append({"name": "model_2.keras"})
    storage.put("manifest.json", json.dumps(manifest).encode())
    exported(commands)
    assert storage.get("model_2.keras") is None


@pytest.mark.slow
def test_a_savedmodel_is_added_when_asked(commands):
    import models
    import numpy as np
    import tensorflow as tf

    user = ("--hypermodel", "models:build", "--search-args", "models:load")
    oracle = json.dumps({"objective": "val_loss", "max_trials": 1, "seed": 1})
    code, output = commands.run("step", "--study", commands.study, *user, "--oracle", oracle)
    assert code == 0, output
    storage, manifest, _ = exported(commands, *user, "--saved-model")
    (model,) = manifest["models"]
    assert (model["file"], model["saved_model"]) == ("model_1.keras", "model_1.saved_model")
    for file in manifest["files"]:
        assert hashlib.sha256(storage.get(file["name"])).hexdigest() == file["sha256"]
    served = tf.saved_model.load(str(commands.folder / "out" / "model_1.saved_model"))
    x, y = models.load()[1]["validation_data"]
    error = np.mean((np.array(served.serve(tf.constant(x))) - y) ** 2)
    assert np.isclose(error, model["score"], rtol=1e-4)


def test_a_savedmodel_needs_a_hypermodel(commands):
    commands.step("--oracle", ORACLE)
    code, output = commands.run("export", commands.study, "--saved-model")
    assert (code, "--hypermodel" in output) == (2, True)


@pytest.mark.slow
def test_the_best_model_can_be_trained_anew_with_all_the_data(commands, tmp_path):
    import keras

    user = ("--hypermodel", "models:build", "--search-args", "models:load")
    oracle = json.dumps({"objective": "val_loss", "max_trials": 2, "seed": 3})
    assert commands.run("step", "--study", commands.study, *user, "--oracle", oracle)[0] == 0
    user = ("--hypermodel", "models:build", "--search-args", "models:load_everything")
    storage, manifest, output = exported(commands, *user, "--retrain", "--top-k", "2")
    trial = commands.open().state.trials[manifest["trial"]]
    assert "training with 64 samples" in output
    assert f"anew for {trial['best_step'] + 1} epochs" in output
    (model,) = manifest["models"]
    assert (model["trial"], model["retrained"]) == (manifest["trial"], True)
    path = tmp_path / "model_1.keras"
    assert storage.download("model_1.keras", path)
    keras.models.load_model(path)


def test_only_keras_models_can_be_trained_anew(commands):
    commands.step("--oracle", ORACLE)
    export = ("export", commands.study, "--to", str(commands.folder / "out"), "--retrain")
    code, output = commands.run(*export)
    assert (code, "--retrain needs --hypermodel" in output) == (2, True)
    code, output = commands.run(*export, "--hypermodel", "fast:objective")
    assert (code, "Only Keras models can be trained anew" in output) == (2, True)
    assert not (commands.folder / "out").exists()
