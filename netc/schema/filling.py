"""Plain values into protobuf messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from netc.schema._loader import Message

Check = Callable[[Descriptor, "FieldDescriptor | None", str, Any], None]
"""`check(message, field, name, value)` raises for a field or value that may not be written; `field` is None for an
unknown one."""


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field holds a list. Newer protobuf warns of `label`, older ones have nothing else."""
    known = getattr(field, "is_repeated", None)
    return field.label == FieldDescriptor.LABEL_REPEATED if known is None else bool(known)


def must_exist(message: Descriptor, field: FieldDescriptor | None, name: str, value: Any) -> None:  # noqa: ARG001
    """Raise KeyError for a field that the schema lacks."""
    if field is None:
        raise KeyError(f"{message.name} has no field {name}")


def fill(message: Message, values: Mapping[str, Any], check: Check = must_exist) -> None:
    """Set fields from plain values: the inverse of `schema.as_dict`.

    Messages are mappings, or objects whose `values` are one (`ir.fields.Fields`); enums are names or numbers; a
    repeated field takes one value too, and a single field a sequence of one. `check` is called for every field first.
    """
    for name, value in values.items():
        field = message.DESCRIPTOR.fields_by_name.get(name)
        check(message.DESCRIPTOR, field, name, value)
        assert field is not None, "check raises for unknown fields"
        many = is_repeated(field)
        if field.message_type is not None:
            _fill_messages(message, field, many, value, check)
        elif many:
            getattr(message, name).extend(_scalar(field, one) for one in _listed(value))
        else:
            setattr(message, name, _scalar(field, _listed(value)[0]))


def _fill_messages(message: Message, field: FieldDescriptor, many: bool, value: Any, check: Check) -> None:
    for one in _listed(value):
        target = getattr(message, field.name).add() if many else getattr(message, field.name)
        target.SetInParent()
        fill(target, one if isinstance(one, Mapping) else one.values, check)


def _listed(value: Any) -> Any:
    return value if isinstance(value, (tuple, list)) else (value,)


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    """The value itself, or the number of an enum's value that is given by name."""
    if field.enum_type is not None and isinstance(value, str):
        return field.enum_type.values_by_name[value].number
    return value
