"""The option that lets layers of type Python run their code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.cli.output import option

if TYPE_CHECKING:
    from netc.training.solver.net_builder import BuildHooks

python_layers = option("--allow-python-layers", is_flag=True, help="Run the code that layers of type Python name.")


def build_hooks(allowed: bool) -> BuildHooks:
    """What makes nets with Python layers bound to the objects that run them, pycaffe's, where that is allowed."""
    from netc.training.solver.net_builder import NO_HOOKS, BuildHooks

    if not allowed:
        return NO_HOOKS
    from netc.pycaffe.python_layer import adopt_weights, bind_python_layers

    return BuildHooks(bind_python_layers, adopt_weights)
