"""`HyperParameters`: declaring, conditions, scopes, merging, and its JSON."""

import json

import pytest

from ktcomponent.hyperparameters import Fixed, Float, HyperParameters, Int


def declared():
    hp = HyperParameters()
    hp.Choice("model", ["tree", "net"])
    with hp.conditional_scope("model", ["net"]):
        hp.Int("layers", 1, 3)
        with hp.conditional_scope("layers", [2, 3]):
            hp.Float("dropout", 0, 0.5, step=0.1)
    hp.Boolean("flag", parent_name="model", parent_values="tree")
    return hp


def test_only_active_hyperparameters_have_values():
    hp = declared()
    assert hp.values == {"model": "tree", "flag": False}
    assert hp.get("flag") is False
    assert "layers" not in hp
    assert not hp.is_active("dropout")
    with pytest.raises(ValueError, match="inactive"):
        hp.get("layers")
    with pytest.raises(KeyError, match="does not exist"):
        hp.get("nothing")


def test_an_inactive_hyperparameter_is_declared_and_gives_none():
    hp = declared()
    with hp.conditional_scope("model", ["net"]):
        assert hp.Int("width", 1, 3) is None
    assert "width" in {p.name for p in hp.space}


def test_values_follow_when_a_parent_changes():
    hp = declared()
    hp.values["model"] = "net"
    hp.ensure_active_values()
    assert hp.values == {"model": "net", "layers": 1}
    hp.values["layers"] = 2
    hp.ensure_active_values()
    assert hp.values == {"model": "net", "layers": 2, "dropout": 0.0}


def test_one_name_under_two_conditions_keeps_the_active_value():
    hp = HyperParameters()
    hp.Choice("model", ["a", "b"])
    for model, high in (("a", 10), ("b", 20)):
        with hp.conditional_scope("model", [model]):
            hp.Int("units", 1, high, default=high)
    assert hp.values == {"model": "a", "units": 10}
    hp.ensure_active_values()
    assert hp.values == {"model": "a", "units": 10}


def test_name_scopes_nest_and_reach_parents():
    hp = HyperParameters()
    with hp.name_scope("outer"):
        hp.Choice("kind", ["x", "y"], default="y")
        with hp.name_scope("inner"):
            hp.Int("n", 1, 2)
        with hp.conditional_scope("kind", "y"):
            assert hp.Float("f", 1, 2) == 1.0
    assert list(hp.values) == ["outer/kind", "outer/inner/n", "outer/f"]


def test_a_scope_of_an_unknown_parent_is_refused():
    hp = HyperParameters()
    with pytest.raises(ValueError, match="not defined"), hp.conditional_scope("nobody", [1]):
        pass


def test_the_configuration_is_json_and_makes_an_equal_copy():
    hp = declared()
    config = json.loads(json.dumps(hp.get_config()))
    again = HyperParameters.from_config(config)
    assert again.get_config() == hp.get_config()
    again.values["flag"] = True
    assert hp.values["flag"] is False


def test_merge_adds_and_overwrites_only_when_asked():
    hp = HyperParameters()
    hp.Int("a", 1, 5, default=3)
    hp.merge([Int("a", 1, 5, default=4), Float("b", 0, 1)], overwrite=False)
    assert hp.values == {"a": 3, "b": 0.0}
    hp.merge([Fixed("a", 7)])
    assert hp.values["a"] == 7
    assert [p.name for p in hp.space] == ["a", "b"]


def test_a_known_hyperparameter_wins_over_its_declaration_and_the_difference_is_noted():
    hp = HyperParameters()
    hp.Float("rate", 0.1, 0.2)
    asked = hp.copy()
    assert asked.Float("rate", 0.1, 0.5) == 0.1
    assert [(k.max_value, g.max_value) for k, g in asked.redeclared] == [(0.2, 0.5)]
    same = hp.copy()
    same.Float("rate", 0.1, 0.2, default=0.15)
    assert same.redeclared == []


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda hp: hp.Int("i", 5, 1), "greater than"),
        (lambda hp: hp.Int("i", 0, 5, sampling="log"), "positive"),
        (lambda hp: hp.Int("i", 1.5, 5), "must be an int"),
        (lambda hp: hp.Float("f", 1, 2, sampling="cubic"), "sampling must be one of"),
        (lambda hp: hp.Float("f", 1, 2, step=1, sampling="log"), "expected step > 1"),
        (lambda hp: hp.Choice("c", []), "must be provided"),
        (lambda hp: hp.Choice("c", ["a", "b"], default="z"), "one of the choices"),
        (lambda hp: hp.Choice("c", ["a"], ordered=True), "non-numeric"),
        (lambda hp: hp.Fixed("f", [1]), "must be an"),
    ],
)
def test_what_can_not_be_is_refused_with_a_message(declare, message):
    with pytest.raises(ValueError, match=message):
        declare(HyperParameters())


def test_a_choice_of_several_types_is_refused():
    with pytest.raises(TypeError, match="only one type"):
        HyperParameters().Choice("c", [1, "a"])


def test_what_others_discovered_after_a_trial_was_claimed_takes_its_default():
    space = HyperParameters()
    space.Int("blocks", 1, 3, default=2)
    space.Choice("head", ["linear", "hidden"])
    claimed = HyperParameters.from_config({"space": space.get_config()["space"], "values": {}})
    assert claimed.Int("blocks", 1, 3, default=2) == 2
    assert claimed.Choice("head", ["linear", "hidden"]) == "linear"
    assert claimed.values == {"blocks": 2, "head": "linear"}
