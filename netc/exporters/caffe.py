"""A graph back to Caffe: the NetParameter that BVLC Caffe reads, and its text.

Written is the net of one phase, without `include` rules. Parameters come from the layers (`Layer.to_caffe`), so that
what passes and surgery changed is in the file; defaults are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from netc.diagnostics import NetcError
from netc.ir.filler import Filler
from netc.ir.graph import Graph, Node
from netc.ir.layer import Layer
from netc.ir.parameters import ParamSpec
from netc.layers.input import Input
from netc.schema import Message, caffe, is_bvlc, is_repeated
from netc.text import from_message


def net_text(graph: Graph) -> str:
    """The prototxt of a graph, its inputs as an Input layer. Raises NetcError E801."""
    return from_message(net_message(graph))


def net_message(graph: Graph) -> caffe.NetParameter:
    """The NetParameter of a graph. Raises NetcError E801 for what BVLC Caffe has no field or layer for."""
    net = caffe.NetParameter()
    if graph.name:
        net.name = graph.name
    if graph.force_backward:
        net.force_backward = True
    for name in graph.inputs:
        _input(net.layer.add(), graph, name)
    for node in graph.nodes:
        _layer(net.layer.add(), graph, node)
    return net


def _input(layer: caffe.LayerParameter, graph: Graph, name: str) -> None:
    value = graph.values[name]
    layer.name, layer.type = value.blob, Input.type
    layer.top.append(value.blob)
    if value.shape is not None:
        layer.input_param.shape.add().dim.extend(value.shape)


def _layer(layer: caffe.LayerParameter, graph: Graph, node: Node) -> None:
    if node.layer.dialect:
        raise NetcError(
            f"BVLC Caffe has no layer type `{node.layer.type}`",
            code="E801",
            span=node.span,
            notes=[f"layer `{node.name}`"],
        )
    layer.name, layer.type = node.name, node.layer.type
    layer.bottom.extend(graph.values[name].blob for name in node.bottoms)
    layer.top.extend(graph.values[name].blob for name in node.tops)
    if node.loss_weights and node.loss_weights != _usual(node):
        layer.loss_weight.extend(node.loss_weights)
    layer.propagate_down.extend(node.propagate_down)
    for param in node.param_specs:
        _param(layer.param.add(), param)
    try:
        for name, values in parameters(node.layer).items():
            _fill(layer, name, values)
    except NetcError as error:
        raise error.at(node.span, f"in layer `{node.name}`") from None


def _usual(node: Node) -> tuple[float, ...]:
    """The loss weights that the layer has where the file says nothing."""
    return (1.0, *(0.0,) * (len(node.tops) - 1)) if node.layer.is_loss else ()


def _param(spec: caffe.ParamSpec, param: ParamSpec) -> None:
    if param.name:
        spec.name = param.name
    if param.permissive:
        spec.share_mode = caffe.ParamSpec.PERMISSIVE
    for name in ("lr_mult", "decay_mult"):
        if getattr(param, name) != 1:
            setattr(spec, name, getattr(param, name))


def parameters(layer: Layer) -> dict[str, Any]:
    """What `to_caffe` gives, by field of LayerParameter: a layer of one message gives that message's values alone."""
    values = layer.to_caffe()
    if layer.param_field is None or (set(values) <= {layer.param_field, "transform_param", "loss_param"} and values):
        return values
    return {layer.param_field: values} if values else {}


def _fill(message: Message, name: str, value: Any) -> None:
    """Set one field from a plain value. Raises NetcError E801 where BVLC's schema has no such field."""
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None or not is_bvlc(field):
        raise NetcError(f"BVLC Caffe has no field `{name}` in `{message.DESCRIPTOR.name}`", code="E801", field=name)
    if field.message_type is not None:
        for one in value if is_repeated(field) else (value,):
            target = getattr(message, name).add() if is_repeated(field) else getattr(message, name)
            target.SetInParent()
            for inner, held in _plain(one).items():
                _fill(target, inner, held)
    elif is_repeated(field):
        getattr(message, name).extend(value if isinstance(value, (tuple, list)) else (value,))
    else:
        setattr(message, name, value[0] if isinstance(value, (tuple, list)) else value)


def _plain(value: Any) -> Mapping[str, Any]:
    """The values of a message: a dictionary, or a filler, whose defaults are left out."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, Filler) or is_dataclass(value):
        held = ((f.name, getattr(value, f.name), f.default) for f in fields(value))
        return {name: given for name, given, default in held if given != default}
    raise TypeError(f"no message: {value!r}")
