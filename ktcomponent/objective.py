"""What a search optimises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ktcomponent.errors import ConfigurationError
from ktcomponent.metrics import infer_metric_direction


class Objective:
    """One metric and the direction in which it gets better.

    Args:
        name: The metric's name, as in Keras's logs.
        direction: "min" or "max".

    Raises:
        ConfigurationError: If the direction is something else.
    """

    def __init__(self, name: str, direction: str) -> None:
        if direction not in ("min", "max"):
            raise ConfigurationError(
                f"The direction of objective {name!r} must be 'min' or 'max', got {direction!r}."
            )
        self.name = name
        self.direction = direction

    def has_value(self, logs: Mapping[str, Any]) -> bool:
        return self.name in logs

    def get_value(self, logs: Mapping[str, Any]) -> float:
        return float(logs[self.name])

    @property
    def sign(self) -> float:
        """What values are multiplied by so that smaller is better."""
        return -1.0 if self.direction == "max" else 1.0

    def better_than(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return a > b if self.direction == "max" else a < b

    def get_config(self) -> Any:
        """JSON from which `create_objective` makes an equal objective."""
        return {"name": self.name, "direction": self.direction}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Objective) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((self.name, self.direction))

    def __str__(self) -> str:
        return f'{type(self).__name__}(name="{self.name}", direction="{self.direction}")'

    __repr__ = __str__


class DefaultObjective(Objective):
    """The single float that a trial returns, minimised: what is used where no objective is given."""

    def __init__(self) -> None:
        super().__init__("default_objective", "min")

    def get_config(self) -> Any:
        return None


class MultiObjective(Objective):
    """The sum of the objectives to minimise less the sum of those to maximise, minimised.

    Args:
        objectives: The objectives to sum.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        super().__init__("multi_objective", "min")
        self.objectives = list(objectives)
        self.name_to_direction = {o.name: o.direction for o in self.objectives}

    def has_value(self, logs: Mapping[str, Any]) -> bool:
        return all(name in logs for name in self.name_to_direction)

    def get_value(self, logs: Mapping[str, Any]) -> float:
        return sum(
            float(logs[name]) * (1 if direction == "min" else -1)
            for name, direction in self.name_to_direction.items()
        )

    def get_config(self) -> Any:
        return [o.get_config() for o in sorted(self.objectives, key=lambda o: o.name)]

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.name_to_direction.items())))

    def __str__(self) -> str:
        return f"MultiObjective([{', '.join(str(o) for o in self.objectives)}])"

    __repr__ = __str__


def create_objective(objective: Any) -> Objective:
    """Makes an `Objective`.

    Args:
        objective: None, an `Objective`, a metric's name whose direction Keras tells,
            `{"name": ..., "direction": ...}`, or a list of those.

    Raises:
        ConfigurationError: If it is something else, or a name whose direction isn't known.
    """
    if objective is None:
        return DefaultObjective()
    if isinstance(objective, Objective):
        return objective
    if isinstance(objective, (list, tuple)):
        objectives = [create_objective(o) for o in objective]
        names = [o.name for o in objectives]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(
                f"A list of objectives must name at least one metric, and each once, got {names}."
            )
        return MultiObjective(objectives)
    if isinstance(objective, Mapping):
        if set(objective) != {"name", "direction"}:
            raise ConfigurationError(
                f"An objective needs the keys 'name' and 'direction', got {sorted(objective)}."
            )
        return Objective(str(objective["name"]), objective["direction"])
    if not isinstance(objective, str):
        raise ConfigurationError(
            f"`objective` not understood: expected a name, an `Objective` or a list of them, got {objective!r}."
        )
    direction = infer_metric_direction(objective)
    if direction is None:
        raise ConfigurationError(
            f'Could not infer the direction ("min" or "max") of the objective "{objective}". Say it: '
            f'`Objective("{objective}", direction="max")`, or in JSON '
            f'{{"name": "{objective}", "direction": "max"}}.'
        )
    return Objective(objective, direction)
