"""Decodes the layer messages of a weights file to Parts: field names and literals as in a prototxt.

The input is untrusted: every size is checked against the bytes that are present, and the output is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from netc.schema import descriptor, is_repeated
from netc.text.literals import quote, spell_double, spell_float
from netc.weights.wire import FIXED32, FIXED64, LENGTH, VARINT, Wire, WireField, signed

if TYPE_CHECKING:
    from collections.abc import Callable

    from netc.frontends.caffe.binary.dialects import Dialect

MAX_DEPTH = 16
"""Maximum nesting depth; Caffe's messages use six levels."""
MAX_TEXT = 16 << 20
"""Maximum number of characters of a rebuilt prototxt; a large one has a million."""
Parts = dict[str, list["str | Any"]]
"""A message: for each field its values (literals or Parts) in order."""


class Decoder:
    """Decodes messages in a dialect and counts the fields that it skips."""

    def __init__(self, wire: Wire, dialect: Dialect) -> None:
        self.wire, self.dialect = wire, dialect
        self.skipped = 0
        """Number of fields that are unknown to the dialect or whose wire type does not match it."""
        self._left = MAX_TEXT

    def message(self, start: int, end: int, kind: str, name: Callable[[int], str | None], depth: int = 0) -> Parts:
        """Decode the message in bytes `start` to `end`; `kind` is its type, `name` maps field numbers to names.

        Raises NetcError E403 for invalid bytes, E405 if MAX_DEPTH or MAX_TEXT is exceeded.
        """
        parts: Parts = {}
        if depth > MAX_DEPTH:
            self.wire.fail("E405", f"messages are nested {depth} deep at byte {start}")
        for found in self.wire.fields(start, end):
            field = _fields(kind).get(name(found.number) or "")
            if field is None:
                self.skipped += 1
            elif field.message_type is None or field.message_type.name != "BlobProto":
                self._add(parts, found, field, depth)
        return parts

    def _add(self, parts: Parts, found: WireField, field: FieldDescriptor, depth: int) -> None:
        values = self._values(found, field, depth)
        if values is None:
            self.skipped += 1
            return
        held = parts.setdefault(field.name, [])
        if not is_repeated(field):
            held.clear()  # the last value of a field that is set twice counts, as in protobuf
            values = values[-1:]
        held.extend(values)
        self._left -= sum(len(value) + len(field.name) + 4 for value in values)
        if self._left < 0:
            self.wire.fail("E405", f"the net at byte {found.start} is longer than the limit of {MAX_TEXT} characters")

    def _values(self, found: WireField, field: FieldDescriptor, depth: int) -> list[Any] | None:
        """The values of a field, None if its wire type does not match its type."""
        if field.message_type is not None:
            return self._nested(found, field.message_type, depth)
        if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            return [quote(bytes(self.wire.data[found.at : found.end]))] if found.wire == LENGTH else None
        numbers = self._numbers(found, field)
        spelled = None if numbers is None else [self._spelled(number, field) for number in numbers]
        return None if spelled is None or None in spelled else spelled

    def _nested(self, found: WireField, kind: Descriptor, depth: int) -> list[Any] | None:
        if found.wire != LENGTH:
            return None

        def name(number: int) -> str | None:
            return self.dialect.field(kind.name, number)

        return [self.message(found.at, found.end, kind.name, name, depth + 1)]

    def _numbers(self, found: WireField, field: FieldDescriptor) -> list[Any] | None:
        """The numbers of a field, packed or not; floats from fixed-size bytes, all others from varints."""
        width = {FieldDescriptor.TYPE_FLOAT: FIXED32, FieldDescriptor.TYPE_DOUBLE: FIXED64}.get(field.type)
        if found.wire == VARINT:
            return [found.value]  # one fork may store an integer where another stores a float
        if found.wire == LENGTH and width is None:
            return self._packed(found)
        if width is None or found.wire not in (LENGTH, width):
            return None
        size = 4 if width == FIXED32 else 8
        if found.wire == LENGTH and found.value % size:
            return None
        self._room(found, (found.end - found.at) // size)
        values: list[Any] = self.wire.values(found, f"<f{size}").tolist()
        return values

    def _packed(self, found: WireField) -> list[int]:
        self._room(found, found.value)
        values, at = [], found.at
        while at < found.end:
            value, at = self.wire.varint(at, found.end)
            values.append(value)
        return values

    def _room(self, found: WireField, count: int) -> None:
        """Raise NetcError E405 for a list that is too long, before it is allocated."""
        if count > self._left:
            self.wire.fail("E405", f"field {found.number} at byte {found.start} holds too many values: {count}")

    def _spelled(self, number: Any, field: FieldDescriptor) -> str | None:
        if field.enum_type is not None:
            return self._word(number, field.enum_type)
        if field.type == FieldDescriptor.TYPE_FLOAT:
            return spell_float(float(number))
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            return spell_double(float(number))
        if field.type == FieldDescriptor.TYPE_BOOL:
            return "true" if number else "false"
        return str(_whole(number, field))

    def _word(self, number: int, kind: EnumDescriptor) -> str | None:
        own = self.dialect.enum(kind.name, number)
        known = kind.values_by_number.get(signed(number, 32))
        return own or (known.name if known else None)


_UNSIGNED = {FieldDescriptor.TYPE_UINT32: 32, FieldDescriptor.TYPE_UINT64: 64}
_ZIGZAG = (FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SINT64)
_LONG = (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64)


def _whole(number: int, field: FieldDescriptor) -> int:
    """Interpret a varint as an integer of a field's type."""
    if field.type in _UNSIGNED:
        return number & ((1 << _UNSIGNED[field.type]) - 1)
    if field.type in _ZIGZAG:
        number = (number >> 1) ^ -(number & 1)
    return signed(number, 64 if field.type in _LONG else 32)


def _fields(kind: str) -> dict[str, FieldDescriptor]:
    found: dict[str, FieldDescriptor] = descriptor(kind).fields_by_name
    return found
