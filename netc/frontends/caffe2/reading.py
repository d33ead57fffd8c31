"""A NetDef, as text or binary -> operators. Large lists of floats in binary files stay views of the file."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic, Report, Source, counted, visible
from netc.frontends.caffe2.origin import OperatorOrigin
from netc.ir.operator import Argument, Kind, Operator
from netc.schema import DecodeError, caffe2
from netc.text import Message, Tree, parse_with_errors, to_message
from netc.weights.wire import FIXED32, LENGTH, Wire, WireField

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from netc.schema import Message as ProtobufMessage

SMALL = 1 << 16
"""The largest message in bytes that protobuf parses whole; the floats of larger ones are read as views."""


@dataclass
class NetContent:
    """What a NetDef says."""

    name: str = ""
    operators: Sequence[OperatorOrigin] = ()
    inputs: tuple[str, ...] = ()
    """`external_input`"""
    outputs: tuple[str, ...] = ()
    """`external_output`"""
    report: Report = field(default_factory=Report)
    tree: Tree | None = None
    """The text; None for a binary file."""

    def without_scope(self, scope: str) -> NetContent:
        """Return the same with a prefix removed from the names of blobs that have it."""

        def stripped(names: Sequence[str]) -> tuple[str, ...]:
            return tuple(name.removeprefix(scope) for name in names)

        origins = []
        for origin in self.operators:
            operator = copy.copy(origin.operator)
            operator.inputs, operator.outputs = stripped(operator.inputs), stripped(operator.outputs)
            origins.append(OperatorOrigin(operator, origin.index, origin.node))
        return replace(self, operators=origins, inputs=stripped(self.inputs), outputs=stripped(self.outputs))


def read_text(source: Source) -> NetContent:
    """Read a NetDef in text format; errors are in the report."""
    tree, errors = parse_with_errors(source)
    if errors:
        return NetContent(report=Report(errors), tree=tree)
    return content_of(tree)


def content_of(tree: Tree) -> NetContent:
    """Read a NetDef from its tree, whose fields set twice or of the wrong type are in the report."""
    net, found = to_message(tree, "caffe2.NetDef")
    return content_of_message(net, tree.root, Report(found), tree)


def content_of_message(message: Any, node: Message, report: Report, tree: Tree | None = None) -> NetContent:
    """Read a NetDef message; `node` is its place in a text."""
    nodes = node.messages("op")
    operators = [_origin(op, index, report, nodes[index]) for index, op in enumerate(message.op)]
    report.extend(_other_devices(message, operators))
    return NetContent(
        message.name, operators, tuple(message.external_input), tuple(message.external_output), report, tree
    )


def read_binary(wire: Wire, start: int, end: int) -> NetContent:
    """Read the binary NetDef in bytes `start` to `end`. Raises NetcError E403 or E405 for a damaged one."""
    data, report = wire.data, Report()
    operators: list[OperatorOrigin] = []
    rest = bytearray()
    for part in wire.fields(start, end):
        if (part.number, part.wire) == (2, LENGTH):
            wire.keep()
            operators.append(_binary_operator(wire, part, len(operators), report))
        else:
            rest += data[part.start : part.end]
    net = _parsed(caffe2.NetDef(), bytes(rest), wire, 0)
    report.extend(_other_devices(net, operators))
    return NetContent(net.name, operators, tuple(net.external_input), tuple(net.external_output), report)


def _other_devices(net: Any, operators: Sequence[OperatorOrigin]) -> Iterator[Diagnostic]:
    """Yield W041 if the file places operators on another device than the CPU."""
    everywhere = net.device_option.device_type
    placed = [origin for origin in operators if origin.device or everywhere]
    if placed:
        number = placed[0].device or everywhere
        kinds = caffe2.DeviceTypeProto.values()
        name = caffe2.DeviceTypeProto.Name(number).removeprefix("PROTO_") if number in kinds else str(number)
        text = f"the device {name} of {counted(len(placed), 'operator')} is ignored: the whole net runs on one device"
        span = placed[0].span("device_option") if placed[0].device else None
        yield placed[0].placed(Diagnostic("W041", text, span), "")


def _binary_operator(wire: Wire, part: WireField, index: int, report: Report) -> OperatorOrigin:
    if part.value <= SMALL:
        return _origin(
            _parsed(caffe2.OperatorDef(), bytes(wire.data[part.at : part.end]), wire, part.at), index, report
        )
    rest, large = bytearray(), []
    for inner in wire.fields(part.at, part.end):
        if (inner.number, inner.wire) == (5, LENGTH) and inner.value > SMALL:
            large.append(_binary_argument(wire, inner))
        else:
            rest += wire.data[inner.start : inner.end]
    return _origin(_parsed(caffe2.OperatorDef(), bytes(rest), wire, part.at), index, report, None, large)


def _binary_argument(wire: Wire, part: WireField) -> tuple[str, Argument]:
    """An argument with a long list: floats as a view of the file, anything else through protobuf."""
    rest = bytearray()
    views: list[NDArray[Any]] = []
    for inner in wire.fields(part.at, part.end):
        if inner.number == 5 and inner.wire in (FIXED32, LENGTH) and not views:
            views.append(wire.values(inner, "<f4"))
        else:
            rest += wire.data[inner.start : inner.end]
    message = _parsed(caffe2.Argument(), bytes(rest), wire, part.at)
    kinds: dict[Kind, Any] = dict(_argument(message))
    if views:
        kinds["floats"] = views[0]
    return message.name, kinds


def _parsed(message: Any, data: bytes, wire: Wire, at: int) -> Any:
    try:
        message.MergeFromString(data)
    except DecodeError:
        wire.fail("E403", f"the message at byte {at} is damaged")
    return message


def _origin(
    message: Any,
    index: int,
    report: Report,
    node: Message | None = None,
    large: Sequence[tuple[str, Argument]] = (),
) -> OperatorOrigin:
    arguments: dict[str, Argument] = {}
    conflicts = []
    for name, kinds in (*((arg.name, _argument(arg)) for arg in message.arg), *large):
        if name in arguments and not _same(arguments[name], kinds):
            conflicts.append(name)
        arguments[name] = kinds
    operator = Operator(
        message.type,
        arguments,
        message.input,
        message.output,
        name=message.name,
        engine=message.engine,
        is_gradient=message.is_gradient_op,
    )
    origin = OperatorOrigin(operator, index, node, message.device_option.device_type)
    report.extend(
        origin.placed(
            Diagnostic("E009", f"the argument `{visible(name)}` is set twice, with different values", field=name), ""
        )
        for name in conflicts
    )
    return origin


def _argument(message: ProtobufMessage) -> Mapping[Kind, Any]:
    """The fields of an argument that are set, by name."""
    return {
        f.name: value if not _repeated(value) else tuple(value) for f, value in message.ListFields() if f.name != "name"
    }


def _repeated(value: object) -> bool:
    return not isinstance(value, (int, float, bytes, str)) and hasattr(value, "__len__")


def _same(one: Argument, other: Argument) -> bool:
    return one.keys() == other.keys() and all(tuple_of(one[kind]) == tuple_of(other[kind]) for kind in one)


def tuple_of(value: Any) -> Any:
    """A list as a tuple, anything else unchanged."""
    return tuple(value) if hasattr(value, "__len__") and not isinstance(value, (bytes, str)) else value
