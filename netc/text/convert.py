"""A tree to a protobuf message, with every problem of the file in one run."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor

from netc.diagnostics import Diagnostic, Span, did_you_mean, in_order
from netc.schema import Message as ProtobufMessage
from netc.schema import is_repeated, is_required, new
from netc.text.tree import Field, Message, Scalar, Tree
from netc.text.values import FaultError, Value, converter


@dataclass(frozen=True, eq=False)
class _Known:
    """What is to be known of a field to fill it."""

    repeated: bool
    convert: Callable[[str], Value] | None
    """None for a message."""


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is to be known of a message type to fill it."""

    name: str
    fields: dict[str, _Known]
    required: tuple[str, ...]


@functools.cache
def _plan(descriptor: Descriptor) -> _Plan:
    fields = {
        field.name: _Known(is_repeated(field), None if field.message_type else converter(field))
        for field in descriptor.fields
    }
    required = tuple(field.name for field in descriptor.fields if is_required(field))
    return _Plan(descriptor.name, fields, required)


@functools.lru_cache(maxsize=1024)
def _suggestion(descriptor: Descriptor, name: str) -> str | None:
    return did_you_mean(name, _plan(descriptor).fields)


def to_message(tree: Tree | Message, message_type: str) -> tuple[ProtobufMessage, list[Diagnostic]]:
    """Fill a message of a type (`caffe.NetParameter`) from a tree, or from one message of a tree.

    Gives the message and, in the order of the file, all that was found: W001 (an unknown field; it is left out) and the
    errors E004 (a faulty escape or no UTF-8), E006 (a value of the wrong kind), E007 (a number out of range), E008 (an
    unknown name of an enum), E009 (a field given twice that holds one value, or a required one missing). A field with
    an error is not set. Raises KeyError for an unknown type.
    """
    root = tree.root if isinstance(tree, Tree) else tree
    filler = _Filler()
    message = new(message_type)
    filler.fill(message, root, root.span)
    return message, in_order(filler.found)


class _Filler:
    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def fill(self, message: ProtobufMessage, node: Message, place: Span | None) -> None:
        """Set the fields of a message; `place` is where a missing field is reported."""
        plan = _plan(message.DESCRIPTOR)
        known = plan.fields
        seen: dict[str, Field] = {}
        for field in node.fields:
            name = field.name
            how = known.get(name)
            if how is None:
                self.unknown(message, field)
            elif how.repeated:
                self.repeated(message, field, how)
            elif name in seen:
                self.report("E009", f"`{name}` is given twice", field.name_span, _line_note("first", seen[name]))
            else:
                seen[name] = field
                self.single(message, field, how)
        for name in plan.required:
            if name not in seen:
                self.report("E009", f"`{name}` is missing in `{plan.name}`", place)

    def single(self, message: ProtobufMessage, field: Field, how: _Known) -> None:
        """A field that holds one value."""
        if field.listed:
            self.report("E009", f"`{field.name}` takes one value, not a list", field.span)
            return
        value = field.values[0]
        if how.convert is None:
            part = getattr(message, field.name)
            part.SetInParent()
            self.part(part, value, field)
            return
        if isinstance(value, Scalar):
            try:
                setattr(message, field.name, how.convert(value.raw))
            except FaultError as fault:
                self.fault(fault, value)
        else:
            self.no_message(value, field)

    def repeated(self, message: ProtobufMessage, field: Field, how: _Known) -> None:
        """A field that holds any number of values."""
        target: Any = getattr(message, field.name)
        if how.convert is not None and not field.values and ":" not in field.gap:
            self.report("E006", f"`{field.name}` takes single values: it needs a `:`", field.span)
        for value in field.values:
            if how.convert is None:
                self.part(target.add(), value, field)
            elif isinstance(value, Scalar):
                try:
                    target.append(how.convert(value.raw))
                except FaultError as fault:
                    self.fault(fault, value)
            else:
                self.no_message(value, field)

    def part(self, message: ProtobufMessage, value: Scalar | Message, field: Field) -> None:
        """A message within a message."""
        if isinstance(value, Message):
            self.fill(message, value, field.name_span)
        else:
            help = f"write `{field.name} {{ ... }}`"
            self.report("E006", f"`{field.name}` is a message, not a single value", value.span, help=help)

    def no_message(self, value: Message, field: Field) -> None:
        help = f"write `{field.name}: ...`"
        self.report(
            "E006", f"`{field.name}` is a single value, not a message", field.name_span or value.span, help=help
        )

    def fault(self, fault: FaultError, value: Scalar) -> None:
        self.report(fault.code, fault.message, value.span, *fault.notes, help=fault.help)

    def unknown(self, message: ProtobufMessage, field: Field) -> None:
        descriptor = message.DESCRIPTOR
        help = _suggestion(descriptor, field.name)
        self.report("W001", f"unknown field `{field.name}` in `{descriptor.name}`", field.name_span, help=help)

    def report(self, code: str, message: str, span: Span | None, *notes: str, help: str | None = None) -> None:
        self.found.append(Diagnostic(code, message, span, notes, help))


def _line_note(word: str, field: Field) -> str:
    span = field.name_span
    return f"{word} on line {span.line}" if span else f"{word} in this message"
