"""`SklearnTuner`: cross-validates scikit-learn estimators. Imports scikit-learn when one is made."""

from __future__ import annotations

import inspect
import shutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ktcomponent.errors import ConfigurationError, FailedTrialError, FatalValueError
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.trial import Trial
from ktcomponent.tuners.base_tuner import BaseTuner
from ktcomponent.tuners.results import mean

MODEL = "model.skops"

TRUSTED_TYPES = (
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{name}"
        for name in (
            "ConstantKernel",
            "DotProduct",
            "Exponentiation",
            "ExpSineSquared",
            "Matern",
            "Product",
            "RBF",
            "RationalQuadratic",
            "Sum",
            "WhiteKernel",
        )
    ),
    "scipy._lib.array_api_compat.numpy._aliases.asarray",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn.feature_selection._univariate_selection.chi2",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    *(
        f"sklearn.metrics._dist_metrics.{name}Distance{bits}"
        for name in ("Chebyshev", "Euclidean", "Hamming", "Manhattan", "Minkowski")
        for bits in (32, 64)
    ),
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)
"""Parts of scikit-learn's own estimators that skops leaves to its caller: they hold data and run no code."""


class SklearnTuner(BaseTuner):
    """Tunes scikit-learn estimators and pipelines by cross-validation.

    The score of a trial is the mean over the folds, under the name "score"; the model that is kept was fitted to all
    the data. It is stored with skops, never pickled: loading it makes objects of no other types than those that skops
    trusts (most of scikit-learn, NumPy and SciPy), `TRUSTED_TYPES` (parts of scikit-learn) and `trusted_types`.

    Args:
        oracle: Its objective is `Objective("score", "max")`.
        hypermodel: A `HyperModel`, or a function `build(hp)` that returns an estimator.
        scoring: `scoring(estimator, X, y)`, as `sklearn.metrics.make_scorer` makes it; the estimator's own `score`
            by default.
        metrics: Functions of `sklearn.metrics` to record too, one or several.
        cv: A splitter; `KFold(5, shuffle=True, random_state=1)` by default.
        trusted_types: Full names of further types a model may consist of, for example those of your own transformers.
        kwargs: See `BaseTuner`.

    Raises:
        ConfigurationError: If scikit-learn or skops isn't installed.

    Example:

        def build(hp):
            return RandomForestClassifier(n_estimators=hp.Int("n_estimators", 10, 100, step=10))

        tuner = SklearnTuner(RandomSearchOracle(Objective("score", "max"), max_trials=10), build)
        tuner.search(X, y)
        model = tuner.get_best_models()[0]
    """

    def __init__(
        self,
        oracle: Oracle,
        hypermodel: Any,
        scoring: Callable[..., float] | None = None,
        metrics: Any = None,
        cv: Any = None,
        trusted_types: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        try:
            import sklearn.model_selection
            import skops.io  # noqa: F401
        except ImportError as error:
            raise ConfigurationError(
                f"`SklearnTuner` needs {error.name}: pip install 'ktcomponent[sklearn]'."
            ) from error
        self.scoring = scoring
        self.metrics = list(metrics) if isinstance(metrics, (list, tuple)) else [metrics] if metrics else []
        self.cv = cv or sklearn.model_selection.KFold(5, shuffle=True, random_state=1)
        self.trusted_types = [*TRUSTED_TYPES, *trusted_types]
        super().__init__(oracle=oracle, hypermodel=hypermodel, **kwargs)

    def search(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> None:
        """Runs trials until the oracle has no more.

        Args:
            X: n samples: an array, a sparse matrix or a DataFrame.
            y: n targets: an array or a Series.
            sample_weight: n weights; used in fitting where the estimator (of a pipeline: its last step) takes
                them, in scoring and in metrics.
            groups: n group labels, for splitters that need them.
        """
        super().search(X, y, sample_weight=sample_weight, groups=groups)

    def run_trial(self, trial: Trial, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> Any:
        """Fits and scores one estimator a fold, then fits one to all the data and saves it."""
        found: dict[str, list[float]] = {}
        grouped = {} if groups is None else {"groups": groups}
        for train, test in self.cv.split(X, y, **grouped):
            model = self._fitted(trial, _rows(X, train), _rows(y, train), _rows(sample_weight, train))
            if not found:
                self.save_model(trial.trial_id, model)  # what can't be stored fails before the other folds
            X_test, y_test, weights = _rows(X, test), _rows(y, test), _rows(sample_weight, test)
            weighted = {} if weights is None else {"sample_weight": weights}
            if self.scoring is None:
                score = model.score(X_test, y_test, **(weighted if _takes_weights(model.score) else {}))
            else:
                score = self.scoring(model, X_test, y_test, **weighted)
            found.setdefault("score", []).append(float(score))
            predicted = model.predict(X_test) if self.metrics else None
            for metric in self.metrics:
                found.setdefault(metric.__name__, []).append(mean(metric(y_test, predicted, **weighted)))
        self.save_model(trial.trial_id, self._fitted(trial, X, y, sample_weight))
        return {name: statistics.fmean(values) for name, values in found.items()}

    def save_model(self, trial_id: str, model: Any, step: int = 0) -> None:
        del step
        import skops.io

        path = Path(self.get_trial_dir(trial_id), MODEL)
        skops.io.dump(model, path)
        unknown = sorted(set(skops.io.get_untrusted_types(file=path)) - set(self.trusted_types))
        if unknown:
            path.unlink()
            raise FailedTrialError(
                f"The model of trial {trial_id} has parts of types that can't be loaded again: {', '.join(unknown)}. "
                "If you trust them, name them: SklearnTuner(..., trusted_types=[...])."
            )

    def load_model(self, trial: Trial) -> Any:
        """The estimator of a trial, fitted to all the data.

        Raises:
            FatalValueError: If the trial saved no model, or one with types that are not trusted.
        """
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        path = Path(self.get_trial_dir(trial.trial_id), MODEL)
        if not path.exists():
            raise FatalValueError(f"Trial {trial.trial_id} ({trial.status}) has no saved model to load.")
        try:
            return skops.io.load(path, trusted=self.trusted_types)
        except UntrustedTypesFoundException as error:
            raise FatalValueError(
                f"The model of trial {trial.trial_id} was not loaded: {error} If you trust them, name them: "
                "SklearnTuner(..., trusted_types=[...])."
            ) from error

    def export_model(
        self, trial: Trial, folder: Path, name: str, saved_model: bool = False
    ) -> dict[str, str] | None:
        """Copies the stored estimator as `<name>.skops`, once it has been loaded."""
        if saved_model:
            raise ConfigurationError("A scikit-learn model can't be written as a SavedModel.")
        if not Path(self.get_trial_dir(trial.trial_id), MODEL).exists():
            return None
        self.load_model(trial)
        shutil.copyfile(Path(self.get_trial_dir(trial.trial_id), MODEL), folder / f"{name}.skops")
        return {"file": f"{name}.skops"}

    def _fitted(self, trial: Trial, X: Any, y: Any, sample_weight: Any) -> Any:
        if self.hypermodel is None:
            raise ConfigurationError("There is no hypermodel to build.")
        model = self.hypermodel.build(trial.hyperparameters)
        model.fit(X, y, **_fit_weights(model, sample_weight))
        return model


def _fit_weights(model: Any, sample_weight: Any) -> dict[str, Any]:
    """The keyword under which an estimator, or the last step of a pipeline, takes the weights, if it does."""
    if sample_weight is None:
        return {}
    steps = getattr(model, "steps", None)
    if steps:
        name, last = steps[-1]
        return {f"{name}__sample_weight": sample_weight} if _takes_weights(getattr(last, "fit", None)) else {}
    return {"sample_weight": sample_weight} if _takes_weights(model.fit) else {}


def _takes_weights(method: Any) -> bool:
    try:
        return "sample_weight" in inspect.signature(method).parameters
    except (TypeError, ValueError):
        return False


def _rows(data: Any, indices: Any) -> Any:
    """Some rows of an array, a sparse matrix, a DataFrame, a Series or a list."""
    if data is None:
        return None
    if hasattr(data, "iloc"):
        return data.iloc[indices]
    return data[indices] if hasattr(data, "shape") else [data[i] for i in indices]
