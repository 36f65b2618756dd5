"""Cross-validation of scikit-learn estimators."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import (
    datasets,
    ensemble,
    feature_selection,
    linear_model,
    metrics,
    model_selection,
    neighbors,
    pipeline,
    preprocessing,
)

from ktcomponent import Objective, SklearnTuner
from ktcomponent.errors import ConfigurationError, FatalValueError
from ktcomponent.oracles import BayesianOptimizationOracle, GridSearchOracle, RandomSearchOracle
from tests.conftest import ROOT

X, Y = datasets.load_iris(return_X_y=True)


def oracle(max_trials=3):
    return RandomSearchOracle(Objective("score", "max"), max_trials=max_trials, seed=1)


def build(hp):
    if hp.Choice("model", ["forest", "ridge"]) == "forest":
        with hp.conditional_scope("model", ["forest"]):
            return ensemble.RandomForestClassifier(n_estimators=hp.Int("n", 5, 15, step=5), random_state=0)
    with hp.conditional_scope("model", ["ridge"]):
        return linear_model.RidgeClassifier(alpha=hp.Float("alpha", 1e-3, 1, sampling="log"))


def in_a_pipeline(hp):
    ridge = linear_model.RidgeClassifier(alpha=hp.Float("alpha", 1e-3, 1, sampling="log"))
    return pipeline.Pipeline([("scale", preprocessing.StandardScaler()), ("ridge", ridge)])


class Doubled(preprocessing.StandardScaler):
    """A user's own transformer."""


def with_own_type(hp):
    return pipeline.make_pipeline(Doubled(), linear_model.RidgeClassifier(alpha=hp.Float("alpha", 0.1, 1)))


def tuner(tmp_path, hypermodel=build, made=None, **kwargs):
    return SklearnTuner(made or oracle(), hypermodel, directory=tmp_path, project_name="p", **kwargs)


def test_the_documented_program(tmp_path):
    made = tuner(
        tmp_path,
        made=BayesianOptimizationOracle(Objective("score", "max"), max_trials=4, seed=2),
        scoring=metrics.make_scorer(metrics.accuracy_score),
        metrics=metrics.accuracy_score,
        cv=model_selection.StratifiedKFold(3),
    )
    made.search(X, Y)
    best = made.oracle.get_best_trials()[0]
    assert best.score > 0.8
    assert best.metrics.get_best_value("accuracy_score") == pytest.approx(best.score)
    model = made.get_best_models()[0]
    assert model.score(X, Y) > 0.8
    # Fitted to all the data, not to a fold.
    again = made.hypermodel.build(best.hyperparameters).fit(X, Y)
    assert np.array_equal(model.predict(X), again.predict(X))


def test_the_score_is_that_of_scikit_learn(tmp_path):
    made = tuner(tmp_path, in_a_pipeline, oracle(1))
    made.search(X, Y)
    trial = made.oracle.get_best_trials()[0]
    cv = model_selection.KFold(5, shuffle=True, random_state=1)
    expected = model_selection.cross_val_score(in_a_pipeline(trial.hyperparameters), X, Y, cv=cv).mean()
    assert trial.score == pytest.approx(expected)


@pytest.mark.parametrize(
    "data",
    [
        lambda: (pd.DataFrame(X, columns=list("abcd")), pd.Series(Y)),
        lambda: (pd.DataFrame(X, index=np.arange(len(X)) + 1000), Y),
        lambda: (sparse.csr_matrix(X), Y),
        lambda: (X.tolist(), Y.tolist()),
    ],
    ids=["pandas", "odd index", "sparse", "lists"],
)
def test_data_of_every_kind(tmp_path, data):
    made = tuner(
        tmp_path, lambda hp: linear_model.RidgeClassifier(alpha=hp.Float("alpha", 0.1, 1)), oracle(1)
    )
    made.search(*data())
    assert made.oracle.get_best_trials()[0].score > 0.7


@pytest.mark.parametrize("hypermodel", [build, in_a_pipeline])
def test_sample_weights_count(tmp_path, hypermodel):
    """Samples without weight might as well be wrong."""
    wrong = Y.copy()
    wrong[::3] = (Y[::3] + 1) % 3
    weight = np.ones(len(Y))
    weight[::3] = 0.0
    made = tuner(tmp_path, hypermodel, oracle(1))
    made.search(X, wrong, sample_weight=weight)
    assert made.oracle.get_best_trials()[0].score > 0.7
    unweighted = tuner(tmp_path / "u", hypermodel, oracle(1))
    unweighted.search(X, wrong)
    assert unweighted.oracle.get_best_trials()[0].score < made.oracle.get_best_trials()[0].score - 0.1


def test_groups_reach_the_splitter(tmp_path):
    groups = np.arange(len(Y)) % 10
    made = tuner(tmp_path, made=oracle(1), cv=model_selection.GroupKFold(5))
    made.search(X, Y, groups=groups)
    assert made.oracle.get_best_trials()[0].score > 0.8


@pytest.mark.slow
def test_models_are_loaded_in_a_fresh_process_without_pickle(tmp_path):
    made = tuner(tmp_path, made=oracle(2))
    made.search(X, Y)
    program = f"""
import pickle, sys
pickle.Unpickler = pickle.load = pickle.loads = None
sys.path.insert(0, {str(ROOT)!r})
from tests.tuners.test_sklearn_tuner import X, Y, build, oracle
from ktcomponent import SklearnTuner
tuner = SklearnTuner(oracle(2), build, directory={str(tmp_path)!r}, project_name="p")
print(tuner.get_best_models()[0].score(X, Y))
"""
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert output.returncode == 0, output.stderr
    assert float(output.stdout.strip().splitlines()[-1]) == made.get_best_models()[0].score(X, Y)


def test_types_that_nobody_trusts_fail_their_trials_and_the_search_goes_on(tmp_path):
    def sometimes(hp):
        return with_own_type(hp) if hp.Boolean("own") else linear_model.RidgeClassifier()

    made = tuner(
        tmp_path,
        sometimes,
        GridSearchOracle(Objective("score", "max"), max_trials=4, max_consecutive_failed_trials=9),
    )
    made.search(X, Y)
    trials = list(made.oracle.trials.values())
    failed = [t for t in trials if t.status == "FAILED"]
    assert len(failed) == sum(t.hyperparameters.get("own") for t in trials) > 0
    assert "Doubled" in failed[0].message
    assert "trusted_types" in failed[0].message
    assert made.get_best_models()[0].score(X, Y) > 0.7


def test_types_that_are_trusted_are_stored_and_loaded(tmp_path):
    name = f"{Doubled.__module__}.Doubled"
    made = tuner(tmp_path, with_own_type, oracle(1), trusted_types=[name])
    made.search(X, Y)
    assert made.get_best_models()[0].score(X, Y) > 0.8
    made.trusted_types.remove(name)
    with pytest.raises(FatalValueError, match="Doubled"):
        made.get_best_models()


@pytest.mark.parametrize(
    "estimator",
    [
        lambda: pipeline.make_pipeline(feature_selection.SelectKBest(k=2), linear_model.RidgeClassifier()),
        lambda: neighbors.KNeighborsClassifier(metric="manhattan"),
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=5),
        lambda: ensemble.StackingClassifier([("r", linear_model.RidgeClassifier())], cv=2),
        lambda: pipeline.make_pipeline(preprocessing.SplineTransformer(), linear_model.RidgeClassifier()),
    ],
    ids=["selection", "neighbours", "boosting", "stacking", "splines"],
)
def test_estimators_of_scikit_learn_are_trusted(tmp_path, estimator):
    made = tuner(tmp_path, lambda hp: estimator(), oracle(1))
    made.search(X, Y)
    assert made.get_best_models()[0].score(X, Y) > 0.7


def test_a_splitter_without_groups_and_a_metric_that_is_a_matrix(tmp_path):
    class Halves:
        def split(self, X, y):
            yield np.arange(0, 150, 2), np.arange(1, 150, 2)

    made = tuner(tmp_path, made=oracle(1), cv=Halves(), metrics=[metrics.confusion_matrix])
    made.search(X, Y)
    trial = made.oracle.get_best_trials()[0]
    assert trial.status == "COMPLETED", trial.message
    assert trial.metrics.get_best_value("confusion_matrix") == pytest.approx(75 / 9)


def test_a_regressor(tmp_path):
    x, y = datasets.make_regression(80, 3, noise=0.1, random_state=0)
    made = tuner(tmp_path, lambda hp: linear_model.Ridge(alpha=hp.Float("alpha", 0.01, 1)), oracle(2))
    made.search(x, y)
    assert made.get_best_models()[0].score(x, y) > 0.99


def test_a_savedmodel_of_it_is_refused(tmp_path):
    made = tuner(tmp_path, made=oracle(1))
    made.search(X, Y)
    with pytest.raises(ConfigurationError, match="SavedModel"):
        made.export_model(made.oracle.get_best_trials()[0], tmp_path, "m", saved_model=True)


@pytest.mark.slow
def test_it_runs_in_a_step_and_is_exported(commands):
    (commands.folder / "iris.py").write_text(
        """
from sklearn import datasets, linear_model
from ktcomponent import Objective, SklearnTuner
from ktcomponent.oracles import RandomSearchOracle

def tuner():
    oracle = RandomSearchOracle(Objective("score", "max"), max_trials=3, seed=1)
    return SklearnTuner(oracle, lambda hp: linear_model.RidgeClassifier(alpha=hp.Float("alpha", 0.1, 1)))

def load():
    return datasets.load_iris(return_X_y=True), {}
"""
    )
    options = ("--search-args", "iris:load")
    code, output = commands.step(*options, hypermodel="iris:tuner")
    assert code == 0, output
    code, output = commands.run(
        "export", commands.study, "--to", str(commands.folder / "out"), "--hypermodel", "iris:tuner"
    )
    assert code == 0, output
    from skops.io import loads

    model = loads(io.BytesIO((commands.folder / "out" / "model_1.skops").read_bytes()).getvalue(), trusted=[])
    assert model.score(X, Y) > 0.7
