"""What people see: tables and a progress bar in a terminal, plain lines elsewhere (a task's log, a file, a pipe)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def say(line: str) -> None:
    """Prints a line at once."""
    print(line, flush=True)  # noqa: T201


def is_terminal() -> bool:
    return sys.stdout.isatty()


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Prints a table; without a terminal, one line a row, `column: value` where there are more than two columns."""
    if not is_terminal():
        if title:
            say(title)
        for row in rows:
            cells = [str(cell) for cell in row]
            if len(columns) > 2:
                cells = [cells[0], *(f"{c}: {v}" for c, v in zip(columns[1:], cells[1:], strict=True) if v)]
            say("  ".join(cells))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column)
    for row in rows:
        # What comes from a study is text, never markup.
        table.add_row(*(Text(str(cell)) for cell in row))
    _console().print(table)


def show_progress(done: int, total: int | None, notes: Sequence[str]) -> None:
    """Prints a bar over trials, with notes behind it; in a terminal only."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 1))
    count = f"{done} trials" if total is None else f"{done}/{total} trials"
    bar: list[Any] = [] if total is None else [ProgressBar(total=total, completed=done, width=30)]
    line.add_row(*bar, Text(count), *(Text(f"· {note}") for note in notes))
    _console().print(line)


def duration(seconds: float) -> str:
    """For people: `8.1 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def short(value: object) -> str:
    """A number with five digits; anything else as it is."""
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def last_line(message: str | None) -> str:
    """The last line of a message, which says what happened in a traceback."""
    lines = [line for line in (message or "").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no reason given"


def _console() -> Any:
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False)
