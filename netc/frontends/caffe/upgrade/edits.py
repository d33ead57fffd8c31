"""Tree edits shared by the upgrade steps. All take linear time in the number of fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netc.text import Field, Message, Scalar
from netc.text.literals import unquote
from netc.text.tree import split_lead

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def word(value: Scalar | Message) -> str | None:
    """Return the text of a scalar without quotes; None for a message or a string with an invalid escape sequence."""
    if isinstance(value, Message):
        return None
    try:
        return unquote(value.raw).decode("utf-8", "replace") if value.is_string else value.raw
    except ValueError:
        return None


def first_word(message: Message, name: str) -> str | None:
    """Return the text of the first value of a field, None if it has no value."""
    values = message.get(name)
    return word(values[0]) if values else None


def respelled(value: Scalar | Message, raw: str) -> Scalar:
    """Create a scalar with another spelling at the position of `value`."""
    if isinstance(value, Scalar):
        return Scalar(raw, value.source, value.start, value.end)
    return Scalar(raw)


def single(field: Field) -> list[Field]:
    """Split a field into fields with one value each."""
    if not field.listed and len(field.values) == 1:
        return [field]
    return [Field(field.name, [value]) for value in field.values]


def substitute(message: Message, new: Mapping[Field, Sequence[Field]], keep_comments: bool = False) -> None:
    """Replace some fields by others, or remove them.

    Comments above a replaced field that are separated from it are kept. Those that belong to it move with it or are
    removed, unless `keep_comments`.
    """
    fields: list[Field] = []
    kept = ""
    for old in message.fields:
        instead = new.get(old)
        if instead is None:
            if kept:
                old.lead_text = kept + old.lead_source.lstrip("\r\n")
                kept = ""
            fields.append(old)
            continue
        lead = old.lead_source
        kept += _own_lines(old) if keep_comments else split_lead(lead, 0 <= old.lead <= 1)[0]
        if instead and (kept or _is_separated(lead)):
            instead[0].lead_text = (kept or "\n\n") + lead[lead.rfind("\n") + 1 :]
            kept = ""
        fields += instead
    if kept and message.source:
        message.tail_text = kept.rstrip() + message.tail_source
    message.fields = fields


def _own_lines(field: Field) -> str:
    """The lines above the line of a field if they contain comments, else empty."""
    lead = field.lead_source
    return lead[: lead.rfind("\n") + 1] if "#" in lead else ""


def _is_separated(lead: str) -> bool:
    """Whether a blank line precedes a field and its comments."""
    return lead.partition("#")[0].count("\n") > 1


def expand(message: Message) -> None:
    """Have each field of a one-line message printed on its own line, before multi-line messages are added to it.

    The printer treats it as a new message, so it loses its position; its fields keep theirs.
    """
    source = message.source
    if source is not None and "\n" not in source.text[message.start : message.end]:
        message.source, message.start, message.home, message.tail, message.end = None, -1, -1, -1, -1


def comments(text: str) -> list[str]:
    """Return the comments in the text between two fields."""
    return [line.strip() for line in text.split("\n") if "#" in line]


def put_above(field: Field, lines: Iterable[str], indent: str) -> None:
    """Insert comments above a field that moves to another message, before its own comments."""
    found = list(lines)
    if found:
        own = comments(split_lead(field.lead_source)[1])
        field.lead_text = "".join("\n" + indent + line for line in [*found, *own, ""])


def message_of(layer: Message, name: str) -> Message:
    """Return the message field with a name; append one if it does not exist."""
    found = layer.messages(name)
    if found:
        return found[-1]
    expand(layer)
    new = Message()
    layer.append(name, new)
    return new
