"""The option that allows Python layers."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from netc.cli.options import option

if TYPE_CHECKING:
    from netc.compiler import Prepare

python_layers = option("--allow-python-layers", is_flag=True, help="Allow layers of type Python to run their code.")


def preparation(allowed: bool) -> Prepare:
    """Return the graph transformation that creates the objects of Python layers, if they are allowed."""
    from netc.compiler import unprepared

    if not allowed:
        return unprepared
    from netc.pycaffe.import_caffe import bind_python_layers

    return functools.partial(bind_python_layers, diagnose=True)
