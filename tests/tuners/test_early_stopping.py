"""The stopping rule on real Keras trainings: in a program, and in a step."""

import json

import pytest

from ktcomponent import GridSearch, RandomSearch

pytestmark = pytest.mark.slow

keras = pytest.importorskip("keras")

EPOCHS = 8


@pytest.fixture(scope="module")
def early():
    import early

    return early


def epochs_of(tuner, trial):
    storage = tuner._host.storage
    attempt = tuner._ledger.study.state.leases[trial.trial_id]["attempt"]
    history = json.loads(storage.get(f"trials/{trial.trial_id}/1-{attempt}/history.json"))
    return [len(execution["val_loss"]) for execution in history["executions"]]


def test_trainings_that_are_behind_end_early_and_the_best_goes_on(early, tmp_path):
    rule = {"rule": "median", "min_steps": 2, "min_trials": 2}
    tuner = RandomSearch(
        early.build,
        "val_loss",
        max_trials=6,
        seed=4,
        stopping=rule,
        executions_per_trial=2,
        directory=tmp_path,
    )
    _, data = early.search_args()
    tuner.search(**data, verbose=0)
    trials = list(tuner.oracle.trials.values())
    assert [t.status for t in trials] == ["COMPLETED"] * 6
    ended = [t for t in trials if t.stopped is not None]
    assert ended
    for trial in trials:
        ran = epochs_of(tuner, trial)
        assert ran == ([EPOCHS, EPOCHS] if trial.stopped is None else [trial.stopped])
    best = tuner.oracle.get_best_trials()[0]
    assert best.stopped is None
    assert best.hyperparameters.get("rate") in (0.1, 0.05)
    model = tuner.get_best_models()[0]
    assert model.evaluate(data["x"][48:], data["y"][48:], verbose=0) < 0.5
    # An ended training counts with what it has reached, and its model is kept.
    assert ended[0].score == pytest.approx(ended[0].rungs[ended[0].stopped], rel=1e-5)
    tuner.load_model(ended[0])


class BreakOff(keras.callbacks.Callback):
    """Ends the process, as it were, when a training of a search begins an epoch, or ends."""

    def __init__(self, training, epoch):
        super().__init__()
        self.training, self.epoch, self.trainings = training, epoch, [-1]

    def __deepcopy__(self, memo):
        return self  # each training gets a copy

    def on_train_begin(self, logs=None):
        self.trainings[0] += 1

    def on_epoch_begin(self, epoch, logs=None):
        if (self.trainings[0], epoch) == (self.training, self.epoch):
            raise KeyboardInterrupt

    def on_train_end(self, logs=None):
        if self.trainings[0] == self.training:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "at", [(0, 6), (5, None)], ids=["in the best training", "in one that was told to stop"]
)
def test_what_the_rule_knew_and_said_outlives_a_worker(early, tmp_path, at):
    def search(folder, training=None, epoch=None):
        tuner = GridSearch(
            early.build,
            "val_loss",
            seed=1,
            stopping={"rule": "median", "grace": 0, "min_trials": 2},
            checkpoint_every=1,
            executions_per_trial=2,
            directory=folder,
        )
        _, data = early.search_args()
        tuner.search(**data, verbose=0, callbacks=[BreakOff(training, epoch)])
        trials = tuner.oracle.trials.values()
        return [(t.stopped, t.rungs, t.score) for t in trials], [epochs_of(tuner, t) for t in trials]

    undisturbed = search(tmp_path / "whole")
    assert [stopped for stopped, _, _ in undisturbed[0]].count(None) == 2
    # Two trainings of each of the first two trials, one of each other.
    training = at[0] if at[0] == 0 else 2 + at[0]
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "broken", training, at[1])
    assert search(tmp_path / "broken") == undisturbed


def test_a_step_says_which_trainings_ended_early(commands):
    oracle = {"class": "RandomSearch", "objective": "val_loss", "max_trials": 6, "seed": 4}
    refused = json.dumps({**oracle, "stopping": "worst"})
    code, output = commands.step("--oracle", refused, hypermodel="early:build")
    assert code == 2
    assert "`stopping` must be one of ['asha', 'curve', 'median']" in output
    oracle["stopping"] = {"rule": "median", "min_steps": 2, "min_trials": 2}
    code, output = commands.step(
        *("--oracle", json.dumps(oracle), "--search-args", "early:search_args"), hypermodel="early:build"
    )
    assert code == 0, output
    assert "ended early after 2 steps" in output
    trials = commands.open().state.trials
    assert any(record.get("stopped") for record in trials.values())
    assert all(set(record["rungs"]) <= {"2", "4", "8"} for record in trials.values())
