"""Straight-line code for given feeds and fetches of a graph: generated and compiled Python source.

Only layer names come from a file, as repr() literals; torch.fx would insert them unescaped. Values are deleted after
their last use, and a ReLU overwrites a bottom without other readers, so that memory and speed equal those of
handwritten code.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from netc.diagnostics import NetcError
from netc.ir.fusion import Step, steps
from netc.ir.gradients import is_cut
from netc.runtime.modules import first_top, fused, overwrite, stored

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from netc.ir.graph import Graph, Node

Program = Callable[..., tuple[Tensor, ...]]
"""`(net, *tensors of the feeds) -> tensors of the fetches`."""


def compile_program(graph: Graph, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Program:
    """Return the function that computes `fetches` from `feeds`, both names of values.

    Raises NetcError E302 for a required input that is not among `feeds`.
    """
    in_order = list(steps(graph, _needed(graph, feeds, fetches), kept=fetches))
    producers = {top: step.nodes[-1] for step in in_order for top in step.tops}
    variable = {name: f"v{i}" for i, name in enumerate(graph.values)}
    last_use = {name: step for step in in_order for name in step.node.bottoms}
    lines = [f"def program(net, {', '.join(variable[name] for name in feeds)}):", "    m = net._modules"]
    for step in in_order:
        first_alone = _is_first_alone(step, {*last_use, *fetches})
        computed = step.tops[:1] if first_alone else step.tops
        tops = ", ".join("_" if name in feeds else variable[name] for name in computed)
        overwritten = None if step.absorbed else _overwritten(graph, step.node, producers, fetches)
        lines.append(f"    {tops + ' = ' if tops else ''}{_call(graph, step, variable, overwritten, first_alone)}")
        dead = {name for name in (*step.node.bottoms, *computed) if last_use.get(name, step) is step} - set(fetches)
        if dead:
            lines.append(f"    del {', '.join(sorted(variable[name] for name in dead))}")
    lines.append(f"    return ({''.join(variable[name] + ', ' for name in fetches)})")
    return _function("\n".join(lines) + "\n")


def _is_first_alone(step: Step, used: AbstractSet[str]) -> bool:
    """Whether only the first of several tops is used, and the layer can do without the others."""
    node = step.node
    return node.layer.computes_asked_tops and len(node.tops) > 1 and used.isdisjoint(node.tops[1:])


def _call(
    graph: Graph, step: Step, variable: dict[str, str], overwritten: Node | None, first_alone: bool = False
) -> str:
    node = step.node
    cuts = (".detach()" if is_cut(graph, node, position) else "" for position in range(len(node.bottoms)))
    arguments = [variable[name] + cut for name, cut in zip(node.bottoms, cuts)]
    if step.absorbed:
        return f"fused(m[{node.key!r}], m[{step.absorbed.key!r}], {', '.join(arguments)})"
    if overwritten:
        return f"overwrite(m[{node.key!r}], {arguments[0]}, m[{overwritten.key!r}])"
    if first_alone:
        return f"first_top(m[{node.key!r}], {', '.join(arguments)})"
    if node.layer.top_is_weight:
        return f"stored(m[{node.key!r}])"
    return f"m[{node.key!r}]({', '.join(arguments)})"


def _overwritten(graph: Graph, node: Node, producers: dict[str, Node], fetches: tuple[str, ...]) -> Node | None:
    """The node whose top a layer may overwrite, None if there is none; `producers` maps computed values to nodes.

    Caffe's own rule, `layer.in_place`, is stricter: its backward pass reads the sign of the top, which a negative slope
    reverses.
    """
    if not node.layer.overwrites or not all(node.propagate_down):
        return None
    bottom = node.bottoms[0]
    producer = producers.get(bottom)
    if producer is None or not producer.layer.overwritable or len(producer.tops) > 1:
        return None
    return producer if len(graph.readers[bottom]) == 1 and bottom not in fetches else None


def _needed(graph: Graph, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> list[Node]:
    """The nodes that `fetches` depend on, up to `feeds`."""
    fed, needed, nodes = set(feeds), set(fetches) - set(feeds), []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.tops) or (set(fetches) >= set(graph.outputs) and not node.tops):
            needed.difference_update(node.tops)
            needed.update(name for name in node.bottoms if name not in fed)
            nodes.append(node)
    if needed:
        missing = [f"`{graph.values[name].blob}`" for name in sorted(needed)]
        raise NetcError(f"input {', '.join(missing)} is missing", code="E302")
    return nodes[::-1]


def _function(source: str) -> Program:
    """Compile generated code so that tracebacks and debuggers show it."""
    name = f"<netc straight-line {abs(hash(source)):x}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"first_top": first_top, "overwrite": overwrite, "fused": fused, "stored": stored}
    exec(compile(source, name, "exec"), namespace)
    function: Program = namespace["program"]
    return function
