"""Straight-line code for some feeds and fetches of a graph: Python source, compiled.

Nothing in the source comes from a file but layer names as repr() literals; torch.fx would paste them in unescaped.
Values are dropped after their last use, and a ReLU overwrites what nobody else reads, so that memory and speed are
those of code written by hand.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.graph import Graph, Node
from netc.runtime.modules import overwrite

Straight = Callable[..., tuple[Tensor, ...]]
"""`(net, *tensors of the feeds) -> tensors of the fetches`."""

OVERWRITABLE = frozenset(
    ("BatchNorm", "Concat", "Convolution", "Deconvolution", "Eltwise", "InnerProduct", "Pooling", "Scale")
)
"""Layers with a top in memory of its own that autograd does not keep for their backward pass (torch's
derivatives.yaml): a reader may overwrite it. Flatten's top is a view, a Sigmoid's is kept."""


def straight(graph: Graph, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Straight:
    """The function that runs what `fetches` need, both given as names of values.

    Raises NetcError E302 for an input that is needed and not among `feeds`.
    """
    steps = _steps(graph, _needed(graph, feeds, fetches), fetches)
    variable = {name: f"v{i}" for i, name in enumerate(graph.values)}
    last_use = {name: step for step in steps for name in step.node.bottoms}
    lines = [f"def straight(net, {', '.join(variable[name] for name in feeds)}):", "    m = net._modules"]
    for step in steps:
        tops = ", ".join(variable[name] for name in step.tops)
        lines.append(f"    {tops + ' = ' if tops else ''}{_call(graph, step, variable)}")
        dead = {name for name in (*step.node.bottoms, *step.tops) if last_use.get(name, step) is step} - set(fetches)
        if dead:
            lines.append(f"    del {', '.join(sorted(variable[name] for name in dead))}")
    lines.append(f"    return ({''.join(variable[name] + ', ' for name in fetches)})")
    return _function("\n".join(lines) + "\n")


@dataclass(frozen=True, eq=False)
class _Step:
    """One call of the straight-line code: a node, and the one it computes along with itself."""

    node: Node
    absorbed: Node | None = None
    in_place: bool = False

    @property
    def tops(self) -> tuple[str, ...]:
        return (self.absorbed or self.node).tops


def _call(graph: Graph, step: _Step, variable: dict[str, str]) -> str:
    arguments = [variable[name] for name in step.node.bottoms]
    for position, down in enumerate(step.node.propagate_down):
        arguments[position] += "" if down else ".detach()"
    if step.absorbed:
        arguments += [f"m[{step.absorbed.key!r}].{weight.name}" for weight in graph.weights(step.absorbed)]
    if step.in_place:
        return f"overwrite(m[{step.node.key!r}], {arguments[0]})"
    return f"m[{step.node.key!r}]({', '.join(arguments)})"


def _steps(graph: Graph, nodes: list[Node], fetches: tuple[str, ...]) -> list[_Step]:
    steps: list[_Step] = []
    absorbed: set[str] = set()
    makers: dict[str, Node] = {}
    for node in nodes:
        if node.key in absorbed:
            continue
        reader = _only_reader(graph, node, fetches)
        if reader and reader in nodes and node.layer.absorbs(reader.layer):
            absorbed.add(reader.key)
            steps.append(_Step(node, reader))
        else:
            steps.append(_Step(node, in_place=_in_place(graph, node, makers, fetches)))
        makers.update((top, node) for top in steps[-1].tops)
    return steps


def _only_reader(graph: Graph, node: Node, fetches: tuple[str, ...]) -> Node | None:
    """The node that alone reads the only top of `node`, and nothing else."""
    readers = graph.readers[node.tops[0]] if len(node.tops) == 1 and node.tops[0] not in fetches else []
    return readers[0] if len(readers) == 1 and readers[0].bottoms == node.tops else None


def _in_place(graph: Graph, node: Node, makers: dict[str, Node], fetches: tuple[str, ...]) -> bool:
    """Whether a ReLU may overwrite its bottom, which `makers` tells the maker of unless it was fed.

    Caffe's own rule is for `layer.in_place`: backward reads the sign off the top, which a negative slope turns round.
    """
    if node.layer.type != "ReLU" or not node.layer.in_place or not all(node.propagate_down):
        return False
    bottom = node.bottoms[0]
    maker = makers.get(bottom)
    if maker is None or maker.layer.type not in OVERWRITABLE or len(maker.tops) > 1:
        return False
    return len(graph.readers[bottom]) == 1 and bottom not in fetches


def _needed(graph: Graph, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> list[Node]:
    """The nodes that lead to `fetches` without going behind `feeds`."""
    fed, wanted, nodes = set(feeds), set(fetches) - set(feeds), []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.tops) or (set(fetches) >= set(graph.outputs) and not node.tops):
            wanted.difference_update(node.tops)
            wanted.update(name for name in node.bottoms if name not in fed)
            nodes.append(node)
    if wanted:
        missing = [f"`{graph.values[name].blob}`" for name in sorted(wanted)]
        raise NetcError(f"input {', '.join(missing)} is missing", code="E302")
    return nodes[::-1]


def _function(source: str) -> Straight:
    """Compile generated code so that tracebacks and debuggers show it."""
    name = f"<netc straight-line {abs(hash(source)):x}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"overwrite": overwrite}
    exec(compile(source, name, "exec"), namespace)
    function: Straight = namespace["straight"]
    return function
