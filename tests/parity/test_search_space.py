"""Search spaces: the same configuration, the same values, the same discovery."""

import json

import pytest


def plain(hp):
    hp.Int("units", 8, 64, step=8)
    hp.Int("log", 1, 1000, sampling="log")
    hp.Int("stepped", 2, 128, step=2, sampling="log")
    hp.Float("rate", 1e-4, 1e-1, sampling="log")
    hp.Float("reverse", 1e-4, 1e-1, sampling="reverse_log")
    hp.Float("dropout", 0.0, 0.5, step=0.125, default=0.25)
    hp.Choice("activation", ["relu", "tanh"], default="tanh")
    hp.Choice("size", [1, 2, 3])
    hp.Boolean("norm", default=True)
    hp.Fixed("seed", 7)


def scopes(hp):
    kind = hp.Choice("kind", ["linear", "deep"])
    with hp.conditional_scope("kind", ["deep"]):
        hp.Int("layers", 1, 3)
        if kind == "deep":
            hp.Int("units", 2, 8)
    hp.Boolean("wide", parent_name="kind", parent_values=["linear"])


def nested(hp):
    hp.Choice("a", [1, 2])
    with hp.conditional_scope("a", [2]):
        hp.Choice("b", ["x", "y"])
        with hp.conditional_scope("b", ["y"]):
            hp.Float("c", 0, 1)
    with hp.name_scope("outer"), hp.name_scope("inner"):
        hp.Boolean("d")


def same_name_twice(hp):
    hp.Choice("model", ["p", "q"])
    with hp.conditional_scope("model", ["p"]):
        hp.Int("size", 1, 4)
    with hp.conditional_scope("model", ["q"]):
        hp.Int("size", 10, 40)


def behind_an_if(hp):
    if hp.Boolean("big"):
        with hp.conditional_scope("big", [True]):
            if hp.Choice("how", ["wide", "tall"]) == "tall":
                with hp.conditional_scope("how", ["tall"]):
                    hp.Int("height", 1, 9)


MODELS = [plain, scopes, nested, same_name_twice, behind_an_if]


@pytest.mark.parametrize("declare", MODELS)
def test_configurations_are_interchangeable(theirs, ours, declare):
    there, here = theirs.HyperParameters(), ours.HyperParameters()
    declare(there)
    declare(here)
    assert here.get_config() == there.get_config()
    stored = json.loads(json.dumps(there.get_config()))
    assert ours.HyperParameters.from_config(stored).get_config() == there.get_config()
    stored = json.loads(json.dumps(here.get_config()))
    assert theirs.HyperParameters.from_config(stored).get_config() == here.get_config()


@pytest.mark.parametrize("declare", MODELS)
def test_the_same_values_are_active(theirs, ours, declare):
    there = theirs.HyperParameters()
    declare(there)
    for seed in range(20):
        there.values = {}
        for hp in there.space:
            if there.is_active(hp):
                there.values[hp.name] = hp.random_sample(seed)
        here = ours.HyperParameters.from_config(json.loads(json.dumps(there.get_config())))
        before = dict(here.values)
        here.ensure_active_values()
        assert here.values == before == there.values
        assert [here.is_active(hp.name) for hp in there.space] == [
            there.is_active(hp.name) for hp in there.space
        ]


@pytest.mark.parametrize("declare", MODELS)
def test_domains_map_to_the_unit_interval_alike(theirs, ours, declare):
    there, here = theirs.HyperParameters(), ours.HyperParameters()
    declare(there)
    declare(here)
    for a, b in zip(there.space, here.space, strict=True):
        # KerasTuner's ten values of a continuous domain come in the order of a set.
        found, expected = sorted(b.values), sorted(a.values)
        assert found == (expected if isinstance(a.default, str) else pytest.approx(expected))
        assert a.default == b.default
        for i in range(40):
            u = (i + 0.5) / 40
            assert b.prob_to_value(u) == (
                pytest.approx(a.prob_to_value(u))
                if isinstance(a.prob_to_value(u), float)
                else a.prob_to_value(u)
            )


class NoModel:
    """What a build function returns where nobody looks at it."""


@pytest.mark.parametrize("declare", MODELS)
def test_the_same_space_is_discovered(theirs, ours, declare, tmp_path):
    def build(hp):
        declare(hp)
        return NoModel()

    spaces = []
    for package in (theirs, ours):
        tuner = package.RandomSearch(
            build, "val_loss", max_trials=1, directory=str(tmp_path / package.__name__)
        )
        spaces.append(tuner.oracle.get_space().get_config())
    theirs_space, ours_space = spaces
    assert ours_space["space"] == theirs_space["space"]
    assert ours_space["values"] == theirs_space["values"]


def test_int_on_a_log_scale_stays_in_its_bounds(either):
    hp = either.HyperParameters()
    hp.Int("n", 3, 11, sampling="log")
    drawn = {hp.space[0].prob_to_value(i / 1000) for i in range(1000)}
    assert drawn == set(range(3, 12))


def test_a_step_that_rounding_spoils_reaches_its_end(theirs, ours):
    """A difference: KerasTuner loses 0.5, since 0.5 // 0.1 is 4."""
    there, here = theirs.HyperParameters(), ours.HyperParameters()
    there.Float("x", 0.0, 0.5, step=0.1)
    here.Float("x", 0.0, 0.5, step=0.1)
    assert max(there.space[0].values) == 0.4
    assert max(here.space[0].values) == 0.5
