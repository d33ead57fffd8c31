"""Whose Caffe `--to caffe` and `netc surgery` write for."""

from __future__ import annotations

from dataclasses import replace

from netc.exporters.caffe import BVLC, Target
from netc.frontends.writing import BVLC as BVLC_DIALECT
from netc.frontends.writing import dialects_with, dialects_with_value, has_field, has_value, named


def target_of(dialect: str | None = None) -> Target:
    """The target of a dialect, BVLC's without one. Raises NetcError E806 for a dialect that does not exist."""
    if dialect in (None, BVLC_DIALECT):
        return replace(BVLC, dialects_with=dialects_with, dialects_with_value=dialects_with_value)
    name = named(dialect or "").name
    return Target(
        dialect=name,
        caffe=f"the Caffe of dialect `{name}`",
        has_field=lambda message, field: has_field(name, message.name, field.name),
        dialects_with=dialects_with,
        has_value=lambda value: BVLC.has_value(value) or has_value(name, value.type.name, value.name),
        dialects_with_value=dialects_with_value,
    )
