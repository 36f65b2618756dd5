"""The source of an objective that is written in a DAG file, to be shipped to where it runs."""

from __future__ import annotations

import ast
import builtins
import inspect
import symtable
import textwrap
from collections.abc import Callable
from typing import Any

from ktcomponent.errors import ConfigurationError


def source_of(function: Callable[..., Any]) -> str:
    """The source of a function alone, without decorators.

    Raises:
        ConfigurationError: If it is no plain function, or uses names of its file: only its own text is shipped.
    """
    name = getattr(function, "__name__", repr(function))
    try:
        text = textwrap.dedent(inspect.getsource(function))
        node = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError) as error:
        raise ConfigurationError(f"The source of {name} can't be read: {error}") from error
    if not isinstance(node, ast.FunctionDef):
        raise ConfigurationError(f"{name} is no plain function; write it with `def`.")
    # Annotations are no use where the file's imports are missing.
    source = "\n".join(["from __future__ import annotations", "", *text.splitlines()[node.lineno - 1 :], ""])
    foreign = sorted(_used(symtable.symtable(source, name, "exec")) - {name, "annotations", *dir(builtins)})
    if foreign:
        raise ConfigurationError(
            f"The function {name} uses {', '.join(foreign)} of its file, and only its own source is shipped: "
            "import or define inside the function what it needs."
        )
    return source


def _used(table: symtable.SymbolTable) -> set[str]:
    """The names that a scope and those within it take from outside of all of them."""
    names = {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
    return names.union(*(_used(inner) for inner in table.get_children()))
