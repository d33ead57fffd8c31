"""diff: compares two nets semantically, not textually.

Two layers are matched if they have the same name; otherwise, if they have the same type and parameters and read the
same values, in which case the layer was renamed. Names of blobs, in-place use, comments, order and explicit defaults
are ignored. An added or removed layer is reported once, and not as a change of the layers that read it.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netc.compiler import checked_graph, phase_of
from netc.diagnostics import Diagnostic, NetcError, Source, visible
from netc.frontends import PHASES, NetDefinition, StateChoice, read_net
from netc.inspection.phase_nets import is_fed
from netc.inspection.referenced_files import SourceProbe
from netc.ir.dims import Shape, text
from netc.ir.parameters import ParamSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from netc.ir.graph import Graph, Node
    from netc.ir.layer import Layer


@dataclass(frozen=True)
class Change:
    """The difference of one layer."""

    kind: str
    """`added`, `removed`, `renamed` or `changed`."""
    layer: str
    """Its name; if it is in both nets, that in the first."""
    type: str
    name: str = ""
    """Its name in the second net if it was renamed."""
    details: tuple[str, ...] = ()
    """The changes, one line each."""

    def __str__(self) -> str:
        head = f"{_SIGNS[self.kind]} {self.layer or '(unnamed)'} ({self.type})" + (
            f" is now {self.name}" if self.name else ""
        )
        return "\n".join([visible(head), *(f"    {visible(detail)}" for detail in self.details)])


_SIGNS = {"added": "+", "removed": "-", "renamed": "~", "changed": "~"}


@dataclass(frozen=True)
class NetDifference:
    """The differences of two nets; true if there are any. `str()` returns a readable list."""

    changes: tuple[tuple[str, Change], ...]
    """Each change with its phase: `TRAIN`, `TEST`, or `` for both."""

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        shown = (f"{change}" + (f"\n    only in the {phase} net" if phase else "") for phase, change in self.changes)
        return "\n".join(shown) or "the nets are equivalent"

    def to_json(self) -> str:
        """Return a JSON list of objects with the fields of Change and `phase`."""
        plain = [{**dataclasses.asdict(change), "phase": phase or None} for phase, change in self.changes]
        return json.dumps(plain, indent=2)


def diff(
    one: str | Path | Source,
    other: str | Path | Source,
    *,
    phase: str | None = None,
    level: int | None = None,
    stages: Sequence[str] = (),
    autocrop: bool = False,
    shapes: Mapping[str, Shape] | None = None,
    values: Mapping[str, str] | None = None,
) -> NetDifference:
    """Compare two nets, by default in both phases; `autocrop` as in `load`. Raises NetcError for nets with errors."""
    nets = [_read(path, values) for path in (one, other)]
    phases = PHASES if phase is None else (phase_of(phase),)
    choices = [StateChoice(one, level, tuple(stages), autocrop) for one in phases]
    found: dict[Change, list[str]] = {}
    compared = [choice for choice in choices if any(is_fed(net, choice.of(net)) for net in nets)] or choices
    for choice in compared:
        graphs = [checked_graph(net, choice.of(net), SourceProbe(), shapes) for net in nets]
        _raise([d for _, report in graphs for d in report.errors])
        for change in _Comparison(graphs[0][0], graphs[1][0]).changes():
            found.setdefault(change, []).append(choice.phase)
    return NetDifference(tuple(("" if len(at) == len(compared) else at[0], change) for change, at in found.items()))


def _read(path: str | Path | Source, values: Mapping[str, str] | None) -> NetDefinition:
    net = read_net(path, values)
    net.report.raise_errors()
    return net


def _raise(errors: Sequence[Diagnostic]) -> None:
    if errors:
        raise NetcError(errors)


class _Comparison:
    """Two graphs, and the mapping between their nodes."""

    def __init__(self, one: Graph, other: Graph) -> None:
        self.one, self.other = one, other
        theirs: dict[str, list[Node]] = {}
        for node in other.nodes:
            theirs.setdefault(node.name, []).append(node)
        self.twins: dict[str, Node] = {}
        """Nodes of the second graph, by the keys of the first's."""
        for node in one.nodes:
            if theirs.get(node.name):
                self.twins[node.key] = theirs[node.name].pop(0)
        self.producers = [{top: node for node in graph.nodes for top in node.tops} for graph in (one, other)]
        self.matched = [set(self.twins), {node.key for node in self.twins.values()}]
        self._renamed()

    def _renamed(self) -> None:
        """Match the remaining nodes by type, parameters and bottoms, in order, so that readers of a match can match."""
        left = [node for node in self.other.nodes if node.key not in self.matched[1]]
        for node in self.one.nodes:
            if node.key in self.matched[0]:
                continue
            twin = next((n for n in left if _is_same(n.layer, node.layer) and self._same_bottoms(node, n)), None)
            if twin is not None:
                left.remove(twin)
                self.twins[node.key] = twin
                self.matched[0].add(node.key)
                self.matched[1].add(twin.key)

    def changes(self) -> Iterator[Change]:
        """Yield every difference in the order of the first net, then the layers that only the second has."""
        for node in self.one.nodes:
            twin = self.twins.get(node.key)
            if twin is None:
                yield Change("removed", node.name, node.layer.type, details=self._shapes_of(self.one, node))
                continue
            details = tuple(self._details(node, twin))
            if twin.name != node.name:
                yield Change("renamed", node.name, node.layer.type, twin.name, details)
            elif details:
                yield Change("changed", node.name, node.layer.type, details=details)
        for node in self.other.nodes:
            if node.key not in self.matched[1]:
                yield Change("added", node.name, node.layer.type, details=self._shapes_of(self.other, node))

    def _shapes_of(self, graph: Graph, node: Node) -> tuple[str, ...]:
        bottoms, tops = (" ".join(text(graph.shape(name)) for name in names) for names in (node.bottoms, node.tops))
        return (f"{bottoms} -> {tops}" if bottoms else tops,)

    def _details(self, node: Node, twin: Node) -> Iterator[str]:
        if node.layer.type != twin.layer.type:
            yield f"type: {node.layer.type} -> {twin.layer.type}"
        else:
            yield from _fields(node.layer, twin.layer)
        if not self._same_bottoms(node, twin):
            yield f"bottoms: {_blobs(self.one, node.bottoms)} -> {_blobs(self.other, twin.bottoms)}"
        yield from _params(node, twin)
        if node.loss_weights != twin.loss_weights:
            yield f"loss_weight: {_list(node.loss_weights)} -> {_list(twin.loss_weights)}"
        if node.propagate_down != twin.propagate_down:
            yield f"propagate_down: {_list(node.propagate_down)} -> {_list(twin.propagate_down)}"
        shapes = [[text(graph.shape(name)) for name in n.tops] for graph, n in ((self.one, node), (self.other, twin))]
        if shapes[0] != shapes[1]:
            yield f"shape: {' '.join(shapes[0])} -> {' '.join(shapes[1])}"

    def _same_bottoms(self, node: Node, twin: Node) -> bool:
        if len(node.bottoms) != len(twin.bottoms):
            return False
        return all(self._source(0, a) == self._source(1, b) for a, b in zip(node.bottoms, twin.bottoms))

    def _source(self, side: int, value: str) -> tuple[str, int] | str:
        """The origin of a value, skipping unmatched layers: a node of the second net and its top, or an input."""
        graph = (self.one, self.other)[side]
        while value in self.producers[side]:
            node = self.producers[side][value]
            if node.key in self.matched[side]:
                own = self.twins[node.key] if side == 0 else node
                return (own.key, node.tops.index(value))
            if not node.bottoms:
                break
            value = node.bottoms[0]
        return graph.values[value].blob


def _fields(one: Any, other: Any, prefix: str = "") -> Iterator[str]:
    """Yield the fields in which two instances of a dataclass differ, recursively."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if a == b or (field.name in PER_AXIS and _repeated(a) == _repeated(b)):
            continue
        if dataclasses.is_dataclass(a) and type(a) is type(b):
            yield from _fields(a, b, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}: {_shown(a)} -> {_shown(b)}"


PER_AXIS = frozenset(("kernel", "stride", "pad", "dilation"))
"""Parameters with one number per spatial axis, or one for all axes."""


def _repeated(values: Any) -> Any:
    return values[0] if isinstance(values, tuple) and len(set(values)) == 1 else values


def _is_same(one: Layer, other: Layer) -> bool:
    return type(one) is type(other) and not any(_fields(one, other))


def _params(node: Node, twin: Node) -> Iterator[str]:
    """Yield the differences of the `param` settings."""
    for index in range(max(len(node.param_specs), len(twin.param_specs))):
        a, b = node.param_spec(index), twin.param_spec(index)
        for field in dataclasses.fields(ParamSpec):
            old, new = getattr(a, field.name), getattr(b, field.name)
            if old != new:
                yield f"param {index} {field.name}: {_shown(old)} -> {_shown(new)}"


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return _list(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else "none" if value is None or value == "" else str(value)


def _list(values: tuple[object, ...]) -> str:
    return ",".join(map(_shown, values)) or "none"


def _blobs(graph: Graph, names: Sequence[str]) -> str:
    return ", ".join(graph.values[name].blob for name in names) or "none"
