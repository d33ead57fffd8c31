"""The canonical layout of a prototxt: what `netc fmt` writes.

Two spaces per level, one field per line, `name: value` and `name {`, no separators, at most one blank line in a row and
none at the start or end of a message. Comments stay where they are: above a field, after it on its line, or at the end
of a message. Values keep their spelling, and lists stay lists.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netc.text.tree import Field, Message, Scalar, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

STEP = "  "

_PIECE = re.compile(r"\#[^\n]*|\n")
_ROW = re.compile(r"""\#[^\n]*|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)


def canonical(tree: Tree) -> str:
    """Return the text of a tree in canonical layout. Idempotent; the parsed result equals the original tree."""
    lines = list(_message(tree.root, ""))
    return "".join(line + "\n" for line in lines)


def _message(message: Message, indent: str) -> Iterator[str]:
    """The lines within a message: fields, comments and blank lines."""
    wrote = separated = False
    for field in message.fields:
        for line in _pieces(field.lead_source):
            separated = separated or not line
            if line:
                yield from _spaced(indent + line, separated and wrote)
                wrote, separated = True, False
        for line in _field(field, indent):
            yield from _spaced(line, separated and wrote)
            wrote, separated = True, False
    for line in _pieces(message.tail_source):
        separated = separated or not line
        if line:
            yield from _spaced(indent + line, separated and wrote)
            wrote, separated = True, False


def _spaced(line: str, separated: bool) -> Iterator[str]:
    if separated:
        yield ""
    yield line


def _pieces(text: str) -> Iterator[str]:
    """The comments of a text between fields, and an empty string for each blank line."""
    ends = 0
    for piece in _PIECE.findall(text):
        if piece != "\n":
            ends = 0
            yield piece.rstrip()
            continue
        ends += 1
        if ends > 1:
            yield ""
        ends = min(ends, 2)


def _field(field: Field, indent: str) -> Iterator[str]:
    """The lines of a field, with the comments between its parts above it."""
    trailing, *below = _comments(field.trail_source) or [""]
    above, opening = _inner_comments(field)
    yield from (indent + comment for comment in above)
    lines = list(_values(field, indent, opening))
    *before, last = lines
    yield from before
    yield f"{last}  {trailing}" if trailing else last
    yield from (indent + comment for comment in below)


def _comments(text: str) -> list[str]:
    return [piece.rstrip() for piece in _PIECE.findall(text) if piece != "\n"]


def _inner_comments(field: Field) -> tuple[list[str], str]:
    """Comments between the name, the values and the brackets, and the one after an opening brace."""
    if field.source is None:
        return [], ""
    text, at, found = field.source.text, field.name_end, []
    for value in field.values:
        found += _comments(text[at : value.start]) if value.source is field.source else []
        if field.listed and isinstance(value, Scalar):
            found += [row for row in _rows(value) if row.startswith("#")]
        at = value.end
    found += _comments(text[at : field.end]) if field.listed else []
    first = field.values[0] if len(field.values) == 1 and not field.listed else None
    return found, _head(first) if isinstance(first, Message) else ""


def _head(message: Message) -> str:
    if message.source is None:
        return ""
    return message.source.text[message.start + 1 : message.home].strip()


def _values(field: Field, indent: str, opening: str) -> Iterator[str]:
    start = indent + " ".join(field.name.split())
    if field.listed or len(field.values) != 1:
        yield from _list(field, start, indent)
        return
    value = field.values[0]
    if isinstance(value, Message):
        yield f"{start} {{  {opening}" if opening else f"{start} {{"
        yield from _message(value, indent + STEP)
        yield f"{indent}}}"
    else:
        first, *rows = _rows(value)
        yield f"{start}: {first}"
        yield from (indent + STEP + row for row in rows)


def _list(field: Field, start: str, indent: str) -> Iterator[str]:
    values = field.values
    if not any(isinstance(value, Message) for value in values):
        words = (_row(value) for value in values if isinstance(value, Scalar))
        yield f"{start}: [{', '.join(words)}]"
        return
    yield f"{start}: ["
    for number, value in enumerate(values):
        comma = "," * (number < len(values) - 1)
        inner = indent + STEP
        if isinstance(value, Message):
            yield f"{inner}{{  {_head(value)}" if _head(value) else f"{inner}{{"
            yield from _message(value, inner + STEP)
            yield f"{inner}}}{comma}"
        else:
            yield f"{inner}{_row(value)}{comma}"
    yield f"{indent}]"


def _rows(value: Scalar) -> list[str]:
    """The lines of a scalar: adjacent strings may span several lines, with comments between them."""
    if not value.is_string:
        return ["".join(value.raw.split())]
    return _ROW.findall(value.raw) if "\n" in value.raw else [value.raw]


def _row(value: Scalar) -> str:
    """A scalar of a list, on one line; comments within it are placed above the list."""
    return " ".join(row for row in _rows(value) if not row.startswith("#"))
