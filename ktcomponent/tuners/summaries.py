"""Tables of a search: its space, and its best trials."""

from __future__ import annotations

from collections.abc import Iterable

from ktcomponent.console import say, short, show_table
from ktcomponent.hyperparameters import HyperParameter
from ktcomponent.oracles.oracle import Oracle
from ktcomponent.tuners.progress import values_text


def show_space(space: Iterable[HyperParameter], extended: bool) -> None:
    """Prints hyperparameters.

    Args:
        space: The hyperparameters.
        extended: Whether to print default and conditions too.
    """
    rows = []
    for hp in space:
        config = hp.get_config()
        conditions = "; ".join(
            f"{c['config']['name']} in {c['config']['values']}" for c in config.pop("conditions")
        )
        default = config.pop("default", None)
        domain = ", ".join(f"{k}={v}" for k, v in config.items() if k != "name" and v is not None)
        rows.append((hp.name, type(hp).__name__, domain, *((short(default), conditions) if extended else ())))
    say(f"Search space summary\nDefault search space size: {len(rows)}")
    columns = ("hyperparameter", "type", "domain", *(("default", "active while") if extended else ()))
    show_table(columns, rows)


def show_results(oracle: Oracle, url: str, num_trials: int) -> None:
    """Prints the best trials.

    Args:
        oracle: Whose trials they are.
        url: Of the study.
        num_trials: How many at most.
    """
    say(f"Results summary\nResults in {url}")
    say(f"Showing {num_trials} best trials\n{oracle.objective}")
    rows = [
        (t.trial_id, t.status, "-" if t.score is None else short(t.score), values_text(t))
        for t in oracle.get_best_trials(num_trials)
    ]
    show_table(("trial", "status", "score", "values"), rows)
