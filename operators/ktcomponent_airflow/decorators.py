"""`@task.tuning`: an objective written in the DAG file itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow.providers.common.compat.sdk import get_unique_task_id, task_decorator_factory

from ktcomponent.errors import ConfigurationError

PLACES = {
    "local": "TuningOperator",
    "docker": "DockerTuningOperator",
    "kubernetes": "KubernetesTuningOperator",
}


def tuning_task(
    python_callable: Callable[..., Any] | None = None,
    multiple_outputs: bool | None = None,
    *,
    where: str = "local",
    **kwargs: Any,
) -> Any:
    """Makes a task of an objective: each call searches, and gives what the study says.

    The function is called as `function(hp, **search_kwargs)` and returns a float or a dict of metrics, or builds a
    model. Only its own source goes to where it runs, so it imports what it needs inside. The arguments of the call
    are the keyword arguments of `search`.

    Args:
        python_callable: The function, where the decorator is used without arguments.
        multiple_outputs: Whether each entry of the result is an XCom of its own.
        where: "local", "docker" or "kubernetes".
        kwargs: See `TuningOperator`, `DockerTuningOperator`, `KubernetesTuningOperator`.

    Example:

        @task.tuning(oracle={"max_trials": 20}, where="docker", image="trainer:1")
        def parabola(hp, offset):
            x = hp.Float("x", -1, 1)
            return (x - offset) ** 2

        parabola(offset=0.5)
    """
    if where not in PLACES:
        raise ConfigurationError(f"`where` must be one of {', '.join(map(repr, PLACES))}, got {where!r}.")
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=multiple_outputs,
        decorated_operator_class=_decorated(where),
        **kwargs,
    )


def _decorated(where: str) -> Any:
    import ktcomponent_airflow

    operator = getattr(ktcomponent_airflow, PLACES[where])

    class Decorated(operator):  # type: ignore[misc, valid-type]
        """An operator made of a function; see `tuning_task`."""

        custom_operator_name = "@task.tuning"
        template_fields = (*operator.template_fields, "op_kwargs")
        shallow_copy_attrs = ("python_callable",)

        def __init__(
            self,
            *,
            python_callable: Callable[..., Any],
            task_id: str,
            op_args: Any = None,
            op_kwargs: Any = None,
            **kwargs: Any,
        ) -> None:
            if op_args:
                raise ConfigurationError(
                    f"{python_callable.__name__}() takes keyword arguments alone: those of `search`."
                )
            if not getattr(self, "_BaseOperator__from_mapped", False):
                task_id = get_unique_task_id(task_id, kwargs.get("dag"), kwargs.get("task_group"))
            super().__init__(task_id=task_id, hypermodel=python_callable, **kwargs)
            self.python_callable = python_callable
            self.op_kwargs = op_kwargs or {}

        def command_line(self, context: Any) -> list[str]:
            # Not in the constructor: a call's arguments may come from other tasks.
            self.search_kwargs: dict[str, Any] = {**(self.search_kwargs or {}), **self.op_kwargs}
            line: list[str] = super().command_line(context)
            return line

    Decorated.__name__ = Decorated.__qualname__ = f"_{where.capitalize()}TuningDecoratedOperator"
    return Decorated
