"""The option that lets layers of type Python run their code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.cli.output import option

if TYPE_CHECKING:
    from netc.compiler import Prepare

python_layers = option("--allow-python-layers", is_flag=True, help="Run the code that layers of type Python name.")


def preparation(allowed: bool) -> Prepare:
    """The change of graphs that binds Python layers to the objects that run them, where that is allowed."""
    from netc.compiler import unprepared

    if not allowed:
        return unprepared
    from netc.runtime.python_host import bind_python_layers

    return bind_python_layers
