"""NetParameter -> Graph: the layers of one phase, connected by their blobs.

Every error is reported once: layers that depend on a layer with an error are omitted without a further diagnostic.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from netc.diagnostics import MAX_SHOWN, Diagnostic, NetcError, counted, did_you_mean
from netc.frontends.caffe.forks import called, in_bvlc_terms, is_intels, owner_of_type, type_of_fork
from netc.frontends.caffe.origin import LayerOrigin
from netc.frontends.caffe.phase import included
from netc.frontends.caffe.sharing import rates_of, with_rates
from netc.frontends.graph_report import GraphReport
from netc.ir.graph import AUTOMATIC, Graph, ModuleKeys, Node, State, Value
from netc.ir.names import UniqueNames
from netc.ir.parameters import ParamSpec
from netc.layers import LayerUse, choose, registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from netc.ir.fields import Fields
    from netc.ir.layer import Layer


def build(
    net: Fields,
    state: State,
    faulty: AbstractSet[int] = frozenset(),
    dialect: str | None = None,
    blob_counts: Mapping[str, int] | None = None,
) -> tuple[Graph, GraphReport]:
    """Build the graph of `state`, without shapes; return it with the diagnostics.

    `net` is an upgraded NetParameter, with all layers in `layer`. Layers with an error, and those that depend on them,
    are not in the graph. `faulty` are the indices of layers with an error that was reported when the file was read.
    `dialect` is the fork of Caffe that the file is for, if the user specified it. `blob_counts` are the numbers of
    blobs that a weights file has for layers, by name.
    """
    builder = _Builder(net, state, dialect, blob_counts or {})
    for index, layer in enumerate(net["layer"]):
        builder.add(layer, index in faulty)
    rates, conflicts = rates_of(builder.nodes)
    builder.report.extend(conflicts)
    graph = Graph(
        name=net["name"],
        nodes=tuple(replace(node, param_specs=with_rates(node.param_specs, rates)) for node in builder.nodes),
        values=builder.values,
        state=state,
        force_backward=net["force_backward"],
        debug_info=net["debug_info"],
    )
    return graph, builder.report


class _Builder:
    def __init__(self, net: Fields, state: State, dialect: str | None, blob_counts: Mapping[str, int]) -> None:
        self.net, self.state, self.dialect, self.blob_counts = net, state, dialect, blob_counts
        self.report = GraphReport()
        self.nodes: list[Node] = []
        self.values: dict[str, Value] = {}
        self.current: dict[str, str] = {}
        """The latest version of each blob."""
        self.broken: set[str] = set()
        self.keys, self.versions = ModuleKeys(), UniqueNames(".")
        self.names: dict[str, Fields] = {}
        self.types = frozenset(layer["type"] for layer in net["layer"])

    def add(self, fields: Fields, faulty: bool = False) -> None:
        """Add one layer of the file if its rules include it; for a faulty one, only mark its tops as broken."""
        own_class = None
        try:
            if not included(fields, self.state):
                return
            if faulty:
                self.broken.update(fields["top"])
                return
            blobs = self.blob_counts.get(fields["name"])
            use = LayerUse(fields, len(fields["bottom"]), len(fields["top"]), blobs, self.types)
            own_class, doubt = choose(fields["type"], use, self.dialect)
            if doubt is not None:
                self._report([doubt], LayerOrigin(fields, own_class.param_field if own_class else None))
            layer, bottoms = self._both(fields, own_class)
            if bottoms is None:
                self.broken.update(fields["top"])
                return
            self._repeated_name(fields)
            self.nodes.append(self._node(fields, layer, bottoms))
        except NetcError as error:
            self._report(error.diagnostics, LayerOrigin(fields, own_class.param_field if own_class else None))
            self.broken.update(fields["top"])

    def _both(self, fields: Fields, own_class: type[Layer] | None) -> tuple[Layer, tuple[str, ...] | None]:
        """The layer and the values it reads; errors of both are raised together."""
        try:
            layer = self._layer(fields, own_class)
        except NetcError as error:
            try:
                self._bottoms(fields)
            except NetcError as second:
                raise NetcError([*error.diagnostics, *second.diagnostics]) from None
            raise
        return layer, self._bottoms(fields)

    def _report(self, found: Iterable[Diagnostic], layer: LayerOrigin) -> None:
        """Add the diagnostics of a layer to the report, with their positions and its bottoms."""
        shown = ", ".join(layer.bottoms)
        self.report.extend(layer.placed(d, shown) for d in found)
        if shown:
            values = tuple((blob, None if blob in self.broken else self.current.get(blob)) for blob in layer.bottoms)
            self.report.bottoms[layer.note(shown)] = values

    def _layer(self, fields: Fields, own_class: type[Layer] | None) -> Layer:
        if own_class is None:
            raise _unknown_type(fields)
        terms, found = in_bvlc_terms(fields, self._intels, own_class.fork_fields)
        self._report(found, LayerOrigin(fields, own_class.param_field))
        return own_class.from_caffe(terms)

    def _bottoms(self, fields: Fields) -> tuple[str, ...] | None:
        """The values that the layer reads, None if one of them depends on a layer with an error."""
        names = fields["bottom"]
        unknown = [(i, name) for i, name in enumerate(names) if name not in self.current and name not in self.broken]
        if unknown:
            raise NetcError(self._missing(fields, index, name) for index, name in unknown)
        return tuple(self.current[name] for name in names) if self.broken.isdisjoint(names) else None

    @cached_property
    def _intels(self) -> bool:
        """Whether the net is for Intel's Caffe."""
        return self.dialect == "intel" or (self.dialect is None and is_intels(self.net))

    @cached_property
    def _producers(self) -> dict[str, Fields]:
        """The first layer of the file that produces each blob, in any phase."""
        return {top: layer for layer in reversed(self.net["layer"]) for top in layer["top"]}

    def _missing(self, fields: Fields, index: int, name: str) -> Diagnostic:
        later = self._producers.get(name)
        notes = (
            () if later is None else (f"`{name}` is a top of layer `{later['name']}`, {_why_not(later, self.state)}",)
        )
        few = len(self.report.diagnostics) < MAX_SHOWN  # searching all blobs is slow
        help = did_you_mean(name, self.current) if few and not later else None
        return Diagnostic(
            "E011", f"no earlier layer produces the bottom `{name}`", fields.span("bottom", index), notes, help
        )

    def _repeated_name(self, fields: Fields) -> None:
        first = self.names.setdefault(fields["name"], fields)
        if first is not fields:
            place = first.span("name")
            self.report.warning(
                "W010",
                f"another layer is named `{fields['name']}`" if fields["name"] else "several layers have no name",
                fields.span("name"),
                [f"the first is on line {place.line}"] if place else [],
                "weights are matched by layer name: use a unique name",
            )

    def _node(self, fields: Fields, layer: Layer, bottoms: tuple[str, ...]) -> Node:
        weights = _loss_weights(fields, layer)
        propagate = tuple(fields["propagate_down"])
        if len(propagate) not in (0, len(bottoms)):
            raise NetcError(
                f"`propagate_down` has {counted(len(propagate), 'value')} for {counted(len(bottoms), 'bottom')}",
                code="E021",
                span=fields.span("propagate_down", len(bottoms)),
                field="propagate_down",
            )
        tops = [self._top(fields, layer, index, name) for index, name in enumerate(fields["top"])]
        while layer.is_loss and len(tops) < layer.top_count.low:
            tops.append(self._fresh(AUTOMATIC))
        key = self.keys.add(fields["name"])
        return Node(
            name=fields["name"],
            key=key,
            layer=layer,
            bottoms=bottoms,
            tops=tuple(tops),
            param_specs=layer.param_specs(tuple(map(_param, fields["param"]))),
            loss_weights=(*weights, *(0.0,) * (len(tops) - len(weights))) if any(weights) else (),
            propagate_down=propagate,
            described=layer,
            origin=LayerOrigin(fields, layer.param_field),
        )

    def _top(self, fields: Fields, layer: Layer, index: int, blob: str) -> str:
        bottoms = fields["bottom"]
        in_place = index < len(bottoms) and bottoms[index] == blob
        if in_place and layer.shares_memory:
            raise NetcError(
                f"`{fields['type']}` does not work in place",
                code="E023",
                span=fields.span("top", index),
                help="use a different name for its top",
            )
        if (blob in self.current or blob in self.broken) and not in_place:
            writers = [node.name for node in self.nodes if any(self.values[t].blob == blob for t in node.tops)]
            raise NetcError(
                f"the top `{blob}` is produced more than once",
                code="E012",
                span=fields.span("top", index),
                notes=[f"layer `{writers[-1]}` produces it"] if writers else (),
                help="an in-place layer lists it as the bottom at the same position" if blob in bottoms else None,
            )
        return self._fresh(blob)

    def _fresh(self, blob: str) -> str:
        """Create a new version of a blob."""
        name = self.versions.add(blob)
        self.values[name] = Value(name, blob)
        self.current[blob] = name
        return name


def _unknown_type(fields: Fields) -> NetcError:
    name, place = fields["type"], fields.span("type")
    known = registry()
    same = next((other for other in known if other.lower() == name.lower()), None)
    of_fork = None if same else type_of_fork(name) or (name if owner_of_type(name) else None)
    if of_fork:
        fork = owner_of_type(of_fork)
        assert fork is not None
        note = f"`{of_fork}` is a layer of {called(fork)}; netc does not support it yet"
        return NetcError(f"unsupported layer type `{name}`", code="E010", span=place, notes=[note])
    problem = f"unknown layer type `{name}`" if name else "the layer has no `type`"
    return NetcError(
        problem, code="E010", span=place, help=did_you_mean(name, [same] if same else _namesakes(name, known))
    )


def _namesakes(name: str, known: Iterable[str]) -> list[str]:
    """The types that a name may be a misspelling of: SELU is not ELU, and ReLU6 is not ReLU."""
    rests = (name.lower().replace(other.lower(), "+", 1) for other in known)
    return [] if any(map(_ADDITION.fullmatch, rests)) else list(known)


_ADDITION = re.compile(r"[a-z]+\+|\+[0-9]+")
"""Letters before a known type, or a number after it."""


def _why_not(layer: Fields, state: State) -> str:
    try:
        return "which comes later" if included(layer, state) else f"which is not in the {state.phase} net"
    except NetcError:
        return "which has an error of its own"


def _loss_weights(fields: Fields, layer: Layer) -> tuple[float, ...]:
    given = tuple(fields["loss_weight"])
    if not given:
        return (layer.default_loss_weight,) if layer.is_loss else ()
    if len(given) != len(fields["top"]) and not (layer.is_loss and not fields["top"]):
        raise NetcError(
            f"`loss_weight` has {counted(len(given), 'value')} for {counted(len(fields['top']), 'top')}",
            code="E021",
            span=fields.span("loss_weight", len(fields["top"])),
            field="loss_weight",
        )
    return given


def _param(fields: Fields) -> ParamSpec:
    return ParamSpec(fields["name"], fields["lr_mult"], fields["decay_mult"], fields["share_mode"] == "PERMISSIVE")
