"""Programs written for KerasTuner, run as they are with one import changed."""

import os

import keras
import numpy as np
import pytest

X = np.linspace(-1, 1, 64, dtype="float32")[:, None]
Y = X**2
FIT = {"validation_data": (X, Y), "epochs": 2, "batch_size": 32, "verbose": 0}


def build(hp):
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(hp.Int("units", 4, 32), activation="tanh"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(
        keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")),
        "mse",
        metrics=["mae"],
        jit_compile=False,
    )
    return model


HOOKS = [
    "pre_create_trial",
    "on_search_begin",
    "on_trial_begin",
    "on_epoch_begin",
    "on_batch_begin",
    "on_batch_end",
    "on_epoch_end",
    "on_trial_end",
    "on_search_end",
    "run_trial",
    "_populate_initial_space",
    "_build_and_fit_model",
    "_build_hypermodel",
    "_try_build",
    "get_state",
    "save",
    "load_model",
]


def traced(base, calls):
    """A subclass that overrides every hook, notes the call and goes on."""

    def override(name):
        def method(self, *args, **kwargs):
            calls.append(name)
            return getattr(super(cls, self), name)(*args, **kwargs)

        return method

    cls = type("Traced", (base,), {name: override(name) for name in HOOKS})
    return cls


def test_every_hook_is_called_as_often_and_in_the_same_order(theirs, ours, tmp_path):
    traces = []
    for package in (theirs, ours):
        calls = []
        cls = traced(package.RandomSearch, calls)
        made = cls(
            build,
            "val_loss",
            max_trials=2,
            executions_per_trial=2,
            directory=str(tmp_path),
            project_name=package.__name__,
        )
        made.search(X, Y, **FIT)
        made.get_best_models()
        traces.append([name for name in calls if name != "get_state"])
        assert "get_state" in calls
    assert traces[1] == traces[0]


def test_hooks_of_hyperband(theirs, ours, tmp_path):
    traces = []
    for package in (theirs, ours):
        calls = []
        cls = traced(package.Hyperband, calls)
        made = cls(
            build, "val_loss", max_epochs=2, factor=2, directory=str(tmp_path), project_name=package.__name__
        )
        made.search(X, Y, **FIT)
        traces.append([name for name in calls if name != "get_state"])
    assert traces[1] == traces[0]


def test_a_tuner_with_its_own_training_loop(either, tmp_path):
    """The custom loop of KerasTuner's guide."""

    class MyTuner(either.RandomSearch):
        def run_trial(self, trial, x, y, *args, **kwargs):
            hp = trial.hyperparameters
            model = self.hypermodel.build(hp)
            optimizer = keras.optimizers.SGD(hp.Float("sgd_rate", 1e-3, 1e-1, sampling="log"))
            best = float("inf")
            for epoch in range(2):
                self.on_epoch_begin(trial, model, epoch, logs={})
                model.compile(optimizer, "mse")
                loss = model.train_on_batch(x, y, return_dict=True)["loss"]
                self.on_epoch_end(trial, model, epoch, logs={"loss": float(loss)})
                best = min(best, float(loss))
            model.save_weights(os.path.join(self.get_trial_dir(trial.trial_id), "model.weights.h5"))
            return {"best": best}

        def load_model(self, trial):
            model = self.hypermodel.build(trial.hyperparameters)
            model.load_weights(os.path.join(self.get_trial_dir(trial.trial_id), "model.weights.h5"))
            return model

    tuner = MyTuner(
        hypermodel=build,
        objective=either.Objective("best", "min"),
        max_trials=3,
        directory=str(tmp_path),
        project_name="loop",
    )
    tuner.search(X, Y)
    assert tuner.get_best_models()[0].predict(X, verbose=0).shape == (64, 1)
    assert "sgd_rate" in tuner.get_best_hyperparameters()[0].values
    assert tuner.remaining_trials == 0


def test_a_black_box(either, tmp_path):
    class Quadratic(either.engine.base_tuner.BaseTuner):
        def run_trial(self, trial, offset):
            x = trial.hyperparameters.Float("x", -2.0, 2.0)
            return (x - offset) ** 2

    oracle = either.oracles.RandomSearchOracle(max_trials=20, seed=3)
    tuner = Quadratic(oracle, directory=str(tmp_path), project_name="box")
    tuner.search(0.5)
    best = tuner.get_best_hyperparameters()[0].get("x")
    assert (best - 0.5) ** 2 == pytest.approx(oracle.get_best_trials()[0].score)
    assert abs(best - 0.5) < 0.5


def test_keras_code_tuned_with_a_hypermodel_that_fits_in_its_own_way(either, tmp_path):
    class MyHyperModel(either.HyperModel):
        def build(self, hp):
            return build(hp)

        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, batch_size=hp.Choice("batch_size", [16, 32]), **kwargs)

    tuner = either.RandomSearch(
        MyHyperModel(), "val_loss", max_trials=2, directory=str(tmp_path), project_name="own"
    )
    tuner.search(X, Y, validation_data=(X, Y), epochs=1, verbose=0)
    assert {t.hyperparameters.get("batch_size") for t in tuner.oracle.trials.values()} <= {16, 32}


def test_part_of_the_space_can_be_given(either, tmp_path):
    hp = either.HyperParameters()
    hp.Float("rate", 0.01, 0.02)
    tuner = either.RandomSearch(
        build,
        "val_loss",
        max_trials=3,
        hyperparameters=hp,
        tune_new_entries=False,
        directory=str(tmp_path),
        project_name="part",
    )
    tuner.search(X, Y, **FIT)
    values = [t.hyperparameters.values for t in tuner.oracle.trials.values()]
    assert len(values) == 3
    assert all(0.01 <= v["rate"] <= 0.02 and v.get("units", 4) == 4 for v in values)


def test_a_hypermodel_that_is_not_tunable(either, tmp_path):
    class Frozen(either.HyperModel):
        def build(self, hp):
            return build(hp)

    tuner = either.RandomSearch(
        Frozen(tunable=False), "val_loss", max_trials=2, directory=str(tmp_path), project_name="frozen"
    )
    assert tuner.oracle.get_space().space == []


def test_an_oracle_as_the_documentation_of_synchronized_shows_it(either, tmp_path):
    class MyOracle(either.Oracle):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.created = 0

        def populate_space(self, trial_id):
            values = self._random_values()
            return {"status": "STOPPED" if values is None else "RUNNING", "values": values}

        @either.synchronized
        def create_trial(self, tuner_id):
            trial = super().create_trial(tuner_id)
            self.created += trial.status == "RUNNING"
            return trial

        @either.synchronized
        def end_trial(self, trial):
            super().end_trial(trial)

        def get_state(self):
            return {**super().get_state(), "created": self.created}

        def set_state(self, state):
            super().set_state(state)
            self.created = state["created"]

    oracle = MyOracle("val_loss", max_trials=3)
    tuner = either.Tuner(oracle, build, directory=str(tmp_path), project_name="mine")
    tuner.search(X, Y, **FIT)
    again = MyOracle("val_loss", max_trials=3)
    either.Tuner(again, build, directory=str(tmp_path), project_name="mine")
    assert again.created == oracle.created == 3


def test_models_continue_where_the_earlier_round_ended(either, tmp_path):
    """Hyperband's promoted trials begin with the weights of the trial they name."""
    began = {}

    class Watching(either.Hyperband):
        def _build_hypermodel(self, hp):
            model = super()._build_hypermodel(hp)
            if "tuner/trial_id" in hp.values:
                began[hp.values["tuner/trial_id"]] = [np.array(w) for w in model.get_weights()]
            return model

    tuner = Watching(
        build, "val_loss", max_epochs=2, factor=2, directory=str(tmp_path), project_name="hb", seed=1
    )
    tuner.search(X, Y, **FIT)
    assert len(tuner.oracle.trials) == 5
    for trial_id, weights in list(began.items()):
        trial = tuner.oracle.get_trial(trial_id)
        if "tuner/trial_id" not in trial.hyperparameters.values:
            saved = tuner.load_model(trial).get_weights()
            assert all(np.array_equal(a, b) for a, b in zip(weights, saved, strict=True))


def test_overriding_compile_arguments(either, tmp_path):
    optimizers = []

    class Noting(either.RandomSearch):
        def on_epoch_end(self, trial, model, epoch, logs=None):
            optimizers.append((trial.trial_id, model.optimizer, dict(logs)))

    tuner = Noting(
        build,
        "val_loss",
        max_trials=2,
        optimizer=keras.optimizers.SGD(0.01, momentum=0.5),
        loss="mae",
        metrics=[keras.metrics.MeanSquaredError(name="squared")],
        directory=str(tmp_path),
        project_name="compile",
    )
    tuner.search(X, Y, **{**FIT, "epochs": 1})
    assert len({id(o) for _, o, _ in optimizers}) == 2
    for _, optimizer, logs in optimizers:
        assert isinstance(optimizer, keras.optimizers.SGD)
        assert optimizer.momentum == 0.5
        assert "val_squared" in logs


def test_a_model_that_is_too_large_is_a_failed_trial(either, tmp_path):
    oracle = either.oracles.GridSearchOracle("val_loss", max_trials=2)
    tuner = either.Tuner(oracle, grow, max_model_size=100, directory=str(tmp_path), project_name="size")
    tuner.search(X, Y, **FIT)
    small, large = oracle.trials.values()
    assert (small.status, large.status) == ("COMPLETED", "FAILED")
    assert "3001" in large.message


def grow(hp):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(hp.Choice("units", [4, 1000]))])
    model.add(keras.layers.Dense(1))
    model.compile("sgd", "mse")
    return model


def test_raising_max_trials_goes_on(either, tmp_path):
    def run(max_trials):
        tuner = either.RandomSearch(
            build, "val_loss", max_trials=max_trials, seed=1, directory=str(tmp_path), project_name="more"
        )
        # KerasTuner keeps the number of its first run, so a user sets it once more.
        tuner.oracle.max_trials = max_trials
        tuner.search(X, Y, **FIT)
        return list(tuner.oracle.trials)

    first = run(1)
    assert run(2)[:1] == first
    assert len(run(2)) == 2


def test_what_a_tuner_puts_into_its_state_is_there_again(either, tmp_path):
    class Counting(either.RandomSearch):
        def __init__(self, *args, **kwargs):
            self.ended = 0
            super().__init__(*args, **kwargs)

        def on_trial_end(self, trial):
            self.ended += 1
            super().on_trial_end(trial)

        def get_state(self):
            return {"ended": self.ended}

        def set_state(self, state):
            self.ended = state["ended"]

    def make():
        return Counting(build, "val_loss", max_trials=2, directory=str(tmp_path), project_name="state")

    make().search(X, Y, **FIT)
    assert make().ended == 2


def test_tensorboard(either, tmp_path):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    logs = tmp_path / "logs"
    tuner = either.RandomSearch(
        build, "val_loss", max_trials=2, executions_per_trial=2, directory=str(tmp_path), project_name="tb"
    )
    tuner.search(X, Y, **FIT, callbacks=[keras.callbacks.TensorBoard(str(logs))])
    events = EventMultiplexer().AddRunsFromDirectory(str(logs))
    events.Reload()
    read = {}
    for run in events.Runs():
        for tag, content in events.PluginRunToTagToContent(metadata.PLUGIN_NAME).get(run, {}).items():
            if tag == metadata.SESSION_START_INFO_TAG:
                data = plugin_data_pb2.HParamsPluginData.FromString(content)
                info = data.session_start_info
                read[run] = info.group_name, {k: v.number_value for k, v in info.hparams.items()}
    trials = tuner.oracle.trials.values()
    assert set(read) == {f"{t.trial_id}/execution{e}" for t in trials for e in (0, 1)}
    for trial in trials:
        for execution in (0, 1):
            group, values = read[f"{trial.trial_id}/execution{execution}"]
            assert values == pytest.approx(trial.hyperparameters.values)
            assert group


def test_users_callbacks_are_copied_for_each_execution(either, tmp_path):
    seen = []

    class Own(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1
            seen.append((id(self), self.epochs))

    own = Own()
    tuner = either.RandomSearch(
        build, "val_loss", max_trials=2, executions_per_trial=2, directory=str(tmp_path), project_name="cb"
    )
    tuner.search(X, Y, **FIT, callbacks=[own])
    assert [epochs for _, epochs in seen] == [1, 2] * 4
    assert own.epochs == 0


def test_a_callback_that_can_not_be_copied_is_fatal(either, tmp_path):
    class Open(keras.callbacks.Callback):
        def __deepcopy__(self, memo):
            raise TypeError("cannot pickle")

    tuner = either.RandomSearch(build, "val_loss", max_trials=1, directory=str(tmp_path), project_name="copy")
    with pytest.raises(either.errors.FatalValueError, match="deep-copyable"):
        tuner.search(X, Y, **FIT, callbacks=[Open()])
