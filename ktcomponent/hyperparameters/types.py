"""The five kinds of hyperparameters. All arithmetic on domains is in `encoding`."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

from ktcomponent.hyperparameters import conditions as conditions_module
from ktcomponent.hyperparameters import encoding, nonfinite
from ktcomponent.hyperparameters.conditions import Condition, Value

CLOSE = 1e-12
"""Two numbers that differ by less are one value of a stepped range, relative to the value or the step."""


class HyperParameter:
    """One dimension of the search space, identified by its name and its conditions.

    Args:
        name: Unique among the hyperparameters with the same conditions.
        default: The value used where nothing else is known.
        conditions: All must hold for the hyperparameter to be active.
    """

    def __init__(self, name: str, default: Any = None, conditions: Sequence[Condition] | None = None) -> None:
        self.name = name
        self._default = default
        self.conditions: list[Condition] = list(conditions or [])

    @property
    def default(self) -> Any:
        return self._default

    @property
    def values(self) -> Iterable[Any]:
        """All legal values of a discrete domain, ten evenly spread ones of a continuous domain."""
        raise NotImplementedError

    @property
    def legal_values(self) -> Sequence[Any] | None:
        """All legal values in order, each once; None for a continuous domain."""
        return list(dict.fromkeys(self.values))

    def prob_to_value(self, prob: float) -> Any:
        """The value at position `prob` in [0, 1) of the domain."""
        raise NotImplementedError

    def value_to_prob(self, value: Any) -> float:
        """The position in [0, 1] of a legal value; `prob_to_value` gives the value back."""
        raise NotImplementedError

    def allows(self, value: Any) -> bool:
        """Whether a value lies in the domain."""
        return any(type(legal) is type(value) and legal == value for legal in self.values)

    def is_active(self, values: Mapping[str, Any]) -> bool:
        """Whether its conditions hold with these values."""
        return all(condition.is_active(values) for condition in self.conditions)

    def random_sample(self, seed: int | None = None) -> Any:
        """A value drawn uniformly from the (scaled) domain; the same one for the same seed."""
        return self.prob_to_value(random.Random(seed).random())

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "default": self.default,
            "conditions": [conditions_module.serialize(c) for c in self.conditions],
        }

    def domain(self) -> dict[str, Any]:
        """What two declarations of one hyperparameter must agree in: the type and everything but the default."""
        config = {k: v for k, v in self.get_config().items() if k != "default"}
        return {"type": type(self).__name__, **config}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> HyperParameter:
        kwargs = dict(config)
        kwargs["conditions"] = [conditions_module.deserialize(c) for c in config["conditions"]]
        return cls(**kwargs)

    def __repr__(self) -> str:
        config = {k: v for k, v in self.get_config().items() if k != "conditions"}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in config.items())})"


class Fixed(HyperParameter):
    """A value that is not tuned.

    Args:
        name: See `HyperParameter`.
        value: An int, float, str or bool.

    Raises:
        ValueError: If `value` is of another type.
    """

    def __init__(self, name: str, value: Value, conditions: Sequence[Condition] | None = None) -> None:
        if not isinstance(value, (bool, int, float, str)):
            raise ValueError(f"`Fixed` value must be an `int`, `float`, `str`, or `bool`, found {value!r}.")
        super().__init__(name, value, conditions)
        self.value = value

    @property
    def values(self) -> tuple[Value, ...]:
        return (self.value,)

    def prob_to_value(self, prob: float) -> Value:
        del prob
        return self.value

    def value_to_prob(self, value: Any) -> float:
        del value
        return 0.5

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["value"] = config.pop("default")
        return config


class Boolean(HyperParameter):
    """True or False.

    Args:
        name: See `HyperParameter`.
        default: False unless said otherwise.
    """

    def __init__(
        self, name: str, default: bool = False, conditions: Sequence[Condition] | None = None
    ) -> None:
        if default not in (True, False):
            raise ValueError(f"`default` of Boolean {name!r} must be True or False, found {default!r}.")
        super().__init__(name, bool(default), conditions)

    @property
    def values(self) -> tuple[bool, ...]:
        return (True, False)

    def prob_to_value(self, prob: float) -> bool:
        return bool(encoding.unit_to_index(prob, 2))

    def value_to_prob(self, value: Any) -> float:
        return encoding.index_to_unit(int(value), 2)


class Choice(HyperParameter):
    """One of several values.

    Args:
        name: See `HyperParameter`.
        values: All int, all float, all str or all bool.
        ordered: Whether the order of the values means something. Defaults to True for numbers, and must be
            False for anything else.
        default: The first value unless said otherwise.

    Raises:
        ValueError: If there are no values, the default is not one of them, or `ordered` is asked of
            something that is not a number.
        TypeError: If the values are of several types, or of one that isn't allowed.
    """

    def __init__(
        self,
        name: str,
        values: Sequence[Value],
        ordered: bool | None = None,
        default: Value | None = None,
        conditions: Sequence[Condition] | None = None,
    ) -> None:
        super().__init__(name, default, conditions)
        self._values = list(values)
        if not self._values:
            raise ValueError(f"`values` must be provided for `Choice` {name!r}.")
        types = {type(v) for v in self._values}
        if len(types) > 1:
            raise TypeError(
                "A `Choice` can contain only one type of value, "
                f"found values: {self._values} with types {sorted(t.__name__ for t in types)}."
            )
        kind = types.pop()
        if not issubclass(kind, (str, int, float)):
            raise TypeError(
                "A `Choice` can contain only `int`, `float`, `str`, or `bool`, "
                f"found values: {self._values} with type {kind.__name__}."
            )
        if default is not None and default not in self._values:
            raise ValueError(
                "The default value should be one of the choices. "
                f"You passed: values={self._values}, default={default!r}."
            )
        if default is not None:
            self._default = self._values[self._values.index(default)]  # 1 as 1.0, where that is the choice
        numeric = issubclass(kind, (int, float))
        if ordered and not numeric:
            raise ValueError("`ordered` must be `False` for non-numeric types.")
        self.ordered = numeric if ordered is None else ordered

    @property
    def default(self) -> Value:
        return self._values[0] if self._default is None else self._default

    @property
    def values(self) -> list[Value]:
        return self._values

    def prob_to_value(self, prob: float) -> Value:
        return self._values[encoding.unit_to_index(prob, len(self._values))]

    def value_to_prob(self, value: Any) -> float:
        return encoding.index_to_unit(self._values.index(value), len(self._values))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "values": list(self._values), "ordered": self.ordered}


class _Numerical(HyperParameter):
    """What `Int` and `Float` share: a range with a scale and, perhaps, a step."""

    def __init__(
        self,
        name: str,
        min_value: Any,
        max_value: Any,
        step: Any = None,
        sampling: str | None = "linear",
        default: Any = None,
        conditions: Sequence[Condition] | None = None,
    ) -> None:
        super().__init__(name, default, conditions)
        self.min_value = min_value
        self.max_value = max_value
        self.step = step
        self.sampling = (sampling or "linear").lower()
        where = f"For HyperParameters.{type(self).__name__}(name='{name}'), "
        if min_value > max_value:
            raise ValueError(f"{where}min_value {min_value} is greater than the max_value {max_value}.")
        if self.sampling not in encoding.SAMPLINGS:
            raise ValueError(f"{where}sampling must be one of {encoding.SAMPLINGS}, found {sampling!r}.")
        if self.sampling != "linear" and min_value <= 0:
            raise ValueError(
                f"{where}sampling='{self.sampling}' needs positive values, found min_value: {min_value}."
            )
        if step is not None and (step <= 0 or (self.sampling != "linear" and step <= 1)):
            least = "0" if self.sampling == "linear" else "1"
            raise ValueError(
                f"{where}expected step > {least} with sampling='{self.sampling}'. Received: step={step}."
            )

    @property
    def default(self) -> Any:
        return self.min_value if self._default is None else self._default

    def allows(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, type(self.min_value))):
            return False
        legal = self.legal_values
        return self.min_value <= value <= self.max_value if legal is None else value in legal

    @property
    def _steps(self) -> tuple[Any, Any, Any, str]:
        return self.min_value, self.max_value, self.step, self.sampling

    @property
    def values(self) -> tuple[Any, ...]:
        if self.step is None:
            return tuple(dict.fromkeys(self.prob_to_value(i * 0.1 + 0.05) for i in range(10)))
        n = encoding.count_steps(*self._steps)
        return tuple(self.prob_to_value(encoding.index_to_unit(i, n)) for i in range(n))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "min_value": self.min_value,
            "max_value": self.max_value,
            "step": self.step,
            "sampling": self.sampling,
            "default": self._default,
        }


class Int(_Numerical):
    """An integer from `min_value` to `max_value`, both included.

    Args:
        name: See `HyperParameter`.
        min_value: The smallest value.
        max_value: The largest value.
        step: Distance between two values (1 by default with linear sampling); with sampling "log" or
            "reverse_log" the factor between two values, and any integer if left out.
        sampling: "linear" (default), "log" or "reverse_log".
        default: `min_value` unless said otherwise.

    Raises:
        ValueError: If a bound or the step is no whole number, or they don't fit together.
    """

    def __init__(
        self,
        name: str,
        min_value: int,
        max_value: int,
        step: int | None = None,
        sampling: str | None = "linear",
        default: int | None = None,
        conditions: Sequence[Condition] | None = None,
    ) -> None:
        if step is None and (sampling or "linear").lower() == "linear":
            step = 1
        super().__init__(
            name,
            _whole(min_value, "min_value", name),
            _whole(max_value, "max_value", name),
            None if step is None else _whole(step, "step", name),
            sampling,
            int(default) if isinstance(default, float) and default.is_integer() else default,
            conditions,
        )

    @property
    def legal_values(self) -> Sequence[int]:
        if self.sampling == "linear" or self.step is None:
            return range(self.min_value, self.max_value + 1, self.step or 1)
        return list(dict.fromkeys(self.values))

    def prob_to_value(self, prob: float) -> int:
        if self.step is not None:
            index = encoding.unit_to_index(prob, encoding.count_steps(*self._steps))
            return round(encoding.step_value(index, *self._steps))
        # One cell per integer: [v, v + 1) on the scale, so the largest value has a cell too.
        position = encoding.unit_to_range(prob, self.min_value, self.max_value + 1, self.sampling)
        return int(min(position, self.max_value))

    def value_to_prob(self, value: Any) -> float:
        if self.step is not None:
            index = encoding.nearest_step(value, *self._steps)
            return encoding.index_to_unit(index, encoding.count_steps(*self._steps))
        return encoding.range_to_unit(value + 0.5, self.min_value, self.max_value + 1, self.sampling)


class Float(_Numerical):
    """A number from `min_value` to `max_value`.

    Args:
        name: See `HyperParameter`.
        min_value: The smallest value.
        max_value: The largest value.
        step: Distance between two values (the factor, with sampling "log" or "reverse_log"); any value in
            the range if left out.
        sampling: "linear" (default), "log" or "reverse_log".
        default: `min_value` unless said otherwise.
    """

    def __init__(
        self,
        name: str,
        min_value: float,
        max_value: float,
        step: float | None = None,
        sampling: str | None = "linear",
        default: float | None = None,
        conditions: Sequence[Condition] | None = None,
    ) -> None:
        super().__init__(
            name,
            float(min_value),
            float(max_value),
            None if step is None else float(step),
            sampling,
            None if default is None else float(default),
            conditions,
        )

    @property
    def legal_values(self) -> Sequence[float] | None:
        if self.step is None:
            return None if self.min_value < self.max_value else [self.min_value]
        return _Steps(self.min_value, self.max_value, self.step, self.sampling)

    def prob_to_value(self, prob: float) -> float:
        if self.step is not None:
            index = encoding.unit_to_index(prob, encoding.count_steps(*self._steps))
            return encoding.step_value(index, *self._steps)
        return encoding.unit_to_range(prob, self.min_value, self.max_value, self.sampling)

    def value_to_prob(self, value: Any) -> float:
        if self.step is not None:
            index = encoding.nearest_step(value, *self._steps)
            return encoding.index_to_unit(index, encoding.count_steps(*self._steps))
        return encoding.range_to_unit(value, self.min_value, self.max_value, self.sampling)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "default": self.default}


class _Steps(Sequence[float]):
    """The values of a stepped range, worked out when they are asked for: there may be a great many."""

    def __init__(self, lo: float, hi: float, step: float, sampling: str) -> None:
        self._steps = lo, hi, step, sampling
        self._length = encoding.count_steps(*self._steps)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> float: ...

    @overload
    def __getitem__(self, index: slice) -> list[float]: ...

    def __getitem__(self, index: int | slice) -> float | list[float]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not 0 <= index < self._length:
            raise IndexError(index)
        return encoding.step_value(index, *self._steps)

    def index(self, value: Any, *_: Any) -> int:
        lo, hi, _step, sampling = self._steps
        if isinstance(value, (int, float)) and lo <= value <= hi and (value > 0 or sampling == "linear"):
            index = encoding.nearest_step(value, *self._steps)
            # As a person writes it: 0.3 for 3 * 0.1.
            if math.isclose(self[index], value, rel_tol=CLOSE, abs_tol=CLOSE * self._steps[2]):
                return index
        raise ValueError(f"{value!r} is not in the range")

    def __contains__(self, value: object) -> bool:
        try:
            self.index(value)
        except ValueError:
            return False
        return True


def position(hp: HyperParameter, value: Any) -> float:
    """Where a value lies in its domain, in [0, 1]; a value from outside at the nearest end (or choice), or 0.5 where there is
    none. What a study holds may be from outside: a default off the steps, a domain that depends on other values."""
    try:
        if isinstance(hp, Choice) and hp.ordered:
            value = min(hp.values, key=lambda known: abs(float(known) - float(value)))
        return min(max(hp.value_to_prob(value), 0.0), 1.0)
    except (ValueError, TypeError, ArithmeticError):
        return 0.5


def _whole(value: Any, argument: str, name: str) -> int:
    if int(value) != value:
        raise ValueError(f"{argument} of Int {name!r} must be an int, found {value!r}.")
    return int(value)


_TYPES: dict[str, type[HyperParameter]] = {t.__name__: t for t in (Int, Float, Choice, Boolean, Fixed)}


def serialize(obj: HyperParameter) -> dict[str, Any]:
    return {"class_name": type(obj).__name__, "config": nonfinite.marked(obj.get_config())}


def deserialize(config: Mapping[str, Any]) -> HyperParameter:
    """Makes a hyperparameter from its configuration.

    Raises:
        ValueError: If the configuration names an unknown type.
    """
    kind = _TYPES.get(config["class_name"])
    if kind is None:
        raise ValueError(
            f"Unknown hyperparameter type {config['class_name']!r}; expected one of {sorted(_TYPES)}."
        )
    return kind.from_config(nonfinite.unmarked(config["config"]))
