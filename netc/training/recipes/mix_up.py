"""Mix-up: images are mixed in pairs, and the losses of their labels likewise.

Zhang, Cisse, Dauphin, Lopez-Paz, mixup: Beyond Empirical Risk Minimization, 2018.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.gradients import bottoms_without_gradient
from netc.runtime.straight_line import Program

if TYPE_CHECKING:
    from netc.ir.graph import Graph, Node
    from netc.runtime.lower import Net

ProgramFactory = Callable[[Sequence[str], Sequence[str]], Program]


class MixUp:
    """A program that mixes each image of a batch with another one.

    Labels are not mixed: values that depend on them are computed twice, once with each label of a pair, and the results
    are mixed. An input is a label if it is read only where no gradient flows, as by a loss; all other inputs are mixed.
    For each batch a proportion from Beta(alpha, alpha) and a permutation are drawn from torch's CPU generator.
    `program` creates straight-line code from the names of feeds and fetches. Raises NetcError E611 for inputs that are
    indices.
    """

    def __init__(self, graph: Graph, fetches: Sequence[str], alpha: float, program: ProgramFactory) -> None:
        _check(graph)
        self.labels = [name for name in graph.inputs if is_label(graph, name)]
        self.beta = torch.distributions.Beta(alpha, alpha)
        dependents = _dependents(graph, self.labels)
        self._doubled = [name in dependents for name in fetches]
        self._is_label = [name in self.labels for name in graph.inputs]
        cut = _cut(graph, dependents, self.labels) if any(self._doubled) else []
        independent = [name for name in fetches if name not in dependents]
        images = [name for name in graph.inputs if name not in self.labels]
        self._head = program(images, [*cut, *independent])
        self._tail = program([*cut, *self.labels], [name for name in fetches if name in dependents])
        self._cut = len(cut)

    def __call__(self, net: Net, *batch: Tensor) -> tuple[Tensor, ...]:
        """Return the fetched values."""
        proportion = float(self.beta.sample())
        order = torch.randperm(batch[0].shape[0]).to(batch[0].device)
        images = [_mixed(t, t[order], proportion) for t, label in zip(batch, self._is_label) if not label]
        labels = [t for t, label in zip(batch, self._is_label) if label]
        head = self._head(net, *images)
        cut, independent = head[: self._cut], iter(head[self._cut :])
        own = self._tail(net, *cut, *labels)
        other = self._tail(net, *cut, *(label[order] for label in labels))
        both = (_mixed(a, b, proportion) for a, b in zip(own, other))
        return tuple(next(both) if doubled else next(independent) for doubled in self._doubled)


def is_label(graph: Graph, name: str) -> bool:
    """Whether an input is read only by losses and accuracies, at bottoms without a gradient."""
    readers = graph.readers[name]
    return bool(readers) and all(_scores(node) and _takes_no_gradient(node, name) for node in readers)


def _scores(node: Node) -> bool:
    return node.layer.is_loss or node.layer.role == "metric"


def _takes_no_gradient(node: Node, name: str) -> bool:
    never = bottoms_without_gradient(node)
    return all(at in never for at, bottom in enumerate(node.bottoms) if bottom == name)


def _check(graph: Graph) -> None:
    for name in graph.inputs:
        for node in graph.readers[name]:
            if _takes_no_gradient(node, name) and not _scores(node):
                blob = graph.values[name].blob
                problem = f"`mix_up`: blob `{blob}` cannot be mixed: layer `{node.name}` requires exact values"
                raise NetcError(problem, code="E611", span=node.span)


def _dependents(graph: Graph, names: Sequence[str]) -> set[str]:
    """Return these values and all values that depend on them."""
    found = set(names)
    for node in graph.nodes:
        if not found.isdisjoint(node.bottoms):
            found.update(node.tops)
    return found


def _cut(graph: Graph, dependents: set[str], labels: Sequence[str]) -> list[str]:
    """Return the values that the part after the labels reads from the part before it."""
    read = (name for node in graph.nodes if not dependents.isdisjoint(node.bottoms) for name in node.bottoms)
    return list(dict.fromkeys(name for name in read if name not in dependents and name not in labels))


def _mixed(one: Tensor, other: Tensor, proportion: float) -> Tensor:
    return one * proportion + other * (1 - proportion)
