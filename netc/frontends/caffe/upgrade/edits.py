"""Changes of trees that the generations share. All are linear in the number of fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from netc.text import Field, Message, Scalar
from netc.text.literals import unquote
from netc.text.tree import split_lead


def word(value: Scalar | Message) -> str | None:
    """The characters of a scalar, without quotes; None for a message and for a string with a faulty escape."""
    if isinstance(value, Message):
        return None
    try:
        return unquote(value.raw).decode("utf-8", "replace") if value.is_string else value.raw
    except ValueError:
        return None


def first_word(message: Message, name: str) -> str | None:
    """The characters of the first value of a field, None where there is none."""
    values = message.get(name)
    return word(values[0]) if values else None


def respelled(value: Scalar | Message, raw: str) -> Scalar:
    """A scalar with another spelling, in the place of `value`."""
    if isinstance(value, Scalar):
        return Scalar(raw, value.source, value.start, value.end)
    return Scalar(raw)


def single(field: Field) -> list[Field]:
    """A field as fields of one value each, to be moved elsewhere."""
    if not field.listed and len(field.values) == 1:
        return [field]
    return [Field(field.name, [value]) for value in field.values]


def substitute(message: Message, new: Mapping[Field, Sequence[Field]], keep_comments: bool = False) -> None:
    """Put other fields, or none, in the place of some.

    Comments that stand by themselves above a replaced field stay. Those that belong to it move with it, or go, unless
    `keep_comments`.
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
        if instead and (kept or _is_apart(lead)):
            instead[0].lead_text = (kept or "\n\n") + lead[lead.rfind("\n") + 1 :]
            kept = ""
        fields += instead
    if kept and message.source:
        message.tail_text = kept.rstrip() + message.tail_source
    message.fields = fields


def _own_lines(field: Field) -> str:
    """The lines before the one that a field stands on, where they hold comments."""
    lead = field.lead_source
    return lead[: lead.rfind("\n") + 1] if "#" in lead else ""


def _is_apart(lead: str) -> bool:
    """Whether a blank line is above a field and its comments."""
    return lead.partition("#")[0].count("\n") > 1


def expand(message: Message) -> None:
    """Give each field of a message on one line a line of its own: it is about to hold messages of several lines.

    It becomes a new message to the printer, and so loses its place; its fields keep theirs.
    """
    source = message.source
    if source is not None and "\n" not in source.text[message.start : message.end]:
        message.source, message.start, message.home, message.tail, message.end = None, -1, -1, -1, -1


def comments(text: str) -> list[str]:
    """The comments of a text between two fields."""
    return [line.strip() for line in text.split("\n") if "#" in line]


def put_above(field: Field, lines: Iterable[str], indent: str) -> None:
    """Put comments above a field that moves to another message, before those that are its own."""
    found = list(lines)
    if found:
        own = comments(split_lead(field.lead_source)[1])
        field.lead_text = "".join("\n" + indent + line for line in [*found, *own, ""])


def message_of(layer: Message, name: str) -> Message:
    """The message field of a name, added behind the others where there is none."""
    found = layer.messages(name)
    if found:
        return found[-1]
    expand(layer)
    made = Message()
    layer.append(name, made)
    return made
