"""A training that was broken off goes on inside, to the same weights, bit for bit."""

import json

import pytest

pytestmark = pytest.mark.slow

keras = pytest.importorskip("keras")

import resuming  # noqa: E402

import ktcomponent as kt  # noqa: E402
from ktcomponent.storage import open_storage  # noqa: E402
from ktcomponent.study import Study, checkpoints  # noqa: E402


class BreakOff(keras.callbacks.Callback):
    """Ends the process, as it were, at the end of an epoch of an execution (counted in trainings from 0)."""

    trainings = -1
    at = None

    def on_train_begin(self, logs=None):
        BreakOff.trainings += 1

    def on_epoch_begin(self, epoch, logs=None):
        if (BreakOff.trainings, epoch) == BreakOff.at:
            raise KeyboardInterrupt


def search(folder, *more, at=None, hypermodel=resuming.build, **settings):
    BreakOff.trainings, BreakOff.at = -1, at
    settings = {"checkpoint_every": 1, "executions_per_trial": 1, **settings}
    tuner = kt.RandomSearch(
        hypermodel, "val_loss", max_trials=1, seed=1, directory=str(folder), project_name="p", **settings
    )
    args, kwargs = resuming.search_args()
    kwargs["callbacks"] = [*kwargs["callbacks"], BreakOff(), *more]
    tuner.search(*args, verbose=0, **kwargs)
    return tuner


def outcome(tuner, monkeypatch_path):
    trial = tuner.oracle.get_best_trials(1)[0]
    with open(f"{tuner.get_trial_dir(trial.trial_id)}/history.json") as file:
        histories = json.load(file)["executions"]
    weights = [w.tolist() for w in tuner.get_best_models()[0].get_weights()]
    final = [json.loads(line) for line in monkeypatch_path.read_text().splitlines()]
    return trial.score, trial.best_step, histories, weights, final


@pytest.fixture
def final(tmp_path, monkeypatch):
    path = tmp_path / "final.json"
    monkeypatch.setenv("FINAL_WEIGHTS", str(path))
    return path


@pytest.fixture
def seen(tmp_path, monkeypatch):
    path = tmp_path / "epochs"
    monkeypatch.setenv("EPOCHS_SEEN", str(path))
    return lambda: [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What a search of two executions gives, and the epochs that it runs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINAL_WEIGHTS", str(folder / "final"))
        patch.setenv("EPOCHS_SEEN", str(folder / "epochs"))
        found = outcome(search(folder, executions_per_trial=2), folder / "final")
    return found, [int(line) for line in (folder / "epochs").read_text().split()]


def breaks_off(folder, at, *more, **settings):
    with pytest.raises(KeyboardInterrupt):
        search(folder, *more, at=at, **settings)


@pytest.mark.parametrize("at", [(0, 1), (0, 6), (1, 0), (1, 5)])
def test_a_resumed_training_ends_with_the_same_bits(at, undisturbed, tmp_path, final, seen, capsys):
    unbroken, whole = undisturbed
    breaks_off(tmp_path / "broken", at, executions_per_trial=2)
    # In another process Python's and NumPy's generators are elsewhere.
    keras.utils.set_random_seed(99)
    resumed = outcome(search(tmp_path / "broken", executions_per_trial=2), final)
    assert resumed[:4] == unbroken[:4]
    assert resumed[4][-1] == unbroken[4][-1]
    assert seen() == whole  # no epoch was run twice
    assert "goes on with epoch" in capsys.readouterr().out


def test_a_training_that_had_stopped_early_is_not_trained_on(tmp_path, final, seen):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                self.model.stop_training = True

    class AtTheEnd(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            if BreakOff.at == "end":
                import time

                time.sleep(1)  # the checkpoint arrives
                raise KeyboardInterrupt

    unbroken = outcome(search(tmp_path / "unbroken", Stop(), AtTheEnd()), final)
    breaks_off(tmp_path / "broken", "end", Stop(), AtTheEnd())
    before = seen()
    resumed = outcome(search(tmp_path / "broken", Stop(), AtTheEnd()), final)
    assert resumed[:4] == unbroken[:4]
    assert seen() == before


def test_a_callback_with_unknown_state_begins_anew_and_says_why(tmp_path, seen, capsys):
    breaks_off(tmp_path, (0, 3), resuming.Counting())
    assert "the callback Counting keeps state (seen)" in capsys.readouterr().out
    search(tmp_path, resuming.Counting())
    assert seen()[:6] == [0, 1, 2, 0, 1, 2]


def test_a_callback_that_tells_its_state_goes_on(tmp_path, seen):
    breaks_off(tmp_path, (0, 3), resuming.Speaking())
    told = []

    class Telling(resuming.Speaking):
        def on_train_end(self, logs=None):
            told.append(self.seen)

    Telling.__name__ = "Speaking"
    search(tmp_path, Telling())
    assert seen()[3] == 3
    assert told == [len(seen())]


def test_other_callbacks_or_another_model_begin_anew_and_say_why(tmp_path, capsys):
    breaks_off(tmp_path / "a", (0, 3))
    search(tmp_path / "a", resuming.Speaking())
    assert "begins anew and not from its checkpoint: its callbacks were" in capsys.readouterr().out

    def wider(hp):
        model = resuming.build(hp)
        wide = keras.Sequential([keras.layers.Dense(3), *model.layers])
        wide.compile("adam", "mse")
        return wide

    breaks_off(tmp_path / "b", (0, 3))
    search(tmp_path / "b", hypermodel=wider)
    assert "its model has other variables than before" in capsys.readouterr().out


def test_it_can_be_switched_off(tmp_path, seen):
    breaks_off(tmp_path, (0, 3), checkpoint_every=0)
    assert not open_storage(tmp_path / "p").list("trials")
    search(tmp_path, checkpoint_every=0)
    assert seen()[:4] == [0, 1, 2, 0]


def test_a_damaged_checkpoint_is_not_gone_on_with(tmp_path, seen):
    breaks_off(tmp_path, (0, 4))
    storage = open_storage(tmp_path / "p")
    manifests = [key for key in storage.list("trials") if key.endswith(".json")]
    assert 1 <= len(manifests) <= checkpoints.KEPT
    for key in manifests:
        storage.put(key, (storage.get(key) or b"").replace(b'"epoch":', b'"epoch": ', 1))
    search(tmp_path)
    assert seen()[4] == 0


def test_nothing_is_left_of_checkpoints_when_the_trial_has_ended(tmp_path):
    breaks_off(tmp_path, (0, 2))
    assert [key for key in open_storage(tmp_path / "p").list("trials") if "/resume/" in key]
    search(tmp_path)
    storage = open_storage(tmp_path / "p")
    assert not [key for key in storage.list("trials") if "/resume/" in key]
    state = Study.open(storage).state
    assert state.leases["0"]["attempt"] == 2


class OwnFit(kt.HyperModel):
    def build(self, hp):
        return resuming.build(hp)

    def fit(self, hp, model, *args, **kwargs):
        history = model.fit(*args, **{**kwargs, "batch_size": 16})
        return min(history.history["val_loss"])


def test_an_overridden_fit_goes_on_where_it_says_that_it_can(tmp_path, seen, capsys):
    breaks_off(tmp_path / "a", (0, 3), hypermodel=OwnFit())
    search(tmp_path / "a", hypermodel=OwnFit())
    assert "OwnFit.fit() is not known to be resumable" in capsys.readouterr().out

    class Resumable(OwnFit):
        resumable = True

    whole = search(tmp_path / "whole", hypermodel=Resumable()).oracle.get_best_trials()[0].score
    breaks_off(tmp_path / "b", (0, 3), hypermodel=Resumable())
    assert search(tmp_path / "b", hypermodel=Resumable()).oracle.get_best_trials()[0].score == whole


def test_reports_until_the_checkpoint_count_once(tmp_path):
    class Reporting(kt.RandomSearch):
        def on_epoch_end(self, trial, model, epoch, logs=None):
            self.oracle.update_trial(trial.trial_id, {"val_loss": logs["val_loss"]}, step=epoch)

    def run(folder, at=None):
        BreakOff.trainings, BreakOff.at = -1, at
        tuner = Reporting(
            resuming.build, "val_loss", max_trials=1, seed=1, directory=str(folder), checkpoint_every=2
        )
        args, kwargs = resuming.search_args()
        kwargs["callbacks"] = [*kwargs["callbacks"], BreakOff()]
        tuner.search(*args, verbose=0, **kwargs)
        return tuner.oracle.trials["0"].metrics.get_config()

    unbroken = run(tmp_path / "unbroken")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", at=(0, 5))
    assert run(tmp_path / "broken") == unbroken


@pytest.mark.parametrize(
    "make",
    [keras.callbacks.History, lambda: keras.callbacks.ModelCheckpoint("gone.keras", save_best_only=True)],
)
def test_kerass_own_callbacks_go_on(make, tmp_path, final, seen, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unbroken = outcome(search(tmp_path / "unbroken", make()), final)
    breaks_off(tmp_path / "broken", (0, 3), make())
    (tmp_path / "gone.keras").unlink(missing_ok=True)
    assert outcome(search(tmp_path / "broken", make()), final)[:4] == unbroken[:4]
    assert [*range(3)] == seen()[-len(unbroken[2][0]["loss"]) :][:3]


def test_a_checkpoint_that_cannot_be_fetched_now_is_not_given_up(tmp_path, monkeypatch):
    from ktcomponent.errors import StorageError
    from ktcomponent.tuners import resume

    breaks_off(tmp_path, (0, 3))

    def down(*_):
        raise StorageError("down")

    with monkeypatch.context() as patch:
        patch.setattr(resume, "newest", down)
        with pytest.raises(StorageError):
            search(tmp_path)
    tuner = search(tmp_path)
    assert len(tuner.oracle.trials) == 1
    assert tuner.oracle.get_best_trials()[0].status == "COMPLETED"


def test_with_validation_in_some_epochs_the_best_of_those_counts(tmp_path):
    args, kwargs = resuming.search_args()
    kwargs["callbacks"] = []
    tuner = kt.RandomSearch(
        resuming.build, "val_loss", max_trials=1, seed=1, directory=str(tmp_path), project_name="p"
    )
    tuner.search(*args, verbose=0, **{**kwargs, "epochs": 5, "validation_freq": 2})
    trial = tuner.oracle.get_best_trials()[0]
    assert trial.best_step in (1, 3)
    model = tuner.get_best_models()[0]
    x, y = kwargs["validation_data"]
    loss = model.evaluate(x, y, verbose=0)
    assert (loss[0] if isinstance(loss, list) else loss) == pytest.approx(trial.score, rel=1e-5)
