"""The state that recurrent layers keep from one pass to the next, as plain JSON.

Caffe's snapshots lack it: a resumed run of Caffe starts from zeros.
"""

from __future__ import annotations

import base64
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from netc.runtime.pass_state import pass_state, restore_pass_state
from netc.training.snapshots.json_check import InvalidFieldError, encoded, integer, items, record

if TYPE_CHECKING:
    from torch import Tensor

    from netc.runtime.lower import Net


def state_of(net: Net) -> dict[str, dict[str, Any]]:
    """Return the recurrent state of a net by node key and slot (`lstm.h.train`); empty before the first pass."""
    return {name: _plain(tensor) for name, tensor in pass_state(net).items() if tensor.is_floating_point()}


def restore_state(net: Net, states: dict[str, dict[str, Any]], device: torch.device) -> list[str]:
    """Restore what `state_of` returned; return the names that do not fit the net, for which it starts from zeros."""
    kept = {name: tensor for name, tensor in pass_state(net).items() if not tensor.is_floating_point()}
    shapes = _shapes(net)
    fitting = {name: state for name, state in states.items() if shapes.get(_entry(name)) == tuple(state["shape"])}
    restore_pass_state(net, kept | {name: _tensor(state).to(device) for name, state in fitting.items()})
    return [name for name in states if name not in fitting]


def check_state(value: Any, field: str) -> None:
    """The schema of one tensor."""
    record({"shape": items(integer()), "data": encoded})(value, field)
    size = len(base64.b64decode(value["data"]))
    if size != 4 * math.prod(value["shape"]):
        raise InvalidFieldError(f"{field}.data", value["data"], f"{4 * math.prod(value['shape'])} bytes, got {size}")


def _plain(tensor: Tensor) -> dict[str, Any]:
    array = tensor.detach().float().cpu().contiguous().numpy().astype("<f4")
    return {"shape": list(tensor.shape), "data": base64.b64encode(array.tobytes()).decode("ascii")}


def _tensor(state: dict[str, Any]) -> Tensor:
    array = np.frombuffer(base64.b64decode(state["data"]), "<f4").astype(np.float32)
    return torch.from_numpy(array.reshape(state["shape"]))


def _entry(name: str) -> tuple[str, str]:
    key, slot = name.split(".", 1) if "." in name else (name, "")
    return key, slot.split(".")[0]


def _shapes(net: Net) -> dict[tuple[str, str], tuple[int, ...]]:
    """The shapes of the net's state, by node key and entry."""
    graph = net.graph
    found = {}
    for node in graph.nodes:
        bottoms = tuple(shape for name in node.bottoms if (shape := graph.values[name].shape) is not None)
        if len(bottoms) == len(node.bottoms):
            for entry in node.layer.state_entries(bottoms):
                found[node.key, entry.name] = tuple(entry.shape)
    return found
