"""Every public name of keras-tuner 1.4.8 is here, with the same arguments in the same order and the same defaults."""

import importlib
import inspect

import pytest

MODULES = [
    "",
    ".oracles",
    ".tuners",
    ".errors",
    ".applications",
    ".engine.base_tuner",
    ".engine.hypermodel",
    ".engine.hyperparameters",
    ".engine.metrics_tracking",
    ".engine.oracle",
    ".engine.trial",
    ".engine.tuner",
]
# The README says why.
LEFT_OUT = {"from_proto", "to_proto"}
OF_EXCEPTIONS = {"with_traceback", "args", "add_note"}
OF_INSTANCES = {"verbose"}


def names(module):
    return [name for name in dir(module) if not name.startswith("_") and name != "src"]


def parameters(function):
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []


def differences(name, theirs, ours):
    mine = {p.name: p for p in parameters(ours)}
    named = [p for p in parameters(theirs) if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for parameter in named:
        if parameter.name not in mine:
            yield f"{name} lacks {parameter.name}"
        elif parameter.default not in (inspect.Parameter.empty, mine[parameter.name].default):
            yield f"{name}({parameter.name}={mine[parameter.name].default!r}), not {parameter.default!r}"
    shared = {p.name for p in named}
    if [n for n in mine if n in shared] != [p.name for p in named if p.name in mine]:
        yield f"{name} has its arguments in another order: {list(mine)}"


@pytest.mark.parametrize("module", MODULES)
def test_names_and_signatures(module):
    theirs = importlib.import_module(f"keras_tuner{module}")
    ours = importlib.import_module(f"ktcomponent{module}")
    found = []
    for name in names(theirs):
        here, there = getattr(ours, name, None), getattr(theirs, name)
        if here is None:
            found.append(f"{name} is missing")
        elif inspect.isclass(there):
            found += differences(name, there.__init__, here.__init__)
            for member in set(names(there)) - LEFT_OUT - OF_EXCEPTIONS - OF_INSTANCES:
                if not hasattr(here, member):
                    found.append(f"{name}.{member} is missing")
                elif callable(getattr(there, member)):
                    found += differences(f"{name}.{member}", getattr(there, member), getattr(here, member))
        elif callable(there):
            found += differences(name, there, here)
    assert found == []


def test_what_an_oracle_has_as_an_object(theirs, ours):
    there, here = theirs.oracles.RandomSearchOracle("loss"), ours.oracles.RandomSearchOracle("loss")
    assert {name for name in vars(there) if not name.startswith("_")} - {"tuner_ids"} <= set(vars(here))
    used_by_subclasses = {"_seed_state", "_tried_so_far", "_max_collisions"}
    assert used_by_subclasses <= set(vars(there)) & set(vars(here))
    assert all(hasattr(here, n) for n in ("_random_values", "_duplicate", "_compute_values_hash"))


def test_errors_are_of_the_same_kinds(theirs, ours):
    for name in names(theirs.errors):
        bases = {b.__name__ for b in getattr(theirs.errors, name).__mro__}
        assert bases <= {b.__name__ for b in getattr(ours.errors, name).__mro__}


def test_what_is_left_out_stands_in_the_readme(pytestconfig):
    readme = (pytestconfig.rootpath / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in LEFT_OUT)
