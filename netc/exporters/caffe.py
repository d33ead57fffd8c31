"""A graph back to Caffe: the NetParameter that BVLC Caffe or a fork of it reads, and its text.

Written is the net of one phase, without `include` rules. A layer that nothing changed since its file was read goes out
with the fields that the file has, those that netc ignores among them; the parameters of others come from the layer
(`Layer.to_caffe`), defaults left out. Fields of forks that the target lacks are written in BVLC's terms where these
say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.exporters.errors import known_shape
from netc.ir.filler import Filler
from netc.ir.parameters import ParamSpec
from netc.layers.input import Input
from netc.schema import caffe, fill, is_bvlc
from netc.text import from_message

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumValueDescriptor, FieldDescriptor

    from netc.ir.fields import Fields
    from netc.ir.graph import Graph, Node, Value
    from netc.ir.layer import Layer


@dataclass(frozen=True)
class Target:
    """Whose Caffe is to read the net."""

    dialect: str
    """Empty for BVLC's."""
    caffe: str
    """Its name in a sentence."""
    has_field: Callable[[Descriptor, FieldDescriptor], bool]
    dialects_with: Callable[[str, str], tuple[str, ...]] = lambda message, field: ()
    """The dialects that have a field of a message: the error for a field that this one lacks names them."""
    has_value: Callable[[EnumValueDescriptor], bool] = is_bvlc
    dialects_with_value: Callable[[str, str], tuple[str, ...]] = lambda enum, value: ()
    """The dialects that have a value of an enum, as `dialects_with`."""


BVLC = Target("", "BVLC Caffe", lambda message, field: is_bvlc(field))
"""The schema of BVLC's Caffe 1.0."""
_OF_THE_NODE = ("name", "type", "bottom", "top", "param", "loss_weight", "propagate_down")
"""Fields of LayerParameter that a node says itself."""
_INPUT = caffe.LayerParameter.DESCRIPTOR.fields_by_name["input_param"]
_SHARED = ("transform_param", "loss_param", "bbox_reg_param", "coeff_schedule_param")
"""Messages that layers of several types have beside their own."""
_NOT_WRITTEN = ("include", "exclude", "phase", "blobs")
"""Fields that distinguish phases, and weights, which have a file of their own."""


def net_text(graph: Graph, target: Target = BVLC) -> str:
    """The prototxt of a graph, its inputs as Input layers. Raises NetcError E801."""
    return from_message(net_message(graph, target))


def net_message(graph: Graph, target: Target = BVLC) -> caffe.NetParameter:
    """The NetParameter of a graph. Raises NetcError E801 for a field or layer that the target lacks."""
    net = caffe.NetParameter()
    if graph.name:
        net.name = graph.name
    for flag in ("force_backward", "debug_info"):
        if getattr(graph, flag):
            setattr(net, flag, True)
    has_input = target.has_field(caffe.LayerParameter.DESCRIPTOR, _INPUT)
    for layer_name, tops in _input_layers(graph):
        if has_input:
            _input(net.layer.add(), graph, layer_name, tops)
        else:
            _fields_of_net(net, graph, tops)
    current = {graph.values[name].blob: name for name in graph.inputs}
    for node in graph.nodes:
        _check_versions(graph, node, current)
        _layer(net.layer.add(), graph, node, target)
    return net


def _check_versions(graph: Graph, node: Node, current: dict[str, str]) -> None:
    """Raise NetcError E801 for a node that reads a blob as it was before an in-place layer."""
    for bottom in node.bottoms:
        blob = graph.values[bottom].blob
        if current.get(blob) != bottom:
            message = f"layer `{node.name}` reads `{blob}` as it was before an in-place layer overwrote it"
            raise NetcError(message, code="E801", span=node.span)
    current.update({graph.values[top].blob: top for top in node.tops})


def _input_layers(graph: Graph) -> Iterator[tuple[str, list[Value]]]:
    """The name and tops of each Input layer to write: the file's, where all tops of one are inputs.

    Other inputs, such as tops of data layers, each become a layer with the blob's name.
    """
    for origin, names in groupby(graph.inputs, lambda name: graph.values[name].origin):
        values = [graph.values[name] for name in names]
        blobs = tuple(value.blob for value in values)
        alike = len({value.shape is None for value in values}) == 1
        if origin.type == Input.type and origin.name and origin.tops == blobs and alike:
            yield origin.name, values
        else:
            yield from ((value.blob, [value]) for value in values)


def _input(layer: caffe.LayerParameter, graph: Graph, name: str, tops: list[Value]) -> None:
    """Write an Input layer. Raises NetcError E802 for a shape that is unknown, unless the file has none."""
    layer.name, layer.type = name, Input.type
    for value in tops:
        layer.top.append(value.blob)
        if value.shape is not None or value.origin.type != Input.type:
            layer.input_param.shape.add().dim.extend(known_shape(graph, value.name))


def _fields_of_net(net: caffe.NetParameter, graph: Graph, tops: list[Value]) -> None:
    """Write inputs as fields of the net, for a Caffe that is older than Input layers. Raises NetcError E802."""
    for value in tops:
        net.input.append(value.blob)
        net.input_shape.add().dim.extend(known_shape(graph, value.name))


def _layer(layer: caffe.LayerParameter, graph: Graph, node: Node, target: Target) -> None:
    if not _has_type(target, node.layer):
        is_operator = node.layer.dialect == "caffe2"
        what = (
            f"layer that computes the operator `{node.layer.type}`"
            if is_operator
            else f"layer type `{node.layer.type}`"
        )
        raise NetcError(
            f"{target.caffe} has no {what}",
            code="E801",
            span=node.span,
            notes=[node.note() if is_operator else f"layer `{node.name}`"],
            help=_help((node.layer.dialect,)),
        )
    layer.name, layer.type = node.name, node.layer.type
    layer.bottom.extend(graph.values[name].blob for name in node.bottoms)
    layer.top.extend(graph.values[name].blob for name in node.tops)
    layer.propagate_down.extend(node.propagate_down)
    _training(layer, node)
    try:
        _parameters(layer, node, target)
    except NetcError as error:
        raise error.at(node.span, f"in layer `{node.name}`") from None


def _has_type(target: Target, layer: Layer) -> bool:
    """Whether the target has a layer type: BVLC's, its own, or one of a fork whose parameters it took over."""
    if layer.dialect in ("", target.dialect) or layer.python_classes:
        return True
    field = caffe.LayerParameter.DESCRIPTOR.fields_by_name.get(layer.param_field or "")
    return bool(target.dialect) and field is not None and target.has_field(caffe.LayerParameter.DESCRIPTOR, field)


def _help(dialects: tuple[str, ...]) -> str | None:
    named = " or ".join(f"`--dialect {dialect}`" for dialect in dialects[:3] if dialect not in ("", "caffe2"))
    return f"{named} writes for a Caffe that has it" if named else None


def _training(layer: caffe.LayerParameter, node: Node) -> None:
    """Loss weights and the settings of blobs: as the file has them where they mean the same."""
    entries = node.origin.entries if node.origin.dialect == "caffe" else {}
    said = tuple(entries.get("loss_weight", ()))
    if said and node.loss_weights[: len(said)] == said:
        layer.loss_weight.extend(said)
    elif node.loss_weights and node.loss_weights != _usual(node):
        layer.loss_weight.extend(node.loss_weights)
    params = entries.get("param", ())
    if tuple(map(_spec, params)) == node.param_specs:
        fill(layer, {"param": params})
        return
    for param in node.param_specs:
        _param(layer.param.add(), param)


def _spec(param: Fields) -> ParamSpec:
    permissive = param["share_mode"] == "PERMISSIVE"
    return ParamSpec(param["name"], param["lr_mult"], param["decay_mult"], permissive)


def _usual(node: Node) -> tuple[float, ...]:
    """The loss weights that the layer has where the file does not set them."""
    return (node.layer.default_loss_weight, *(0.0,) * (len(node.tops) - 1)) if node.layer.is_loss else ()


def _param(spec: caffe.ParamSpec, param: ParamSpec) -> None:
    if param.name:
        spec.name = param.name
    if param.permissive:
        spec.share_mode = caffe.ParamSpec.PERMISSIVE
    for name in ("lr_mult", "decay_mult"):
        if getattr(param, name) != 1:
            setattr(spec, name, getattr(param, name))


def _parameters(layer: caffe.LayerParameter, node: Node, target: Target) -> None:
    """The layer's own fields: the file's where the layer is as the file describes it and the target has them all."""

    def check(message: Descriptor, field: FieldDescriptor | None, name: str, value: Any) -> None:
        if field is None or not target.has_field(message, field):
            found = f"{target.caffe} has no field `{name}` in `{message.name}`"
            raise NetcError(found, code="E801", field=name, help=_help(target.dialects_with(message.name, name)))
        for member in _enum_values(field, value):
            if not target.has_value(member):
                found = f"{target.caffe} has no value `{member.name}` of `{name}` in `{message.name}`"
                dialects = target.dialects_with_value(member.type.name, member.name)
                raise NetcError(found, code="E801", field=name, help=_help(dialects))

    try:
        draft = caffe.LayerParameter()
        fill(draft, _as_read(node), check)
    except NetcError:
        draft = caffe.LayerParameter()
        fill(draft, plain(parameters(node.layer)), check)
    layer.MergeFrom(draft)


def _enum_values(field: FieldDescriptor, value: Any) -> Iterator[EnumValueDescriptor]:
    """The descriptors of enum values that are given by name or number; none for fields of other types."""
    if field.enum_type is None:
        return
    for one in value if isinstance(value, (tuple, list)) else (value,):
        by_name, by_number = field.enum_type.values_by_name, field.enum_type.values_by_number
        yield by_name[one] if isinstance(one, str) else by_number[one]


def _as_read(node: Node) -> Mapping[str, Any]:
    """The fields of the layer that its file has. Raises NetcError where the layer changed since, or has no file."""
    if node.origin.dialect != "caffe" or node.described != node.layer:
        raise NetcError("the layer is not as a file describes it", code="E801")
    left_out = (*_OF_THE_NODE, *_NOT_WRITTEN)
    entries = {name: value for name, value in node.origin.entries.items() if name not in left_out}
    unread = [value for value in entries.values() if isinstance(value, NetcError)]
    if unread:
        raise unread[0]
    return entries


def parameters(layer: Layer) -> dict[str, Any]:
    """What `to_caffe` returns, by field of LayerParameter: the values of a layer of one message are that message's."""
    values = layer.to_caffe()
    if layer.param_field is None or (set(values) <= {layer.param_field, *_SHARED} and values):
        return values
    return {layer.param_field: values} if values else {}


def plain(value: Any) -> Any:
    """Values with fillers and other dataclasses as mappings, their defaults left out."""
    if isinstance(value, Mapping):
        return {name: plain(held) for name, held in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(map(plain, value))
    if isinstance(value, Filler) or is_dataclass(value):
        held = ((f.name, getattr(value, f.name), f.default) for f in fields(value))
        return {name: plain(given) for name, given, default in held if given != default}
    return value
