"""Tuners on real Keras models."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ktcomponent import HyperModel, RandomSearch, Tuner
from ktcomponent.errors import (
    ConfigurationError,
    CorruptEntry,
    FatalTypeError,
    FatalValueError,
    StudyMismatch,
    TooManyFailedTrials,
)
from ktcomponent.oracles import RandomSearchOracle
from ktcomponent.study import Study
from tests.conftest import USER_CODE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models():
    import models

    return models


def search(models, tmp_path, build=None, **kwargs):
    settings = {
        "objective": "val_loss",
        "max_trials": 3,
        "seed": 1,
        "directory": tmp_path,
        "project_name": "p",
    }
    tuner = RandomSearch(build or models.build, **{**settings, **kwargs})
    (x, y), fit = models.load()
    tuner.search(x, y, verbose=0, **fit)
    return tuner


def test_a_search_finds_the_space_trains_and_keeps_the_best_epoch(models, tmp_path):
    tuner = search(models, tmp_path, executions_per_trial=2)
    assert [hp.name for hp in tuner.oracle.get_space().space] == ["units", "rate", "dropout"]
    assert tuner.remaining_trials == 0
    x, y = models.data()
    best = tuner.oracle.get_best_trials()[0]
    model, other = tuner.get_best_models(2)
    assert np.isfinite(model.evaluate(x, y, verbose=0))
    assert other is not model
    assert tuner.get_best_hyperparameters()[0].values == best.hyperparameters.values
    lease = tuner._ledger.study.state.leases[best.trial_id]
    assert {f["name"] for f in lease["files"]} == {
        "build_config.json",
        "checkpoint.weights.h5",
        "history.json",
        "optimizer.json",
    }
    history = json.loads(tuner._host.storage.get(f"trials/{best.trial_id}/1-1/history.json"))
    assert len(history["executions"]) == 2
    scores = [min(e["val_loss"]) for e in history["executions"]]
    assert best.score == pytest.approx(np.mean(scores))
    reloaded = model.evaluate(x[48:], y[48:], verbose=0)
    assert reloaded == pytest.approx(min(scores), rel=1e-4)


def test_models_can_be_loaded_in_a_fresh_process(models, tmp_path):
    tuner = search(models, tmp_path)
    x, _ = models.data()
    expected = tuner.get_best_models()[0].predict(x[:3], verbose=0)
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); import models, ktcomponent\n"
        "t = ktcomponent.RandomSearch(models.build, 'val_loss', 3, directory=sys.argv[1], project_name='p')\n"
        "print(t.get_best_models()[0].predict(models.data()[0][:3], verbose=0).tolist())\n"
    )
    folder = models.__file__.rsplit("/", 1)[0]
    done = subprocess.run([sys.executable, "-c", code, tmp_path, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.allclose(json.loads(done.stdout.splitlines()[-1]), expected)


def test_a_checkpoint_that_was_changed_on_storage_is_refused(models, tmp_path):
    tuner = search(models, tmp_path, max_trials=1)
    key = "trials/0/1-1/checkpoint.weights.h5"
    tuner._host.storage.put(key, tuner._host.storage.get(key)[:-1] + b"x")
    with pytest.raises(CorruptEntry, match="checksum"):
        tuner.get_best_models()


def test_a_search_goes_on_where_it_was_and_overwrite_begins_anew(models, tmp_path, capsys):
    search(models, tmp_path, max_trials=1)
    again = search(models, tmp_path, max_trials=2)
    assert "1 trials ended" in capsys.readouterr().out
    assert len(again.oracle.trials) == 2
    anew = search(models, tmp_path, max_trials=1, overwrite=True)
    assert len(anew.oracle.trials) == 1
    assert Study.open(anew._host.storage).state.generation == 2


def test_another_domain_is_refused_before_a_trial_unless_it_is_an_override(models, tmp_path):
    search(models, tmp_path, max_trials=1)
    with pytest.raises(StudyMismatch, match="'units': max_value is 16 there and 32 here"):
        search(models, tmp_path, build=models.changed)
    from ktcomponent import HyperParameters

    hp = HyperParameters()
    hp.Float("rate", 0.01, 0.02)
    tuner = search(models, tmp_path, hyperparameters=hp, project_name="override", max_trials=2)
    assert all(0.01 <= t.hyperparameters["rate"] <= 0.02 for t in tuner.oracle.trials.values())


def test_a_hypermodel_class_may_fit_in_its_own_way(models, tmp_path):
    class Mine(HyperModel):
        def build(self, hp):
            return models.build(hp)

        def fit(self, hp, model, *args, **kwargs):
            history = model.fit(*args, batch_size=hp.Choice("batch", [8, 16]), **kwargs)
            return {"val_loss": min(history.history["val_loss"]), "extra": 1.0}

    tuner = search(models, tmp_path, build=Mine())
    assert "batch" in tuner.get_best_hyperparameters()[0].values


def test_a_trial_that_crashes_fails_with_its_traceback_and_the_search_goes_on(models, tmp_path):
    tuner = search(models, tmp_path, build=models.crashes_for_some, max_trials=6)
    failed = [t for t in tuner.oracle.trials.values() if t.status == "FAILED"]
    assert failed
    assert all("MemoryError: too large" in t.message and t.hyperparameters["units"] == 16 for t in failed)


def test_run_trial_may_do_anything(tmp_path):
    class Parabola(Tuner):
        def run_trial(self, trial, shift):
            return {"score": (trial.hyperparameters.Float("x", -1, 1) - shift) ** 2}

    oracle = RandomSearchOracle({"name": "score", "direction": "min"}, max_trials=20, seed=1)
    tuner = Parabola(oracle, directory=tmp_path)
    tuner.search(0.5)
    assert abs(tuner.get_best_hyperparameters()[0]["x"] - 0.5) < 0.3


def test_hooks_are_called_in_order(models, tmp_path):
    seen = []

    class Hooked(RandomSearch):
        def on_search_begin(self):
            seen.append("search begins")

        def on_trial_begin(self, trial):
            seen.append(f"trial {trial.trial_id} begins")

        def on_epoch_end(self, trial, model, epoch, logs=None):
            seen.append(f"epoch {epoch}")

        def on_trial_end(self, trial):
            super().on_trial_end(trial)
            seen.append(f"trial {trial.trial_id}: {trial.score is not None}")

        def on_search_end(self):
            seen.append("search ends")

    tuner = Hooked(models.build, "val_loss", 1, directory=tmp_path, seed=1)
    (x, y), fit = models.load()
    tuner.search(x, y, verbose=0, **fit)
    epochs = [f"epoch {n}" for n in range(3)]
    assert seen == ["search begins", "trial 0 begins", *epochs, "trial 0: True", "search ends"]


def test_summaries_print_what_a_person_wants_to_know(models, tmp_path, capsys):
    tuner = search(models, tmp_path)
    tuner.search_space_summary()
    tuner.results_summary()
    printed = capsys.readouterr().out
    assert "Default search space size: 3" in printed
    assert "units  type: Int  domain: min_value=4" in printed
    assert printed.count("  status: COMPLETED  score: ") == 3


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [(lambda hp: hp.Int("a", 1, 2), FatalTypeError, "Keras model"), (3, ConfigurationError, "hypermodel")],
)
def test_a_hypermodel_that_builds_no_model_is_refused(tmp_path, build, error, message):
    with pytest.raises(error, match=message):
        RandomSearch(build, "val_loss", directory=tmp_path).search(verbose=0)


def test_an_objective_that_the_metrics_lack_gives_the_trial_back(models, tmp_path):
    with pytest.raises(FatalValueError, match="val_accuracy"):
        search(models, tmp_path, objective="val_accuracy")
    study = search(models, tmp_path, project_name="q", max_trials=1)._ledger.study
    assert study.state.running() == {}


def test_too_many_failures_end_the_search(tmp_path):
    def fails(hp):
        if hp.Int("a", 0, 99) >= 0 and fails.armed:
            raise RuntimeError("no")
        import models

        return models.build(hp)

    fails.armed = False
    tuner = RandomSearch(fails, "val_loss", 10, directory=tmp_path)
    fails.armed = True
    with pytest.raises(TooManyFailedTrials, match="RuntimeError: no"):
        tuner.search(verbose=0)


def test_a_model_that_is_built_by_calling_it_can_be_loaded(models, tmp_path):
    tuner = search(models, tmp_path, build=models.build_only_callable)
    (_x, _y), fit = models.load()
    model = tuner.get_best_models()[0]
    score = model.evaluate(*fit["validation_data"], verbose=0)
    assert score == pytest.approx(tuner.oracle.get_best_trials()[0].score, rel=1e-4)


def test_a_retried_trial_has_the_result_of_its_last_run(tmp_path):
    class Flaky(Tuner):
        runs = 0

        def run_trial(self, trial):
            self.runs += 1
            if self.runs == 1:
                self.oracle.update_trial(trial.trial_id, {"default_objective": -100.0})
                raise RuntimeError("once")
            return 5.0

    tuner = Flaky(RandomSearchOracle(max_trials=1, max_retries_per_trial=1), directory=tmp_path)
    tuner.search()
    (trial,) = tuner.oracle.trials.values()
    assert (trial.status, trial.score, trial.message) == ("COMPLETED", 5.0, None)


def test_a_directory_may_be_the_root_of_a_file_system(tmp_path):
    class Own(Tuner):
        def run_trial(self, trial):
            return 1.0

    tuner = Own(RandomSearchOracle(max_trials=1), directory="memory://", project_name=tmp_path.name)
    assert tuner._ledger.study.url == f"memory://{tmp_path.name}"


def test_an_interrupted_search_gives_its_trial_back_and_goes_on(tmp_path):
    class Interrupted(Tuner):
        armed = True

        def run_trial(self, trial):
            self.oracle.update_trial(trial.trial_id, {"default_objective": 1.0 if self.armed else 2.0})
            if self.armed:
                self.armed = False
                raise KeyboardInterrupt

    tuner = Interrupted(RandomSearchOracle(max_trials=1), directory=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        tuner.search()
    assert Study.open(tuner._host.storage).state.leases["0"] == {
        "state": "free",
        "attempt": 1,
        "first": 1,
        "losses": 0,
    }
    tuner.search()
    assert tuner.oracle.get_best_trials()[0].score == 2.0


class OwnMetric:
    """Made when Keras is there."""

    def __new__(cls, k):
        import keras

        class Metric(keras.metrics.Metric):
            def __init__(self, k, name="own"):
                super().__init__(name=name)
                self.k = k
                self.total = self.add_weight(name="total", initializer="zeros")

            def update_state(self, y_true, y_pred, sample_weight=None):
                self.total.assign_add(self.k)

            def result(self):
                return self.total

        return Metric(k)


def compiled_with(metrics):
    def build(hp):
        import keras

        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(hp.Int("units", 2, 4))])
        model.add(keras.layers.Dense(3, activation="softmax"))
        model.compile("sgd", "categorical_crossentropy", metrics=metrics())
        return model

    return build


def fit_classes(build, tmp_path, **kwargs):
    x = np.linspace(-1, 1, 24, dtype="float32")[:, None]
    y = np.eye(3, dtype="float32")[np.arange(24) % 3]
    tuner = RandomSearch(build, "val_loss", max_trials=1, directory=tmp_path, project_name="p", **kwargs)
    tuner.search(x, y, validation_data=(x, y), epochs=2, verbose=0)
    (trial,) = tuner.oracle.trials.values()
    return tuner, trial


def test_a_metric_with_a_number_a_class_counts_with_its_mean(tmp_path):
    import keras

    build = compiled_with(lambda: ["accuracy", keras.metrics.F1Score()])
    _, trial = fit_classes(build, tmp_path)
    assert trial.status == "COMPLETED", trial.message
    assert 0 <= trial.metrics.get_best_value("val_f1_score") <= 1


def test_metrics_that_have_no_configuration_can_replace_others(tmp_path):
    build = compiled_with(lambda: ["accuracy"])
    _, trial = fit_classes(build, tmp_path, metrics=[OwnMetric(2.0)])
    assert trial.status == "COMPLETED", trial.message
    assert trial.metrics.get_best_value("own") == 2.0  # one batch an epoch, and reset between them


def test_loss_weights_and_metrics_of_the_model_survive_another_optimizer(tmp_path):
    import keras

    def build(hp):
        inputs = keras.Input((1,))
        outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in ("a", "b")}
        model = keras.Model(inputs, outputs)
        hp.Float("x", 0, 1)
        model.compile(
            "adam", {"a": "mse", "b": "mae"}, loss_weights={"a": 1.0, "b": 0.0}, metrics={"b": ["mae"]}
        )
        return model

    seen = []

    class Noting(RandomSearch):
        def on_epoch_end(self, trial, model, epoch, logs=None):
            seen.append((type(model.optimizer).__name__, logs))

    x = np.ones((8, 1), dtype="float32")
    tuner = Noting(build, "loss", max_trials=1, optimizer="rmsprop", directory=tmp_path, project_name="p")
    tuner.search(x, {"a": x, "b": x}, epochs=1, verbose=0)
    ((optimizer, logs),) = seen
    assert optimizer == "RMSprop"
    assert "b_mae" in logs
    assert logs["loss"] == pytest.approx(logs["a_loss"], rel=1e-5)


def test_models_load_when_fit_compiled_them_with_another_optimizer(models, tmp_path):
    import keras

    class Recompiling(HyperModel):
        def build(self, hp):
            model = models.build(hp)
            model.compile("rmsprop", "mse")
            return model

        def fit(self, hp, model, *args, **kwargs):
            model.compile(keras.optimizers.SGD(0.5, momentum=0.9), "mse")
            return model.fit(*args, **kwargs)

    tuner = search(models, tmp_path, Recompiling(), max_trials=1)
    model = tuner.get_best_models()[0]
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    again = search(models, tmp_path, max_trials=1, project_name="q").get_best_models()[0]
    assert int(again.optimizer.iterations) > 0  # the same kind, so its state is there


def test_files_can_be_asked_for_too_early(models, tmp_path):
    """A notebook that watches other lanes looks for files while they run."""
    watcher = RandomSearch(
        models.build, "val_loss", max_trials=3, seed=1, directory=tmp_path, project_name="p"
    )
    watcher.get_trial_dir("0")
    search(models, tmp_path, max_trials=1)
    assert watcher.get_best_models()[0].built


def test_hooks_of_compiling_and_of_tensorboard_can_be_overridden(models, tmp_path):
    import keras

    calls = []

    class Own(RandomSearch):
        def _override_compile_args(self, model):
            calls.append("compile")
            super()._override_compile_args(model)

        def _get_tensorboard_dir(self, logdir, trial_id, execution):
            calls.append("tensorboard")
            return str(tmp_path / "elsewhere" / f"{trial_id}-{execution}")

    tuner = Own(models.build, "val_loss", max_trials=1, directory=tmp_path, project_name="p")
    (x, y), fit = models.load()
    tuner.search(x, y, verbose=0, **fit, callbacks=[keras.callbacks.TensorBoard(tmp_path / "logs")])
    assert calls == ["tensorboard", "compile"]
    assert list((tmp_path / "elsewhere" / "0-0").rglob("events*"))


def test_an_own_way_of_saving_is_exported(tmp_path):
    import keras

    class Own(Tuner):
        def run_trial(self, trial):
            model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
            model.save(f"{self.get_trial_dir(trial.trial_id)}/mine.keras")
            return {"loss": trial.hyperparameters.Float("x", 0, 1)}

        def load_model(self, trial):
            return keras.models.load_model(f"{self.get_trial_dir(trial.trial_id)}/mine.keras")

    tuner = Own(RandomSearchOracle("loss", max_trials=1), directory=tmp_path, project_name="p")
    tuner.search()
    written = tuner.export_model(tuner.oracle.get_best_trials()[0], tmp_path, "model_1")
    assert written == {"file": "model_1.keras"}
    assert keras.models.load_model(tmp_path / "model_1.keras").built


def test_a_model_that_can_not_be_saved_whole_leaves_its_weights(tmp_path):
    import keras

    class Bare(keras.Model):
        def __init__(self, units):
            super().__init__()
            self.first, self.last = keras.layers.Dense(units), keras.layers.Dense(1)

        def call(self, x):
            return self.last(self.first(x))

    def build(hp):
        model = Bare(hp.Int("units", 2, 8))
        model.compile("sgd", "mse")
        return model

    tuner = RandomSearch(build, "val_loss", max_trials=1, directory=tmp_path, project_name="p")
    x = np.ones((8, 1), dtype="float32")
    tuner.search(x, x, validation_data=(x, x), verbose=0)
    tuner.sample = x[:1]
    written = tuner.export_model(tuner.oracle.get_best_trials()[0], tmp_path, "model_1")
    assert written["file"] == "model_1.weights.h5"
    assert "weights" in written["note"]
    assert (tmp_path / "model_1.weights.h5").exists()
    assert not (tmp_path / "model_1.keras").exists()


def test_graphs_of_earlier_models_are_forgotten(tmp_path):
    program = f"""
import gc, sys
sys.path.insert(0, {str(USER_CODE)!r})
import models
from ktcomponent import RandomSearch

tuner = RandomSearch(models.build, "val_loss", max_trials=5, seed=1, directory={str(tmp_path)!r})
(x, y), fit = models.load()
tuner.search(x, y, verbose=0, **fit)
gc.collect()
print(sum(type(o).__name__ == "FuncGraph" and "one_step" in o.name for o in gc.get_objects()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Those of the last model; without it there would be those of all five.
    assert int(done.stdout.splitlines()[-1]) <= 6


def test_a_search_runs_on_another_backend_of_keras(tmp_path):
    program = f"""
import keras, numpy as np, sys
import ktcomponent

def build(hp):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(hp.Int("units", 2, 40)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model

x = np.ones((8, 1), dtype="float32")
tuner = ktcomponent.Hyperband(build, "val_loss", max_epochs=2, factor=2, directory={str(tmp_path)!r}, seed=1)
tuner.search(x, x, validation_data=(x, x), verbose=0)
assert tuner.get_best_models()[0].predict(x, verbose=0).shape == (8, 1)
assert [t.status for t in tuner.oracle.trials.values()] == ["COMPLETED"] * 5
assert "tensorflow" not in sys.modules, "TensorFlow was imported"
"""
    env = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=env
    )
    assert done.returncode == 0, done.stderr
