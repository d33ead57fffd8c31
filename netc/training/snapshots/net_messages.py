"""Converts fields to protobuf messages, for the log and for the net inside a .caffemodel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netc.ir.fields import Fields
from netc.ir.graph import Graph, Node
from netc.schema import Message, descriptor, is_repeated, new
from netc.text import from_message
from netc.training.solver.settings import SolverSettings


def message_of(name: str, fields: Fields) -> Message:
    """Return the message of type `name` (`caffe.LayerParameter`) with the fields that are set."""
    message = new(name)
    _fill(message, fields.values)
    return message


def text_of(settings: SolverSettings) -> str:
    """Return the solver's settings as canonical text, as Caffe logs them."""
    return from_message(message_of("caffe.SolverParameter", settings.fields))


def net_message(graph: Graph) -> bytes:
    """A NetParameter, serialised, with the layers of a graph as their file has them and without blobs.

    Each layer is of the graph's phase, as in what Caffe writes (`net.cpp`, ToProto).
    """
    net: Any = new("caffe.NetParameter")
    net.name = graph.name
    for node in graph.nodes:
        _add(net.layer.add(), node, graph.state.phase)
    data: bytes = net.SerializeToString()
    return data


def _add(layer: Any, node: Node, phase: str) -> None:
    _fill(layer, {name: value for name, value in node.origin.entries.items() if name != "blobs"})
    layer.name, layer.type = node.name, node.layer.type
    layer.phase = descriptor("caffe.LayerParameter").fields_by_name["phase"].enum_type.values_by_name[phase].number


def _fill(message: Message, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if is_repeated(field):
            _extend(getattr(message, name), field, value)
        elif field.message_type is not None:
            part = getattr(message, name)
            part.SetInParent()
            _fill(part, _values(value))
        else:
            setattr(message, name, _scalar(field, value))


def _extend(target: Any, field: Any, values: Sequence[Any]) -> None:
    if field.message_type is None:
        target.extend(_scalar(field, value) for value in values)
        return
    for value in values:
        _fill(target.add(), _values(value))


def _values(value: Any) -> Mapping[str, Any]:
    values: Mapping[str, Any] = value.values if isinstance(value, Fields) else value
    return values


def _scalar(field: Any, value: Any) -> Any:
    """Return the value, or the number of an enum value's name."""
    if field.enum_type is not None and isinstance(value, str):
        return field.enum_type.values_by_name[value].number
    return value
