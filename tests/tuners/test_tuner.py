"""Tuners on real Keras models."""

import json
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
    assert "units (Int)" in printed
    assert printed.count("Trial ") >= 3


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
    assert Study.open(tuner._host.storage).state.leases["0"] == {"state": "free", "attempt": 1, "losses": 0}
    tuner.search()
    assert tuner.oracle.get_best_trials()[0].score == 2.0
