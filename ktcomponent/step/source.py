"""An objective whose source comes with the command instead of from an installed module.

`@task.tuning` ships the source of a function in a DAG file this way: in an environment variable, since a
command line is shown to everybody who lists processes. It becomes a module, named as in any import path.
"""

from __future__ import annotations

import linecache
import os
import sys
import types

from ktcomponent.errors import ConfigurationError

MODULE = "ktcomponent_source"
VARIABLE = "KTCOMPONENT_SOURCE"


def load() -> types.ModuleType:
    """The module that the environment brings; made once in a process.

    Raises:
        ConfigurationError: If the environment brings none, or it doesn't run.
    """
    if MODULE in sys.modules:
        return sys.modules[MODULE]
    text = os.environ.get(VARIABLE)
    if text is None:
        raise ConfigurationError(
            f"{MODULE} stands for source code in the environment variable {VARIABLE}, which is not set."
        )
    name = f"<{VARIABLE}>"
    # So that tracebacks show its lines.
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    module = types.ModuleType(MODULE)
    module.__file__ = name
    try:
        exec(compile(text, name, "exec"), module.__dict__)  # noqa: S102 - the user's own, from the DAG file
    except Exception as error:
        raise ConfigurationError(
            f"The objective's source doesn't run: {type(error).__name__}: {error}. It is taken out of its DAG file "
            "alone, so what it needs has to be imported inside the function."
        ) from error
    sys.modules[MODULE] = module
    return module
