"""Converts a tree to a protobuf message and reports every problem of the file in one run."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic, Span, counted, did_you_mean, in_order
from netc.schema import LISTED, is_bvlc, is_repeated, is_required, new
from netc.schema import Message as ProtobufMessage
from netc.text.tree import Field, Message, Scalar, Tree
from netc.text.values import FaultError, Value, converter, set_loosely

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import Descriptor, FieldDescriptor


@dataclass(frozen=True, eq=False)
class _FieldPlan:
    """How to fill a field."""

    repeated: bool
    convert: Callable[[str], Value] | None
    """Parses a scalar; None for a message."""
    bvlc: bool
    """Whether the field is part of BVLC's schema."""
    private: frozenset[str]
    """Enum values that are not part of BVLC's schema."""
    every: str | None
    """The field that collects all values if a fork may repeat a field that BVLC's Caffe may not."""


@dataclass(frozen=True, eq=False)
class _MessagePlan:
    """How to fill a message type."""

    name: str
    fields: dict[str, _FieldPlan]
    required: tuple[str, ...]


@functools.cache
def _plan(descriptor: Descriptor) -> _MessagePlan:
    names = {field.name for field in descriptor.fields}
    fields = {
        field.name: _FieldPlan(
            repeated=is_repeated(field),
            convert=None if field.message_type else converter(field),
            bvlc=is_bvlc(field),
            private=_private_values(field),
            every=f"{field.name}{LISTED}" if f"{field.name}{LISTED}" in names else None,
        )
        for field in descriptor.fields
        if not field.name.endswith(LISTED)
    }
    required = tuple(field.name for field in descriptor.fields if is_required(field))
    return _MessagePlan(descriptor.name, fields, required)


def _private_values(field: FieldDescriptor) -> frozenset[str]:
    values = field.enum_type.values if field.enum_type else ()
    return frozenset(value.name for value in values if not is_bvlc(value))


_CONFLICT = "forks of Caffe define this field differently"


@functools.lru_cache(maxsize=1024)
def _suggestion(descriptor: Descriptor, name: str) -> str | None:
    return did_you_mean(name, _plan(descriptor).fields)


def to_message(tree: Tree | Message, message_type: str) -> tuple[ProtobufMessage, list[Diagnostic]]:
    """Fill a message of a type (`caffe.NetParameter`) from a tree, or from one message of a tree.

    Returns the message and the diagnostics in file order: W001 (unknown field; it is left out), W002 (a field or enum
    value that a fork of Caffe has and BVLC's does not), W003 (unknown enum value; the field is not set), W004 (a value
    of another type, or several, in a field of forks: converted if possible, and the first of several), E004 (an
    invalid escape sequence or invalid UTF-8), E006 (a value of the wrong type), E007 (a number out of range) and E009
    (a singular field that is set twice, or a missing required field). A field with an error is not set. A warning is
    reported once per message type and name, at the first occurrence, and names the member in `field`
    (`PoolingParameter.ceil_mode`). Raises KeyError for an unknown type.
    """
    root = tree.root if isinstance(tree, Tree) else tree
    filler = _Filler()
    message = new(message_type)
    filler.fill(message, root, root.span)
    return message, in_order(filler.findings())


class _Filler:
    def __init__(self) -> None:
        self.errors: list[Diagnostic] = []
        self.warnings: dict[tuple[str, str], list[Diagnostic]] = {}
        """All warnings with the same code and text, in order of occurrence."""

    def findings(self) -> list[Diagnostic]:
        """Return the errors, and each warning once."""
        return self.errors + [_counted(found) for found in self.warnings.values()]

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
                continue
            if not how.bvlc:
                self.foreign(message, field, name)
            if how.repeated:
                self.repeated(message, field, how)
            elif name in seen:
                self.duplicate(message, seen[name], field, how)
            else:
                seen[name] = field
                self.single(message, field, how)
        for name in plan.required:
            if name not in seen:
                self.report("E009", f"`{name}` is missing in `{plan.name}`", place)

    def single(self, message: ProtobufMessage, field: Field, how: _FieldPlan) -> None:
        """Set a singular field."""
        if field.listed:
            self.listed(message, field, how)
            return
        value = field.values[0]
        if how.convert is None:
            part = getattr(message, field.name)
            part.SetInParent()
            self.part(part, value, field, message, how)
            return
        if isinstance(value, Scalar):
            try:
                setattr(message, field.name, how.convert(value.raw))
            except FaultError as fault:
                self.fault(fault, value, message, field, how)
            if value.raw in how.private:
                self.foreign(message, field, value.raw, value.span)
        else:
            self.unexpected_message(message, value, field, how)

    def listed(self, message: ProtobufMessage, field: Field, how: _FieldPlan) -> None:
        """Handle a list as the value of a singular field: an error, unless a fork may repeat the field."""
        found = f"`{field.name}` expects one value, got a list"
        if not field.values or (how.every is None and how.bvlc):
            self.report("E009", found, field.span)
            return
        self.single(message, Field(field.name, field.values[:1]), how)
        if how.every is None:
            self.conflict(message, field, found, field.span)
        else:
            self.foreign(message, field, how.every)
            self.repeated(message, Field(how.every, list(field.values)), how)

    def duplicate(self, message: ProtobufMessage, first: Field, field: Field, how: _FieldPlan) -> None:
        """Handle a second value of a singular field: an error, or added to `how.every` if a fork may repeat it."""
        if how.every is None:
            found = f"`{field.name}` is set twice"
            if how.bvlc:
                self.report("E009", found, field.name_span, _line_note("first", first))
            else:
                self.conflict(message, field, found, field.name_span, _line_note("first", first))
            return
        self.foreign(message, field, how.every)
        if not getattr(message, how.every):
            self.repeated(message, Field(how.every, list(first.values)), how)
        self.repeated(message, Field(how.every, list(field.values)), how)

    def repeated(self, message: ProtobufMessage, field: Field, how: _FieldPlan) -> None:
        """Append to a repeated field."""
        target: Any = getattr(message, field.name)
        if how.convert is not None and not field.values and ":" not in field.gap:
            self.report("E006", f"`{field.name}` expects scalar values: `:` is missing", field.span)
        for value in field.values:
            if how.convert is None:
                self.part(target.add(), value, field, message, how)
            elif isinstance(value, Scalar):
                try:
                    target.append(how.convert(value.raw))
                except FaultError as fault:
                    self.fault(fault, value, message, field, how)
            else:
                self.unexpected_message(message, value, field, how)

    def part(
        self,
        part: ProtobufMessage,
        value: Scalar | Message,
        field: Field,
        message: ProtobufMessage,
        how: _FieldPlan,
    ) -> None:
        """Fill `part`, a nested message in a field of `message`."""
        found, help = f"`{field.name}` is a message, not a scalar", f"write `{field.name} {{ ... }}`"
        if isinstance(value, Message):
            self.fill(part, value, field.name_span)
        elif how.bvlc:
            self.report("E006", found, value.span, help=help)
        else:
            self.conflict(message, field, found, value.span)

    def unexpected_message(self, message: ProtobufMessage, value: Message, field: Field, how: _FieldPlan) -> None:
        found, place = f"`{field.name}` is a scalar, not a message", field.name_span or value.span
        if how.bvlc:
            self.report("E006", found, place, help=f"write `{field.name}: ...`")
        else:
            self.conflict(message, field, found, place)

    def conflict(self, message: ProtobufMessage, field: Field, found: str, span: Span | None, *notes: str) -> None:
        """Report a value that only another fork's definition of the field permits."""
        self.warn("W004", found, span, message, field.name, (*notes, _CONFLICT), None)

    def fault(self, fault: FaultError, value: Scalar, message: ProtobufMessage, field: Field, how: _FieldPlan) -> None:
        """Report a value that the field cannot hold; an unknown enum value, or one in a fork's field, is a warning."""
        if fault.code == "E008":
            notes = (*fault.notes, "it is an error for a layer that needs it")
            self.warn("W003", fault.message, value.span, message, field.name, notes, fault.help)
        elif fault.code in ("E006", "E007") and not how.bvlc:
            set_loosely(message, field.name.removesuffix(LISTED), value.raw)
            self.conflict(message, field, fault.message, value.span, *fault.notes)
        else:
            self.report(fault.code, fault.message, value.span, *fault.notes, help=fault.help)

    def unknown(self, message: ProtobufMessage, field: Field) -> None:
        descriptor = message.DESCRIPTOR
        text = f"unknown field `{field.name}` in `{descriptor.name}`"
        self.warn("W001", text, field.name_span, message, field.name, (), _suggestion(descriptor, field.name))

    def foreign(self, message: ProtobufMessage, field: Field, name: str, place: Span | None = None) -> None:
        """Report a field or enum value that is not part of BVLC's schema."""
        shown = f"`{name}`" if name == field.name else f"`{field.name}: {name}`"
        if name.endswith(LISTED):
            shown = f"`{field.name}`, set several times,"
        text = f"{shown} in `{message.DESCRIPTOR.name}` is not part of BVLC's Caffe"
        self.warn("W002", text, place or field.name_span or field.span, message, name, (), None)

    def report(self, code: str, message: str, span: Span | None, *notes: str, help: str | None = None) -> None:
        self.errors.append(Diagnostic(code, message, span, notes, help))

    def warn(
        self,
        code: str,
        text: str,
        span: Span | None,
        message: ProtobufMessage,
        name: str,
        notes: tuple[str, ...],
        help: str | None,
    ) -> None:
        """Record a warning, which is reported once for all its occurrences."""
        member = f"{message.DESCRIPTOR.name}.{name}"
        self.warnings.setdefault((code, text), []).append(Diagnostic(code, text, span, notes, help, member))


def _counted(found: list[Diagnostic]) -> Diagnostic:
    """The first of several equal diagnostics, with a note on the number of others."""
    first = min(found, key=lambda d: d.span.start if d.span else -1)
    others = len(found) - 1
    note = f"and at {counted(others, 'more place')}"
    return replace(first, notes=(*first.notes, note)) if others else first


def _line_note(word: str, field: Field) -> str:
    span = field.name_span
    return f"{word} on line {span.line}" if span else f"{word} in this message"
