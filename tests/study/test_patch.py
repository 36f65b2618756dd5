"""Patches make one document of another, whatever both are."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktcomponent.study import patch

leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=3)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


@given(documents, documents)
def test_applying_the_difference_gives_the_new_document(old, new):
    changed = copy.deepcopy(old)
    difference = json.loads(json.dumps(patch.diff(old, new)))
    patch.apply(changed, difference)
    assert json.dumps(changed, sort_keys=True) == json.dumps(new, sort_keys=True)


def test_a_grown_list_is_appended_to():
    assert patch.diff({"a": [1, 2]}, {"a": [1, 2, 3]}) == [["append", ["a"], [3]]]


def test_a_record_that_is_the_same_object_has_not_changed():
    document = {"oracle": {"trials": {"1": {"metrics": {"a": 1}}, "2": {"metrics": {}}}}}
    first, second = (document["oracle"]["trials"][i] for i in "12")
    patch.apply(document, [["set", ["oracle", "trials", "1", "metrics", "a"], 2]])
    assert document["oracle"]["trials"]["1"] is not first
    assert first == {"metrics": {"a": 1}}
    assert document["oracle"]["trials"]["2"] is second


@pytest.mark.parametrize(
    "bad",
    [["set", ["no", "where"], 1], ["unset", ["x"]], ["append", ["a"], [1]], ["jump", ["a"], 1], ["set"]],
)
def test_a_patch_that_does_not_fit_is_refused(bad):
    with pytest.raises(ValueError, match="does not fit"):
        patch.apply({"a": 1}, [bad])
