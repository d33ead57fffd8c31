"""The operators of a NetDef -> Graph.

Blob names are storage, not values: an operator may write a blob that exists, in place or not, and later operators read
the new value. Names are resolved in the order of the operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from netc.diagnostics import MAX_SHOWN, Diagnostic, NetcError, did_you_mean, visible
from netc.frontends.caffe2.libraries import note_of
from netc.frontends.graph_report import GraphReport
from netc.ir.graph import Graph, ModuleKeys, Node, State, Value
from netc.ir.names import UniqueNames
from netc.layers import operator_class, operator_types
from netc.layers.operators.blobs import ExternalInput, StoredBlob
from netc.layers.operators.iteration import MUTEX, CreateMutex

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netc.frontends.caffe2.origin import OperatorOrigin
    from netc.frontends.caffe2.reading import NetContent
    from netc.ir.dims import Shape
    from netc.ir.dtypes import DType
    from netc.ir.layer import Layer
    from netc.ir.quantization import Quantization

Stored = Mapping[str, tuple["Shape", "DType"]]
"""The shapes and types of the blobs that an init net fills."""


def build(
    content: NetContent, state: State, stored: Stored, quantized: Mapping[str, Quantization] = MappingProxyType({})
) -> tuple[Graph, GraphReport]:
    """Build the graph of a NetDef, without shapes; return it with the diagnostics.

    External inputs that are `stored` are parameters, some of them `quantized`; the others are inputs of the net.
    Operators with an error, and those that depend on them, are not in the graph.
    """
    builder = _Builder(content, stored, quantized)
    for name in content.inputs:
        if name in builder.read:
            builder.external(name)
    for origin in content.operators:
        builder.add(origin)
    builder.check_outputs()
    declared = tuple(builder.current[name] for name in content.outputs if name in builder.current)
    graph = Graph(content.name, tuple(builder.nodes), builder.values, state=state, declared_outputs=declared)
    return graph, builder.report


class _Builder:
    def __init__(self, content: NetContent, stored: Stored, quantized: Mapping[str, Quantization]) -> None:
        self.content, self.stored, self.stored_quantized = content, stored, quantized
        self.quantized: dict[str, Quantization] = {}
        """How values stand for real numbers that are quantized."""
        self.report = GraphReport()
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = {}
        self.current: dict[str, str] = {}
        """The latest version of each blob."""
        self.broken: set[str] = set()
        self.keys, self.versions = ModuleKeys(), UniqueNames(".")
        operators = content.operators
        self.read = {name for origin in operators for name in (*origin.bottoms, *_hidden(origin))}
        self.read.update(content.outputs)
        self.readers: dict[str, list[tuple[OperatorOrigin, int]]] = {}
        """The operators that read each blob, and at which input."""
        for origin in operators:
            for index, name in enumerate(origin.bottoms):
                self.readers.setdefault(name, []).append((origin, index))
        self.producers = {top: origin for origin in reversed(operators) for top in origin.tops}

    def external(self, name: str) -> None:
        """Add a blob from outside the net."""
        if name in self.current:
            return
        layer: Layer = ExternalInput()
        if name in self.stored:
            layer = StoredBlob(*self.stored[name])
        elif self._is_mutex(name):
            layer = CreateMutex()
        self.nodes.append(Node(name, self.keys.add(name), layer, (), (self._fresh(name),), described=layer))
        if isinstance(layer, StoredBlob) and name in self.stored_quantized:
            self.quantized[self.current[name]] = self.stored_quantized[name]

    def add(self, origin: OperatorOrigin) -> None:
        """Add one operator."""
        try:
            layer = self._layer(origin)
            self._in_place(origin, layer)
            bottoms = self._bottoms(origin)
            if bottoms is not None:
                layer = layer.quantized_by(tuple(map(self.quantized.get, bottoms)))
        except NetcError as error:
            self._report(error.diagnostics, origin)
            bottoms = None
        if bottoms is None:
            self.broken.update(origin.tops)
            return
        key = self.keys.add(origin.name or origin.type)
        tops = tuple(map(self._fresh, origin.tops))
        self.broken.difference_update(origin.tops)
        if layer.quantization is not None and tops:
            self.quantized[tops[0]] = layer.quantization
        self.nodes.append(Node(origin.name, key, layer, bottoms, tops, described=layer, origin=origin))

    def check_outputs(self) -> None:
        """Report each declared output that nothing produces."""
        for name in self.content.outputs:
            if name not in self.current and name not in self.broken:
                help = did_you_mean(name, self.current)
                self.report.add(Diagnostic("E011", f"nothing produces the external output `{name}`", help=help))

    def _is_mutex(self, name: str) -> bool:
        """Whether operators read a blob as a mutex only: a program cannot feed one, so the net creates it."""
        reads = self.readers.get(name, ())
        return bool(reads) and all(_locks(operator_class(origin.type), index) for origin, index in reads)

    def _layer(self, origin: OperatorOrigin) -> Layer:
        cls = operator_class(origin.type)
        if cls is None:
            help = did_you_mean(origin.type, operator_types())
            problem = f"unknown operator `{visible(origin.type)}`" if origin.type else "the operator has no type"
            notes = [note] if (note := note_of(origin.type)) else []
            raise NetcError(problem, code="E010", span=origin.span("type"), notes=notes, help=help)
        return cls.from_caffe2(origin.operator)

    def _in_place(self, origin: OperatorOrigin, layer: Layer) -> None:
        for index, name in enumerate(origin.tops):
            sources = [i for i, bottom in enumerate(origin.bottoms) if bottom == name]
            wrong = [i for i in sources if (i, index) not in layer.in_place_pairs]
            if wrong:
                raise NetcError(
                    f"`{origin.type}` cannot write output {index} to the blob of input {wrong[0]}",
                    code="E023",
                    span=origin.span("output", index),
                    help="use a different name for the output",
                )

    def _bottoms(self, origin: OperatorOrigin) -> tuple[str, ...] | None:
        """The values that the operator reads, None if one of them depends on an operator with an error."""
        missing = []
        for index, name in enumerate(origin.bottoms):
            if name in self.current or name in self.broken:
                continue
            if self.content.inputs:
                missing.append(self._missing(origin, index, name))
            else:
                self.external(name)
        if missing:
            raise NetcError(missing)
        if not self.broken.isdisjoint(origin.bottoms):
            return None
        hidden = [name for name in _hidden(origin) if name in self.current]
        return tuple(self.current[name] for name in (*origin.bottoms, *hidden))

    def _missing(self, origin: OperatorOrigin, index: int, name: str) -> Diagnostic:
        later = self.producers.get(name)
        notes = () if later is None else (f"operator {later.index} ({later.type}) produces it later",)
        few = len(self.report.diagnostics) < MAX_SHOWN  # searching all blobs is slow
        help = did_you_mean(name, self.current) if few and later is None else None
        return Diagnostic(
            "E011",
            f"`{name}` is not an external input, and no earlier operator produces it",
            origin.span("input", index),
            notes,
            help,
        )

    def _report(self, found: Iterable[Diagnostic], origin: OperatorOrigin) -> None:
        shown = ", ".join(origin.bottoms)
        self.report.extend(origin.placed(d, shown) for d in found)
        if shown:
            values = tuple((blob, None if blob in self.broken else self.current.get(blob)) for blob in origin.bottoms)
            self.report.bottoms[origin.note(shown)] = values

    def _fresh(self, blob: str) -> str:
        """Create a new version of a blob."""
        name = self.versions.add(blob)
        self.values[name] = Value(name, blob)
        self.current[blob] = name
        return name


def _locks(cls: type[Layer] | None, index: int) -> bool:
    """Whether an input of the layer is a mutex, which no layer has only for some of its arguments."""
    accepts: object = () if cls is None else cls.accepts
    return isinstance(accepts, tuple) and accepts[index : index + 1] == (MUTEX,)


def _hidden(origin: OperatorOrigin) -> tuple[str, ...]:
    cls = operator_class(origin.type)
    return () if cls is None else cls.hidden_inputs
