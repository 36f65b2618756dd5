"""The oracle protocol, in memory."""

import json

import pytest

from ktcomponent.errors import ConfigurationError, FatalValueError, TooManyFailedTrials
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import Oracle, RandomSearchOracle, synchronized
from ktcomponent.trial import Trial


def space(*names):
    hp = HyperParameters()
    for name in names or ("x",):
        hp.Float(name, 0, 1)
    return hp


def finish(oracle, trial, score=None, status="COMPLETED"):
    if score is not None:
        oracle.update_trial(trial.trial_id, {oracle.objective.name: score})
    trial.status = status
    oracle.end_trial(trial)


def run(oracle, count, tuner_id="t"):
    values = []
    for _ in range(count):
        trial = oracle.create_trial(tuner_id)
        if trial.status != "RUNNING":
            break
        values.append(trial.hyperparameters.values)
        finish(oracle, trial, sum(values[-1].values()))
    return values


def test_a_search_is_reproducible_and_goes_on_from_its_state():
    whole = run(RandomSearchOracle(max_trials=10, seed=5, hyperparameters=space("x", "y")), 10)
    first = RandomSearchOracle(max_trials=10, seed=5, hyperparameters=space("x", "y"))
    part = run(first, 4)
    running = first.create_trial("t")
    state = json.loads(json.dumps(first.get_state()))
    second = RandomSearchOracle(max_trials=10, seed=99, hyperparameters=space("other"))
    second.set_state(state)
    assert second.get_state() == state
    again = second.create_trial("t")
    assert again.trial_id == running.trial_id
    finish(second, again, 1.0)
    assert [*part, again.hyperparameters.values, *run(second, 10)] == whole
    assert len({json.dumps(v) for v in whole}) == 10


def test_a_running_trial_is_given_again_to_the_same_tuner_only():
    oracle = RandomSearchOracle(max_trials=5, seed=1, hyperparameters=space())
    a = oracle.create_trial("a")
    assert oracle.create_trial("a") is a
    assert oracle.create_trial("b").trial_id != a.trial_id


def test_the_limit_of_trials_stops_the_search():
    oracle = RandomSearchOracle(max_trials=3, seed=1, hyperparameters=space())
    assert len(run(oracle, 9)) == 3
    assert oracle.create_trial("t").status == "STOPPED"
    assert oracle.remaining_trials() == 0


def test_an_exhausted_space_stops_the_search_without_a_repeat():
    hp = HyperParameters()
    hp.Choice("c", [1, 2, 3])
    oracle = RandomSearchOracle(max_trials=50, seed=1, hyperparameters=hp)
    values = run(oracle, 50)
    assert len(values) == len({v["c"] for v in values})


def test_an_unknown_space_is_waited_for_while_its_first_trial_runs():
    oracle = RandomSearchOracle(max_trials=5, seed=1)
    first = oracle.create_trial("a")
    assert first.hyperparameters.values == {}
    assert oracle.create_trial("b").status == "IDLE"
    first.hyperparameters.Float("x", 0, 1)
    finish(oracle, first, 0.0)
    assert "x" in oracle.create_trial("b").hyperparameters.values


def test_the_best_trials_come_first_in_the_direction_of_the_objective():
    oracle = RandomSearchOracle("val_accuracy", max_trials=5, seed=1, hyperparameters=space())
    for score in (0.3, 0.9, 0.5):
        finish(oracle, oracle.create_trial("t"), score)
    assert [t.score for t in oracle.get_best_trials(2)] == [0.9, 0.5]


def test_a_failed_run_is_retried_and_then_failed():
    oracle = RandomSearchOracle(max_trials=2, seed=1, hyperparameters=space(), max_retries_per_trial=1)
    first = oracle.create_trial("t")
    finish(oracle, first, status="INVALID")
    again = oracle.create_trial("t")
    assert (again.trial_id, again.status) == (first.trial_id, "RUNNING")
    finish(oracle, again, status="INVALID")
    assert oracle.trials[first.trial_id].status == "FAILED"
    assert oracle.end_order == [first.trial_id]


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_an_objective_that_is_no_number_fails_the_trial(score):
    oracle = RandomSearchOracle(max_trials=2, seed=1, hyperparameters=space())
    trial = oracle.create_trial("t")
    finish(oracle, trial, score)
    assert (trial.status, trial.score) == ("FAILED", None)
    assert "not a finite number" in trial.message


def test_too_many_failures_in_a_row_raise_and_one_success_resets_the_count():
    oracle = RandomSearchOracle(max_trials=20, seed=1, hyperparameters=space())
    for status in ("FAILED", "FAILED", "COMPLETED", "FAILED", "FAILED"):
        finish(oracle, oracle.create_trial("t"), 1.0, status)
    with pytest.raises(TooManyFailedTrials, match="limit of 3"):
        finish(oracle, oracle.create_trial("t"), status="FAILED")
    assert len(oracle.end_order) == 6


def test_the_older_form_of_end_trial_works():
    oracle = RandomSearchOracle(max_trials=3, seed=1, hyperparameters=space())
    for end in (
        lambda i: oracle.end_trial(i, "COMPLETED"),
        lambda i: oracle.end_trial(trial_id=i, status="COMPLETED"),
    ):
        trial = oracle.create_trial("t")
        oracle.update_trial(trial.trial_id, {"default_objective": 2.0})
        end(trial.trial_id)
        assert oracle.get_trial(trial.trial_id).score == 2.0


def test_a_missing_objective_is_refused():
    oracle = RandomSearchOracle("val_loss", max_trials=3, hyperparameters=space())
    trial = oracle.create_trial("t")
    with pytest.raises(FatalValueError, match="val_loss"):
        oracle.update_trial(trial.trial_id, {"loss": 1.0})


def test_new_entries_can_be_forbidden_or_left_at_their_defaults():
    fixed = RandomSearchOracle(max_trials=3, hyperparameters=space(), allow_new_entries=False)
    with pytest.raises(FatalValueError, match="allow_new_entries"):
        fixed.update_space(space("x", "y"))
    untuned = RandomSearchOracle(max_trials=3, hyperparameters=space(), tune_new_entries=False)
    untuned.update_space(space("x", "y"))
    assert [hp.name for hp in untuned.get_space().space] == ["x"]
    with pytest.raises(ConfigurationError, match="tune_new_entries"):
        RandomSearchOracle(tune_new_entries=False)


class Counting(Oracle):
    """Overrides what KerasTuner's documentation says one may, under older names where there are some."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.proposals = 0
        self.ended = []

    def _populate_space(self, trial_id):
        self.proposals += 1
        return {"status": "RUNNING", "values": {"x": self.proposals / 100}}

    def _score_trial(self, trial):
        super()._score_trial(trial)
        trial.score += 1000

    @synchronized
    def end_trial(self, trial):
        super().end_trial(trial)
        self.ended.append(trial.trial_id)

    def get_state(self):
        return {**super().get_state(), "proposals": self.proposals, "ended": list(self.ended)}

    def set_state(self, state):
        super().set_state(state)
        self.proposals, self.ended = state["proposals"], list(state["ended"])


def test_an_oracle_of_the_user_may_override_the_protocol():
    oracle = Counting(max_trials=3, hyperparameters=space())
    assert run(oracle, 5) == [{"x": 0.01}, {"x": 0.02}, {"x": 0.03}]
    assert oracle.ended == ["0", "1", "2"]
    assert oracle.get_best_trials()[0].score == pytest.approx(1000.01)
    again = Counting(max_trials=3, hyperparameters=space())
    again.set_state(oracle.get_state())
    assert again.get_state() == oracle.get_state()


def test_the_callers_trial_knows_what_was_decided():
    oracle = RandomSearchOracle(max_trials=3, seed=1, hyperparameters=space())
    trial = oracle.create_trial("t")
    finish(oracle, trial, 0.5)
    assert trial.score == 0.5
    assert oracle.trials[trial.trial_id] is trial


def test_a_record_keeps_what_newer_software_wrote():
    oracle = RandomSearchOracle(max_trials=3, seed=1, hyperparameters=space())
    record = {**oracle.create_trial("t").to_record(), "from_the_future": [1]}
    assert Trial.from_record("0", record, space()).to_record() == record


@pytest.mark.parametrize(
    "arguments", [{"max_trials": 0}, {"max_trials": "many"}, {"seed": 1.5}, {"max_retries_per_trial": -1}]
)
def test_arguments_that_can_not_be_are_refused(arguments):
    with pytest.raises(ConfigurationError, match="whole number"):
        RandomSearchOracle(**arguments)


def test_a_retry_starts_without_what_the_failed_run_reported():
    oracle = RandomSearchOracle(max_trials=2, seed=1, hyperparameters=space(), max_retries_per_trial=1)
    finish(oracle, oracle.create_trial("t"), float("nan"))
    again = oracle.create_trial("t")
    assert not again.metrics.exists("default_objective")
    finish(oracle, again, 1.0)
    assert (again.status, again.score, again.message) == ("COMPLETED", 1.0, None)


class Noting:
    """A mixin that is no oracle."""

    def end_trial(self, trial):
        super().end_trial(trial)
        self.noted = (trial.trial_id, self._deciding)


class OlderForm(RandomSearchOracle):
    def end_trial(self, trial_id, status="COMPLETED"):
        self.seen = (trial_id, status)
        super().end_trial(trial_id, status)


def test_overrides_may_come_from_a_mixin_or_have_the_older_form():
    mixed = type("Mixed", (Noting, RandomSearchOracle), {})(max_trials=2, hyperparameters=space())
    finish(mixed, mixed.create_trial("t"), 1.0)
    assert mixed.noted == ("0", True)
    older = OlderForm(max_trials=2, hyperparameters=space())
    trial = older.create_trial("t")
    finish(older, trial, 1.0)
    assert older.seen == ("0", "COMPLETED")
    assert trial.score == 1.0


def test_oracles_without_a_seed_differ():
    one, other = (RandomSearchOracle(max_trials=3, hyperparameters=space()) for _ in range(2))
    assert run(one, 3) != run(other, 3)


def test_a_state_can_be_set_again_after_the_oracle_went_on():
    oracle = RandomSearchOracle(max_trials=3, seed=1, hyperparameters=space())
    trial = oracle.create_trial("t")
    state = oracle.get_state()
    again = RandomSearchOracle(max_trials=3, hyperparameters=space())
    again.set_state(state)
    finish(again, again.create_trial("t"), 1.0)
    again.set_state(state)
    assert again.trials[trial.trial_id].status == "RUNNING"


def test_retries_come_in_order_of_their_number_live_and_restored():
    oracle = RandomSearchOracle(max_trials=5, seed=1, hyperparameters=space(), max_retries_per_trial=1)
    first, second = oracle.create_trial("a"), oracle.create_trial("b")
    finish(oracle, second, status="INVALID")
    finish(oracle, first, status="INVALID")
    again = RandomSearchOracle(max_trials=5, hyperparameters=space(), max_retries_per_trial=1)
    again.set_state(oracle.get_state())
    assert oracle.create_trial("c").trial_id == again.create_trial("c").trial_id == first.trial_id


def test_a_space_must_be_hyperparameters():
    with pytest.raises(ConfigurationError, match="must be a `HyperParameters` object"):
        RandomSearchOracle(max_trials=2, hyperparameters={"rate": 0.1})
