"""Which oracle a search gets where nobody names one."""

import pytest

from ktcomponent.errors import ConfigurationError
from ktcomponent.hyperparameters import HyperParameters
from ktcomponent.oracles import BayesianOptimizationOracle
from ktcomponent.oracles.registry import class_name, create_oracle
from ktcomponent.report import status, status_lines
from ktcomponent.step.plan import Plan
from ktcomponent.step.resolve import make_oracle
from ktcomponent.study import Writer, incarnations
from ktcomponent.study.binding import bind
from ktcomponent.tuners.hypermodel import HyperModel


def small_space():
    hp = HyperParameters()
    hp.Choice("kind", ["flat", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        hp.Int("layers", 1, 5)
    return hp


def wide_space():
    """Of 1,000 integers a grid has ten."""
    hp = HyperParameters()
    hp.Int("units", 1, 1000, sampling="log")
    return hp


@pytest.mark.parametrize(
    ("spec", "space", "name", "told"),
    [
        ({"max_trials": 40}, None, "BayesianOptimization", "trained to its end"),
        ({"class": "auto"}, None, "BayesianOptimization", "trained to its end"),
        ({"max_trials": 5}, small_space(), "BayesianOptimization", "trained to its end"),
        ({"max_trials": 6}, small_space(), "GridSearch", "all 6 combinations fit into max_trials=6"),
        ({"max_trials": 20}, wide_space(), "BayesianOptimization", "trained to its end"),
        ({"max_trials": 40, "max_epochs": 27}, None, "Asha", "lanes never wait"),
        ({"max_epochs": 27}, None, "Asha", "lanes never wait"),
        ({"max_trials": 8, "max_epochs": 27}, None, "Asha", "8 configurations are too few for rungs"),
    ],
)
def test_the_choice_follows_from_fidelity_budget_and_space(spec, space, name, told):
    oracle = create_oracle({"objective": "val_loss", **spec}, hyperparameters=space)
    assert class_name(oracle) == name
    assert told in oracle.chosen
    if name == "Asha":
        assert oracle.max_configurations == spec.get("max_trials", 50)
        assert oracle.variant == ("stopping" if spec.get("max_trials") == 8 else "promotion")


def test_what_is_given_is_kept():
    few = {"objective": "val_loss", "max_trials": 6, "max_epochs": 20}
    assert create_oracle({**few, "variant": "promotion"}).variant == "promotion"
    with_rule = create_oracle({**few, "stopping": "median"})
    assert (with_rule.variant, with_rule.stopping.name) == ("promotion", "median")
    with pytest.raises(ConfigurationError, match="give one of them"):
        create_oracle({**few, "max_configurations": 5})


@pytest.mark.parametrize(
    ("name", "chosen"), [("Covered", "GridSearch"), ("Hidden", "BayesianOptimization"), ("function", "Bay")]
)
def test_a_hypermodel_is_asked_for_its_space_before_the_choice(name, chosen, monkeypatch):
    class Covered(HyperModel):
        def build(self, hp):
            hp.Choice("kind", ["flat", "deep"])

    class Hidden(HyperModel):
        def build(self, hp):
            hp.Choice("kind", ["flat", "deep"])
            with hp.conditional_scope("kind", ["deep"]):
                hp.Int("layers", 1, 5)

    def function(hp):
        raise AssertionError(f"must not be called with {hp} to see its space")

    named = {"Covered": Covered(), "Hidden": Hidden(), "function": None}[name] or function
    hypermodel = named if isinstance(named, HyperModel) else None
    plan = Plan("s", "m:f", oracle={"objective": "val_loss", "max_trials": 4})
    assert class_name(make_oracle(plan, None, hypermodel)).startswith(chosen)


def test_a_named_oracle_is_not_chosen():
    assert create_oracle({"class": "RandomSearch", "objective": "val_loss"}).chosen is None


def test_a_raised_limit_does_not_make_it_another_search():
    first = create_oracle({"objective": "val_loss", "max_trials": 8, "max_epochs": 9})
    kept = {"class": class_name(first), **first.settings()}
    again = create_oracle({"objective": "val_loss", "max_trials": 30, "max_epochs": 9}, kept=kept)
    assert (again.variant, again.max_configurations) == ("stopping", 30)
    with pytest.raises(ConfigurationError, match="has the oracle RandomSearch: name it"):
        create_oracle({"class": "auto", "objective": "val_loss"}, kept={"class": "RandomSearch"})


def test_a_study_whose_oracle_was_not_chosen_goes_on_without_its_name():
    kept = {"class": "RandomSearch", "objective": "val_loss", "max_trials": 3}
    assert class_name(create_oracle({"objective": "val_loss", "max_trials": 5}, kept=kept)) == "RandomSearch"


def test_a_grid_is_taken_only_where_it_is_the_whole_space_and_takes_the_arguments():
    line = HyperParameters()
    line.Float("x", 0, 1)
    for space, more in ((line, {}), (small_space(), {"num_initial_points": 3})):
        oracle = create_oracle({"objective": "val_loss", "max_trials": 60, **more}, hyperparameters=space)
        assert class_name(oracle) == "BayesianOptimization"


@pytest.mark.parametrize("more", [{}, {"max_epochs": 9}])
def test_a_number_of_trials_that_is_none_is_refused(more):
    with pytest.raises(ConfigurationError, match="`max_trials` must be a whole number"):
        create_oracle({"max_trials": "5", **more})


def test_an_argument_that_the_chosen_oracle_lacks_is_refused():
    with pytest.raises(ConfigurationError, match="Asha has no argument 'beta'"):
        create_oracle({"max_epochs": 3, "beta": 1.0})


def test_the_status_says_why(storage):
    oracle = create_oracle({"objective": "loss", "max_trials": 3}, hyperparameters=small_space())
    ledger = bind(oracle, storage, Writer("w", incarnations.new_incarnation()))
    lines = dict(status_lines(status(ledger.study)))
    assert lines["oracle"].startswith("BayesianOptimization (chosen: every trial")
    named = BayesianOptimizationOracle("loss", max_trials=3, hyperparameters=small_space())
    again = bind(named, storage, Writer("v", incarnations.new_incarnation()))
    assert status(again.study)["chosen"] == oracle.chosen
