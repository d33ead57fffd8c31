"""State that the layers of a net keep from one pass to the next, such as the hidden state of a recurrent layer.

A layer declares it (`Layer.state_entries`), its module holds it, and these functions read and write it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.runtime.modules import LayerModule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

    from netc.runtime.lower import Net


def pass_state(net: Net) -> dict[str, Tensor]:
    """Return every tensor of state, by node key and slot (`lstm.h.train`); empty before the first pass."""
    return {f"{key}.{slot}": tensor for key, module in _keeping(net) for slot, tensor in module.state.items()}


def restore_pass_state(net: Net, state: Mapping[str, Tensor]) -> None:
    """Restore what `pass_state` returned; an empty `state` resets the layers.

    Raises NetcError E302 for a layer that does not exist.
    """
    modules = dict(_keeping(net))
    for module in modules.values():
        module.state.clear()
    for name, tensor in state.items():
        key, slot = name.split(".", 1)  # a key has no dots, see `ModuleKeys`
        if key not in modules:
            raise NetcError(f"the net has no layer `{key}` with state", code="E302")
        modules[key].state[slot] = tensor.clone()


def _keeping(net: Net) -> Iterator[tuple[str, LayerModule]]:
    for node in net.graph.nodes:
        module = net.module(node.key)
        if isinstance(module, LayerModule):
            yield node.key, module
