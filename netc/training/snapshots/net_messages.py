"""Converts fields to protobuf messages, for the log and for the net inside a .caffemodel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.diagnostics import visible
from netc.schema import Message, descriptor, fill, new
from netc.text import from_message

if TYPE_CHECKING:
    from netc.ir.fields import Fields
    from netc.ir.graph import Graph, Node
    from netc.training.solver.settings import SolverSettings


def message_of(name: str, fields: Fields) -> Message:
    """Return the message of type `name` (`caffe.LayerParameter`) with the fields that are set."""
    message = new(name)
    fill(message, fields.values)
    return message


def text_of(settings: SolverSettings) -> str:
    """Return the solver's settings as canonical text, as Caffe logs them.

    Paths from the command line may contain bytes that are not UTF-8, which protobuf refuses: they are escaped.
    """
    message = new("caffe.SolverParameter")
    fill(message, {**settings.fields.values, "weights": [visible(path) for path in settings.fields["weights"]]})
    return from_message(message)


def snapshot_net(graph: Graph) -> bytes:
    """Return a serialized NetParameter with the layers of a graph as in their file, without blobs.

    The phase of each layer is that of the graph, as in Caffe's snapshots (`net.cpp`, ToProto).
    """
    net: Any = new("caffe.NetParameter")
    net.name = graph.name
    for node in graph.nodes:
        _add(net.layer.add(), node, graph.state.phase)
    data: bytes = net.SerializeToString()
    return data


def _add(layer: Any, node: Node, phase: str) -> None:
    entries = {} if node.origin.dialect == "caffe2" else node.origin.entries  # arguments of an operator are no fields
    fill(layer, {name: value for name, value in entries.items() if name != "blobs"})
    layer.name, layer.type = node.name, node.layer.type
    layer.phase = descriptor("caffe.LayerParameter").fields_by_name["phase"].enum_type.values_by_name[phase].number
