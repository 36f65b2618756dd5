"""Real trainings on data that come with scikit-learn, small enough to run tens of thousands of them.

Each is cross-validated, and the same for the same values.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.search_quality.space import Dimension, category, real, whole

Values = Mapping[str, Any]
FOLDS = 3


@functools.lru_cache
def _data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Standardised features, and labels, in a random order."""
    from sklearn import datasets

    if name == "friedman":
        x, y = datasets.make_friedman1(300, noise=1.0, random_state=0)
    else:
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    return (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9), y


def _cross_validated(x: np.ndarray, y: np.ndarray, loss: Any) -> float:
    """The mean of `loss(x, y of training, x, y of validation)` over folds."""
    fold = np.arange(len(y)) % FOLDS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trainings that end before they converge
        return float(
            np.mean([loss(x[fold != k], y[fold != k], x[fold == k], y[fold == k]) for k in range(FOLDS)])
        )


KERNEL_RIDGE: list[Dimension] = [
    category("kernel", "rbf", "laplacian", "polynomial", "sigmoid"),
    real("alpha", 1e-4, 1e3, log=True),
    real("gamma", 1e-4, 10.0, log=True),
    whole("degree", 1, 4, parent=("kernel", ("polynomial",))),
    real("coef0", 0.0, 5.0, parent=("kernel", ("polynomial", "sigmoid"))),
]


def kernel_ridge(v: Values) -> float:
    """The part of the variance of diabetes' progression that isn't explained, at most 2."""
    from sklearn.kernel_ridge import KernelRidge

    x, y = _data("diabetes")

    def loss(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> float:
        mean = y1.mean()
        model = KernelRidge(
            alpha=v["alpha"],
            kernel=v["kernel"],
            gamma=v["gamma"],
            degree=v.get("degree", 1),
            coef0=v.get("coef0", 0.0),
        )
        error = np.mean((model.fit(x1, y1 - mean).predict(x2) + mean - y2) ** 2) / y.var()
        return float(min(error, 2.0)) if np.isfinite(error) else 2.0

    return _cross_validated(x, y, loss)


BOOSTING: list[Dimension] = [
    real("learning_rate", 1e-3, 1.0, log=True),
    whole("max_iter", 5, 80, log=True),
    whole("max_leaf_nodes", 2, 64, log=True),
    whole("min_samples_leaf", 1, 60, log=True),
    real("l2", 1e-6, 100.0, log=True),
    real("max_features", 0.05, 1.0),
]


def boosting(v: Values) -> float:
    """The log loss of gradient-boosted trees for breast cancer."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import log_loss

    x, y = _data("breast_cancer")

    def loss(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> float:
        model = HistGradientBoostingClassifier(
            learning_rate=v["learning_rate"],
            max_iter=v["max_iter"],
            max_leaf_nodes=v["max_leaf_nodes"],
            min_samples_leaf=v["min_samples_leaf"],
            l2_regularization=v["l2"],
            max_features=v["max_features"],
            early_stopping=False,
            random_state=0,
        )
        return float(log_loss(y2, model.fit(x1, y1).predict_proba(x2)))

    return _cross_validated(x, y, loss)


NETWORK: list[Dimension] = [
    category("solver", "adam", "sgd"),
    real("learning_rate", 1e-4, 1.0, log=True),
    whole("units", 4, 128, log=True),
    category("activation", "relu", "tanh", "logistic"),
    real("alpha", 1e-6, 10.0, log=True),
    whole("batch_size", 8, 256, log=True),
    whole("epochs", 2, 15),
    real("momentum", 0.0, 0.99, parent=("solver", ("sgd",))),
    real("beta_1", 0.5, 0.99, parent=("solver", ("adam",))),
]


def network(v: Values) -> float:
    """The log loss of a network of one hidden layer for wines, by the negative logarithm's root at most 3."""
    from sklearn.metrics import log_loss
    from sklearn.neural_network import MLPClassifier

    x, y = _data("wine")

    def loss(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> float:
        model = MLPClassifier(
            (v["units"],),
            activation=v["activation"],
            solver=v["solver"],
            alpha=v["alpha"],
            batch_size=min(v["batch_size"], len(y1)),
            learning_rate_init=v["learning_rate"],
            max_iter=v["epochs"],
            momentum=v.get("momentum", 0.0),
            beta_1=v.get("beta_1", 0.9),
            random_state=0,
        )
        try:
            found = log_loss(y2, model.fit(x1, y1).predict_proba(x2), labels=[0, 1, 2])
        except ValueError:  # weights that aren't finite
            return 3.0
        return min(float(found), 3.0) if math.isfinite(found) else 3.0

    return _cross_validated(x, y, loss)


SUPPORT_VECTORS: list[Dimension] = [
    category("kernel", "rbf", "poly", "sigmoid", "linear"),
    real("C", 1e-2, 1e3, log=True),
    real("epsilon", 1e-3, 1.0, log=True),
    real("gamma", 1e-4, 10.0, log=True, parent=("kernel", ("rbf", "poly", "sigmoid"))),
    whole("degree", 2, 4, parent=("kernel", ("poly",))),
    real("coef0", 0.0, 5.0, parent=("kernel", ("poly", "sigmoid"))),
]


def support_vectors(v: Values) -> float:
    """The part of the variance that support vector regression doesn't explain of J. H. Friedman's first function, at most 2."""
    from sklearn.svm import SVR

    x, y = _data("friedman")

    def loss(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> float:
        mean, deviation = y1.mean(), y1.std()
        model = SVR(
            kernel=v["kernel"],
            C=v["C"],
            epsilon=v["epsilon"],
            gamma=v.get("gamma", 0.1),
            degree=v.get("degree", 3),
            coef0=v.get("coef0", 0.0),
            max_iter=20_000,
        )
        error = np.mean((model.fit(x1, (y1 - mean) / deviation).predict(x2) * deviation + mean - y2) ** 2)
        return float(min(error / y.var(), 2.0))

    return _cross_validated(x, y, loss)


TREES: list[Dimension] = [
    whole("max_leaf_nodes", 2, 128, log=True),
    whole("min_samples_leaf", 1, 60, log=True),
    real("max_features", 0.05, 1.0),
    real("max_samples", 0.1, 1.0),
    category("criterion", "squared_error", "friedman_mse", "poisson"),
]


def trees(v: Values) -> float:
    """The part of the variance of diabetes' progression that 15 randomized trees don't explain."""
    from sklearn.ensemble import ExtraTreesRegressor

    x, y = _data("diabetes")

    def loss(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> float:
        model = ExtraTreesRegressor(15, bootstrap=True, random_state=0, **v)
        return float(np.mean((model.fit(x1, y1).predict(x2) - y2) ** 2) / y.var())

    return _cross_validated(x, y, loss)


LINEAR: list[Dimension] = [
    category("loss", "log_loss", "modified_huber"),
    real("alpha", 1e-7, 1.0, log=True),
    category("penalty", "l2", "l1", "elasticnet"),
    real("l1_ratio", 0.0, 1.0, parent=("penalty", ("elasticnet",))),
    category("learning_rate", "constant", "invscaling", "adaptive"),
    real("eta0", 1e-5, 10.0, log=True),
    real("power_t", 0.0, 1.0, parent=("learning_rate", ("invscaling",))),
    whole("epochs", 1, 20),
]


def linear(v: Values) -> float:
    """The log loss of a linear classifier of digits, trained by stochastic gradients; at most 3."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.metrics import log_loss

    x, y = (part[:500] for part in _data("digits"))

    def loss(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> float:
        model = SGDClassifier(
            loss=v["loss"],
            alpha=v["alpha"],
            penalty=v["penalty"],
            l1_ratio=v.get("l1_ratio", 0.15),
            learning_rate=v["learning_rate"],
            eta0=v["eta0"],
            power_t=v.get("power_t", 0.5),
            max_iter=v["epochs"],
            tol=None,
            random_state=0,
        )
        try:
            found = log_loss(y2, model.fit(x1, y1).predict_proba(x2), labels=range(10))
        except ValueError:  # weights that aren't finite
            return 3.0
        return min(float(found), 3.0) if math.isfinite(found) else 3.0

    return _cross_validated(x, y, loss)


DIGITS: list[Dimension] = [
    real("learning_rate", 1e-4, 1.0, log=True),
    whole("units", 4, 128, log=True),
    whole("layers", 1, 3),
    category("activation", "relu", "tanh", "logistic"),
    real("alpha", 1e-6, 10.0, log=True),
    whole("batch_size", 8, 256, log=True),
    real("momentum", 0.0, 0.99),
    category("nesterov", "yes", "no"),
]


def digits(v: Values) -> float:
    """The part of digits that a network gets wrong after 8 epochs."""
    from sklearn.neural_network import MLPClassifier

    x, y = (part[:400] for part in _data("digits"))

    def loss(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> float:
        model = MLPClassifier(
            (v["units"],) * v["layers"],
            activation=v["activation"],
            solver="sgd",
            alpha=v["alpha"],
            batch_size=v["batch_size"],
            learning_rate_init=v["learning_rate"],
            max_iter=8,
            momentum=v["momentum"],
            nesterovs_momentum=v["nesterov"] == "yes",
            random_state=0,
        )
        try:
            return float(np.mean(model.fit(x1, y1).predict(x2) != y2))
        except ValueError:  # weights that aren't finite
            return 0.9

    return _cross_validated(x, y, loss)


NYSTROEM: list[Dimension] = [
    category("kernel", "rbf", "laplacian", "sigmoid"),
    real("gamma", 1e-5, 10.0, log=True),
    real("coef0", -2.0, 2.0, parent=("kernel", ("sigmoid",))),
    whole("components", 4, 100, log=True),
    real("alpha", 1e-6, 100.0, log=True),
    category("inputs", "as they are", "principal components"),
    whole("principal", 1, 13, parent=("inputs", ("principal components",))),
]


def nystroem(v: Values) -> float:
    """The squared error of a linear classifier of wines over approximate kernel features."""
    from sklearn.decomposition import PCA
    from sklearn.kernel_approximation import Nystroem
    from sklearn.linear_model import Ridge

    x, y = _data("wine")

    def loss(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> float:
        if "principal" in v:
            inputs = PCA(v["principal"], random_state=0).fit(x1)
            x1, x2 = inputs.transform(x1), inputs.transform(x2)
        features = Nystroem(
            kernel=v["kernel"],
            gamma=v["gamma"],
            coef0=v.get("coef0"),
            n_components=v["components"],
            random_state=0,
        )
        model = Ridge(alpha=v["alpha"]).fit(features.fit_transform(x1), np.eye(3)[y1])
        error = np.mean((model.predict(features.transform(x2)) - np.eye(3)[y2]) ** 2)
        return float(min(error, 1.0))

    return _cross_validated(x, y, loss)
