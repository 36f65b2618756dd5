"""`HyperParameters`: a search space together with the values of one trial."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ktcomponent.hyperparameters import nonfinite, types
from ktcomponent.hyperparameters.conditions import Condition, Parent, Value
from ktcomponent.hyperparameters.types import HyperParameter


class HyperParameters:
    """A search space and current values, as passed to `HyperModel.build(hp)`.

    Only active hyperparameters have a value, so that no program comes to depend on an inactive one.

    Attributes:
        space: The `HyperParameter`s in the order in which they were declared; a parent comes before its
            children.
        values: Active values by name.
        active_scopes, inactive_scopes: The condition stacks of the `conditional_scope`s entered so far.
        asked: The (name, conditions) that were asked for on this object.
        read: The names whose values were read on this object without declaring them.
        redeclared: Pairs (known, asked for) of hyperparameters that were first asked for, on this object,
            with another domain than the one they are known with.

    Example:

        >>> hp = HyperParameters()
        >>> hp.Int("units", 8, 64, step=8)
        8
        >>> hp.get("units"), "units" in hp
        (8, True)
    """

    def __init__(self) -> None:
        self._name_scopes: list[str] = []
        self._conditions: list[Condition] = []
        self._by_name: dict[str, list[HyperParameter]] = {}
        self._space: list[HyperParameter] = []
        self.asked: set[tuple[str, tuple[Condition, ...]]] = set()
        self.read: set[str] = set()
        self.values: dict[str, Any] = {}
        self.active_scopes: list[list[Condition]] = []
        self.inactive_scopes: list[list[Condition]] = []
        self.redeclared: list[tuple[HyperParameter, HyperParameter]] = []

    @property
    def space(self) -> list[HyperParameter]:
        return self._space

    @contextlib.contextmanager
    def name_scope(self, name: str) -> Iterator[None]:
        """Prefixes the names of hyperparameters declared inside with `name` and a slash."""
        self._name_scopes.append(name)
        try:
            yield
        finally:
            self._name_scopes.pop()

    @contextlib.contextmanager
    def conditional_scope(self, parent_name: str, parent_values: Value | Sequence[Value]) -> Iterator[None]:
        """Makes hyperparameters declared inside active only while the parent has one of the values.

        The code inside runs either way; an inactive hyperparameter is declared and returns None.

        Raises:
            ValueError: If the parent was not declared before.
        """
        parent_name = self._get_name(parent_name)
        if not self._exists(parent_name):
            raise ValueError(
                f"`HyperParameter` named: {parent_name} not defined. Declare it before the scope."
            )
        condition = Parent(parent_name, parent_values)
        self._conditions.append(condition)
        scopes = self.active_scopes if condition.is_active(self.values) else self.inactive_scopes
        scopes.append(copy.deepcopy(self._conditions))
        try:
            yield
        finally:
            self._conditions.pop()

    def is_active(self, hyperparameter: str | HyperParameter) -> bool:
        """Whether all conditions of a hyperparameter (or of any one with that name) hold."""
        if isinstance(hyperparameter, HyperParameter):
            return self._hold(hyperparameter.conditions)
        return any(self._hold(hp.conditions) for hp in self._by_name.get(str(hyperparameter), []))

    def get(self, name: str) -> Any:
        """The current value.

        Raises:
            ValueError: If the hyperparameter is inactive.
            KeyError: If there is none of that name.
        """
        name = self._get_name(name)
        self.read.add(name)
        if name in self.values:
            return self.values[name]
        if name in self._by_name:
            raise ValueError(f"{name} is currently inactive.")
        raise KeyError(f"{name} does not exist.")

    def __getitem__(self, name: str) -> Any:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return self._get_name(str(name)) in self.values

    def Choice(
        self,
        name: str,
        values: Sequence[Value],
        ordered: bool | None = None,
        default: Value | None = None,
        parent_name: str | None = None,
        parent_values: Value | Sequence[Value] | None = None,
    ) -> Any:
        """One of `values`; see `types.Choice`. Returns the value, or None while inactive."""
        with self._parent(parent_name, parent_values):
            return self._retrieve(
                types.Choice(self._get_name(name), values, ordered, default, self._conditions)
            )

    def Int(
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str | None = "linear",
        default: int | None = None,
        parent_name: str | None = None,
        parent_values: Value | Sequence[Value] | None = None,
    ) -> Any:
        """An integer, `max_value` included; see `types.Int`. Returns the value, or None while inactive."""
        with self._parent(parent_name, parent_values):
            return self._retrieve(
                types.Int(
                    self._get_name(name), min_value, max_value, step, sampling, default, self._conditions
                )
            )

    def Float(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str | None = "linear",
        default: float | None = None,
        parent_name: str | None = None,
        parent_values: Value | Sequence[Value] | None = None,
    ) -> Any:
        """A number; see `types.Float`. Returns the value, or None while inactive."""
        with self._parent(parent_name, parent_values):
            return self._retrieve(
                types.Float(
                    self._get_name(name), min_value, max_value, step, sampling, default, self._conditions
                )
            )

    def Boolean(
        self,
        name: str,
        default: bool = False,
        parent_name: str | None = None,
        parent_values: Value | Sequence[Value] | None = None,
    ) -> Any:
        """True or False. Returns the value, or None while inactive."""
        with self._parent(parent_name, parent_values):
            return self._retrieve(types.Boolean(self._get_name(name), default, self._conditions))

    def Fixed(
        self,
        name: str,
        value: Value,
        parent_name: str | None = None,
        parent_values: Value | Sequence[Value] | None = None,
    ) -> Any:
        """A value that is not tuned. Returns it, or None while inactive."""
        with self._parent(parent_name, parent_values):
            return self._retrieve(types.Fixed(self._get_name(name), value, self._conditions))

    def merge(self, hps: HyperParameters | Sequence[HyperParameter], overwrite: bool = True) -> None:
        """Adds hyperparameters to this space.

        Args:
            hps: Another container, or hyperparameters.
            overwrite: Whether one with the same name and conditions as an existing one is added again with
                its default as value.
        """
        for hp in list(hps.space if isinstance(hps, HyperParameters) else hps):
            if overwrite or not self._exists(hp.name, hp.conditions):
                self._register(hp, overwrite)

    def ensure_active_values(self) -> None:
        """Drops the values of inactive hyperparameters and gives active ones without a value the default."""
        for hp in self.space:
            if self.is_active(hp):
                self.values.setdefault(hp.name, hp.default)
            elif not self.is_active(hp.name):
                self.values.pop(hp.name, None)

    def missing(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The defaults of those that are active beside these values and have none."""
        found: dict[str, Any] = {}
        for hp in self.space:
            if hp.name not in values and hp.is_active({**values, **found}):
                found.setdefault(hp.name, hp.default)
        return found

    def unused(self) -> list[str]:
        """The hyperparameters that have a value and were not asked for; none where nothing was, so that nothing is known."""
        if not self.asked:
            return []
        used = self.read | {name for name, _ in self.asked}
        return [name for name in self._by_name if name in self.values and name not in used]

    def copy(self) -> HyperParameters:
        return HyperParameters.from_config(self.get_config())

    def get_config(self) -> dict[str, Any]:
        return {"space": [types.serialize(hp) for hp in self.space], "values": dict(self.values)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HyperParameters:
        hps = cls()
        for entry in config["space"]:
            hps._add(types.deserialize(entry))
        hps.values = hps.revived(config["values"])
        return hps

    def revived(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values as they were before JSON made strings of NaN and the infinities, which the space tells from strings."""
        found = dict(values)
        for name, value in values.items():
            if nonfinite.is_text(value) and not any(hp.allows(value) for hp in self._by_name.get(name, [])):
                found[name] = nonfinite.revived(value)
        return found

    def find(self, name: str, conditions: Sequence[Condition]) -> HyperParameter | None:
        """The hyperparameter with this full name and these conditions, or None."""
        for hp in self._by_name.get(name, []):
            if hp.conditions == list(conditions):
                return hp
        return None

    def _exists(self, name: str, conditions: Sequence[Condition] | None = None) -> bool:
        return self.find(name, self._conditions if conditions is None else conditions) is not None

    def _retrieve(self, hp: HyperParameter) -> Any:
        known = self.find(hp.name, hp.conditions)
        if known is None:
            self.asked.add((hp.name, tuple(hp.conditions)))
            return self._register(hp)
        key = (hp.name, tuple(hp.conditions))
        if key not in self.asked:
            self.asked.add(key)
            if known.domain() != hp.domain():
                self.redeclared.append((known, hp))
        if not self.is_active(hp):
            return None
        # A trial that was claimed before others discovered this hyperparameter has no value of it yet.
        return self.values.setdefault(hp.name, known.default)

    def _register(self, hp: HyperParameter, overwrite: bool = False) -> Any:
        if any(isinstance(c, Parent) and c.name == hp.name for c in self._conditions):
            raise ValueError(
                f"A conditional `HyperParameter` cannot have the same name as its parent. Found: {hp.name}."
            )
        hp = types.deserialize(types.serialize(hp))
        self._add(hp)
        if not self.is_active(hp):
            return None
        if overwrite or hp.name not in self.values:
            self.values[hp.name] = hp.default
        return self.values[hp.name]

    def _add(self, hp: HyperParameter) -> None:
        known = self.find(hp.name, hp.conditions)
        if known is None:
            self._by_name.setdefault(hp.name, []).append(hp)
            self._space.append(hp)
        else:
            same_name = self._by_name[hp.name]
            same_name[same_name.index(known)] = hp
            self._space[self._space.index(known)] = hp

    def _hold(self, conditions: Sequence[Condition]) -> bool:
        return all(condition.is_active(self.values) for condition in conditions)

    @contextlib.contextmanager
    def _parent(
        self, parent_name: str | None, parent_values: Value | Sequence[Value] | None
    ) -> Iterator[None]:
        if parent_name is None:
            yield
        else:
            with self.conditional_scope(parent_name, [] if parent_values is None else parent_values):
                yield

    def _get_name(self, name: str) -> str:
        return "/".join([*self._name_scopes, str(name)])
