"""Patches: the difference between two JSON documents.

A patch is a list of `["set", path, value]`, `["unset", path]` and `["append", path, items]`, where a path is
a list of keys of nested objects. Keys that nobody mentions are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Patch = list[list[Any]]

_IN_PLACE = 3
"""Objects down to this depth are changed in place; deeper ones (the records of single trials) are replaced,
so that a record that is still the same object has not changed."""


def diff(old: Any, new: Any, path: Sequence[str] = ()) -> Patch:
    """The patch that makes `new` of `old`."""
    if isinstance(old, dict) and isinstance(new, dict):
        patch: Patch = [["unset", [*path, key]] for key in old if key not in new]
        for key, value in new.items():
            if key not in old:
                patch.append(["set", [*path, key], value])
            elif old[key] is not value:
                patch += diff(old[key], value, [*path, key])
        return patch
    if _same(old, new):
        return []
    if isinstance(old, list) and isinstance(new, list) and old and _same(new[: len(old)], old):
        return [["append", list(path), new[len(old) :]]]
    return [["set", list(path), new]]


def apply(document: dict[str, Any], patch: Patch) -> None:
    """Changes `document` as the patch says.

    Raises:
        ValueError: If the patch doesn't fit the document.
    """
    for operation in patch:
        try:
            _apply_one(document, *operation)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f"the patch {str(operation)[:200]} does not fit the document ({error!r})"
            ) from error


def _apply_one(document: dict[str, Any], verb: str, path: list[str], value: Any = None) -> None:
    *parents, last = path
    here = document
    for depth, key in enumerate(parents, start=1):
        if depth >= _IN_PLACE:
            here[key] = dict(here[key])
        here = here[key]
    if not isinstance(here, dict):
        raise TypeError(f"{parents} is no object")
    if verb == "set":
        here[last] = value
    elif verb == "unset":
        del here[last]
    elif verb == "append":
        here[last] = [*here[last], *value]
    else:
        raise TypeError(f"unknown operation {verb!r}")


def _same(a: Any, b: Any) -> bool:
    """Equality of JSON values, in which 1, 1.0 and true differ."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return repr(a) == repr(b) if isinstance(a, float) else bool(a == b)
