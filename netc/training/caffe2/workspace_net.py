"""A Caffe2 net that reads and writes blobs of a workspace, as `RunNet` does.

Operators that depend on no gradient run first, then autograd computes the gradients that the file has operators for,
then the other operators run. Values of the graph are assigned once, so that this order computes the same as the file's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netc.compiler import graph_of, lowered
from netc.diagnostics import NetcError, did_you_mean
from netc.frontends.definition import OwnGradients
from netc.ir.graph import State
from netc.passes.stored_to_inputs import stored_to_inputs
from netc.runtime.dtypes import fed_tensor
from netc.weights import StateDict

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from numpy.typing import ArrayLike

    from netc.frontends import NetDefinition

CPU = torch.device("cpu")
NO_TENSORS = ("mutex", "string")
"""Types of values that are not blobs of the workspace: each net creates its own."""


class WorkspaceNet:
    """One net of a workspace. Raises NetcError with all errors of the net.

    `known` are the blobs that the workspace has; their shapes and types are checked.
    """

    def __init__(self, definition: NetDefinition, known: Mapping[str, Tensor]) -> None:
        definition.report.raise_errors()
        self.gradients = definition.own_gradients or OwnGradients({}, {}, ())
        definition.describe_weights([StateDict({name: blob.numpy() for name, blob in known.items()})])
        shapes = {name: tuple(known[blob].shape) for name, blob in self._read_gradients() if blob in known}
        graph = graph_of(definition, State("TRAIN"), shapes=shapes, prepare=stored_to_inputs)
        self.net = lowered(graph)
        self.graph = graph = self.net.graph
        self.first: dict[str, str] = {}
        """The first version of each blob."""
        for value in graph.values.values():
            self.first.setdefault(value.blob, value.name)
        fed = {self.first[name] for name, _ in self._read_gradients()}
        self.inputs = {graph.values[name].blob: name for name in graph.inputs if name not in fed}
        """The blobs that the net reads before it writes them, and their values."""
        self._early: dict[str, str] = {}
        self._late: dict[str, str] = {}
        """The blobs that each part writes, and their last versions in it."""
        self._crossing: list[str] = []
        """The values that operators which depend on gradients read from the other part."""
        self._divide(fed)
        sources = ((name, blob) for name, blob in self.gradients.blobs.items() if blob in self.first)
        wanted = (pair for pair in sources if pair[0] in self.gradients.read or pair[1] in known)
        self.sources = {name: self.first[blob] for name, blob in wanted}
        """For each gradient that is computed, the value of its blob."""

    def _read_gradients(self) -> list[tuple[str, str]]:
        return [(name, self.gradients.blobs[name]) for name in self.gradients.read]

    def _divide(self, gradients: set[str]) -> None:
        dependent = set(gradients)
        for node in self.graph.nodes:
            is_late = not dependent.isdisjoint(node.bottoms)
            if is_late:
                self._crossing += [name for name in node.bottoms if name not in dependent]
                dependent.update(node.tops)
            written = self._late if is_late else self._early
            values = (self.graph.values[top] for top in node.tops)
            written.update((value.blob, value.name) for value in values if value.dtype not in NO_TENSORS)

    @property
    def mutexes(self) -> tuple[str, ...]:
        """The blobs that are mutexes."""
        return tuple(value.blob for value in self.graph.values.values() if value.dtype == "mutex")

    def loss(self, blobs: Mapping[str, Tensor]) -> float:
        """The sum of the losses, of which the net computes gradients."""
        return float(sum(blobs[name].sum() for name in self.gradients.starts))

    def feed(self, name: str, array: ArrayLike) -> Tensor:
        """An array as the tensor of a blob. Raises NetcError E302 for a blob that the net does not read."""
        if name not in self.inputs:
            help = did_you_mean(name, self.inputs)
            raise NetcError(f"`{name}` is not an input of the net", code="E302", help=help)
        value = self.graph.values[self.inputs[name]]
        return fed_tensor(name, array, value.dtype, self.graph.is_index(value.name), CPU, torch.float32)

    def run(self, workspace: MutableMapping[str, Tensor]) -> dict[str, Tensor]:
        """Run every operator once; return the blobs that were written, gradients included.

        Raises NetcError E302 for a blob that the workspace lacks, and as the operators do.
        """
        missing = [name for name in self.inputs if name not in workspace]
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            raise NetcError(f"nothing has written or fed {names}, which the net reads", code="E302")
        given = {value: workspace[name] for name, value in self.inputs.items()}
        found, gradients = self._forward(given)
        values = {**given, **found, **{self.first[name]: g for name, g in gradients.items() if name in self.first}}
        with torch.no_grad():
            feeds = dict.fromkeys((*(self.first[name] for name, _ in self._read_gradients()), *self._crossing))
            late = self.net.compute({name: values[name] for name in feeds}, dict.fromkeys(self._late.values()))
        written = {blob: found[value] for blob, value in self._early.items()}
        written.update(gradients)
        written.update((blob, late[value]) for blob, value in self._late.items())
        return written

    def _forward(self, given: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The values that operators without gradients compute, and the gradients, by blob."""
        sought = set(self.sources.values())
        leaves = sought & given.keys() if sought <= given.keys() else given.keys()  # all, to reach blobs within the net
        feeds = {name: _leaf(tensor) if name in leaves else tensor for name, tensor in given.items()}
        wanted = dict.fromkeys((*self._early.values(), *self._crossing, *self.sources.values()))
        with torch.set_grad_enabled(bool(self.gradients.starts)):
            found = self.net.compute(feeds, [name for name in wanted if name not in feeds])
        values = {**feeds, **found}
        losses = {self._early.get(name, self.first[name]): start for name, start in self.gradients.starts.items()}
        reached = [name for name in losses if values[name].requires_grad]
        sources = {name: values[value] for name, value in self.sources.items() if values[value].requires_grad}
        gradients: dict[str, Tensor | None] = dict.fromkeys(self.sources)
        if reached and sources:
            starts = [torch.full_like(values[name], losses[name]) for name in reached]
            outputs = [values[name] for name in reached]
            results = torch.autograd.grad(outputs, list(sources.values()), starts, allow_unused=True)
            gradients.update(zip(sources, results))
        complete = {
            name: torch.zeros_like(values[self.sources[name]]) if gradient is None else gradient
            for name, gradient in gradients.items()
        }
        return {name: tensor.detach() if tensor.requires_grad else tensor for name, tensor in found.items()}, complete


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor
