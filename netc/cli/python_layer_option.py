"""The option that lets layers of type Python run their code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.cli.output import option

if TYPE_CHECKING:
    from netc.training.solver.solver_net import Extension

python_layers = option("--allow-python-layers", is_flag=True, help="Run the code that layers of type Python name.")


def extension_of(allowed: bool) -> Extension:
    """What makes nets with Python layers bound to the objects that run them, pycaffe's, where that is allowed."""
    from netc.training.solver.solver_net import PLAIN, Extension

    if not allowed:
        return PLAIN
    from netc.pycaffe.python_layer import adopt_weights, bind_python_layers

    return Extension(bind_python_layers, adopt_weights)
