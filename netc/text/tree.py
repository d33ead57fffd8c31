"""The tree of a prototxt: messages, fields and values, each with its position in the file.

    Tree            a file: its source and its root message
      Message       fields in order; the root, or the content of braces
        Field       a name and its values: one, or a list in `[` and `]`
          Scalar    a number, word or string as it is spelled in the file
          Message

Nodes are plain data and can be modified freely: `field.name = "layer"`, `scalar.raw = "3"`, `message.fields.pop()`.
The printer compares each node with its source. Unmodified nodes are printed verbatim, with their comments and
whitespace; a new node (one without a source) or a moved one gets the indentation of its new position. The methods of
Message also preserve the comments around a removed or replaced field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.diagnostics import Source, Span
from netc.text.literals import spell

if TYPE_CHECKING:
    from collections.abc import Iterator


class Scalar:
    """A number, word or string as it is spelled in the file; adjacent strings are one scalar."""

    __slots__ = ("end", "raw", "source", "start")

    def __init__(self, raw: str, source: Source | None = None, start: int = -1, end: int = -1) -> None:
        self.raw = raw
        self.source = source
        self.start = start
        self.end = end

    @classmethod
    def of(cls, value: str | bytes | bool | int | float) -> Scalar:
        """Create a scalar from a Python value: strings are quoted, True is `true`. An enum name is `Scalar("MAX")`."""
        return cls(spell(value))

    @property
    def is_string(self) -> bool:
        """Whether it is quoted."""
        return self.raw[:1] in ('"', "'")

    @property
    def span(self) -> Span | None:
        """Its position in the file, None for a new scalar."""
        return Span(self.source, self.start, self.end) if self.source else None

    def __repr__(self) -> str:
        return f"Scalar({self.raw})"


class Message:
    """Fields in file order."""

    __slots__ = ("end", "fields", "home", "source", "start", "tail", "tail_text")

    def __init__(self, fields: list[Field] | None = None, source: Source | None = None, start: int = -1) -> None:
        self.fields = [] if fields is None else fields
        self.source = source
        self.start = start
        """Offset of the opening brace."""
        self.home = -1
        """Offset of its content, after a comment on the brace's line. Fields parsed here have the same `home`."""
        self.tail = -1
        """Offset of the text between the last field and the closing brace."""
        self.end = -1
        self.tail_text: str | None = None
        """Replaces the text from `tail` to the closing brace."""

    @property
    def span(self) -> Span | None:
        """From brace to brace, or the whole file for the root; None for a new message."""
        return Span(self.source, self.start, self.end) if self.source else None

    def named(self, name: str) -> list[Field]:
        """Return its fields with a name."""
        return [field for field in self.fields if field.name == name]

    def get(self, name: str) -> list[Scalar | Message]:
        """Return the values of all its fields with a name, including those in lists, in order."""
        return [value for field in self.fields if field.name == name for value in field.values]

    def messages(self, name: str) -> list[Message]:
        """Return those values of the fields with a name that are messages."""
        return [value for value in self.get(name) if isinstance(value, Message)]

    def span_of(self, name: str, index: int = 0) -> Span | None:
        """Return the position of value `index`, counted across repeated fields and lists; None if it does not exist."""
        values = self.get(name)
        return values[index].span if -len(values) <= index < len(values) else None

    def name_span_of(self, name: str, index: int = 0) -> Span | None:
        """Return the position of the name of the `index`-th field with a name, None if it does not exist."""
        fields = self.named(name)
        return fields[index].name_span if -len(fields) <= index < len(fields) else None

    def walk(self) -> Iterator[tuple[Message, Field]]:
        """Yield every field below this message with the message that contains it, in file order."""
        for field in self.fields:
            yield self, field
            for value in field.values:
                if isinstance(value, Message):
                    yield from value.walk()

    def append(self, name: str, *values: Scalar | Message) -> Field:
        """Append a new field."""
        return self.insert(len(self.fields), name, *values)

    def insert(self, index: int, name: str, *values: Scalar | Message) -> Field:
        """Insert a new field before field `index`."""
        field = Field(name, list(values))
        self.fields.insert(index, field)
        return field

    def remove(self, field: Field) -> None:
        """Remove a field with the comments that belong to it: directly above it, and after it on its line.

        Comments that a blank line separates from the field, or that start the file, are kept.
        """
        at = self.fields.index(field)
        del self.fields[at]
        at_top = 0 <= field.lead <= 1  # 1 is after a byte order mark
        kept = split_lead(field.lead_source, at_top)[0]
        if not kept:
            return
        if at < len(self.fields):
            following = self.fields[at]
            following.lead_text = kept + following.lead_source.lstrip("\r\n")
        elif self.source:
            self.tail_text = kept.rstrip() + self.tail_source

    def replace(self, field: Field, *new: Field) -> None:
        """Replace a field by others, which keep the comments around it."""
        if not new:
            self.remove(field)
            return
        at = self.fields.index(field)
        self.fields[at : at + 1] = new
        if field.source:
            new[0].lead_text = field.lead_source
            new[-1].trail_text = field.trail_source

    @property
    def tail_source(self) -> str:
        """The text between the last field and the closing brace or the end of the file."""
        if self.tail_text is not None:
            return self.tail_text
        if self.source is None:
            return ""
        return self.source.text[self.tail : self.end - (self.start != self.home)]

    def __repr__(self) -> str:
        return f"Message({self.fields})"


class Field:
    """A name and its values.

    Its text consists of lead (whitespace and comments before it), name, gap (the colon), values, and trail (a separator
    and a comment on the same line).
    """

    __slots__ = (
        "end",
        "home",
        "lead",
        "lead_text",
        "listed",
        "name",
        "name_end",
        "source",
        "start",
        "stop",
        "trail_text",
        "value_start",
        "values",
    )

    def __init__(
        self,
        name: str,
        values: list[Scalar | Message],
        source: Source | None = None,
        home: int = -1,
        lead: int = -1,
        start: int = -1,
        name_end: int = -1,
        value_start: int = -1,
        end: int = -1,
        stop: int = -1,
    ) -> None:
        self.name = name
        self.values = values
        self.listed = False
        """Whether the values are in `[` and `]`."""
        self.source = source
        self.home = home
        self.lead = lead
        self.start = start
        self.name_end = name_end
        self.value_start = value_start
        self.end = end
        self.stop = stop
        self.lead_text: str | None = None
        self.trail_text: str | None = None

    @property
    def value(self) -> Scalar | Message:
        """The value of a singular field; the first of a list."""
        return self.values[0]

    @property
    def span(self) -> Span | None:
        """From the name to the end of the value; None for a new field."""
        return Span(self.source, self.start, self.end) if self.source else None

    @property
    def name_span(self) -> Span | None:
        """The position of the name, None for a new field."""
        return Span(self.source, self.start, self.name_end) if self.source else None

    @property
    def gap(self) -> str:
        """The text between name and value; a colon for a new field."""
        return self.source.text[self.name_end : self.value_start] if self.source else ": "

    @property
    def lead_source(self) -> str:
        """The whitespace and comments before it."""
        if self.lead_text is not None:
            return self.lead_text
        return self.source.text[self.lead : self.start] if self.source else ""

    @property
    def trail_source(self) -> str:
        """The separator and the comment after it on its line."""
        if self.trail_text is not None:
            return self.trail_text
        return self.source.text[self.end : self.stop] if self.source else ""

    def __repr__(self) -> str:
        return f"Field({self.name}, {self.values})"


@dataclass(eq=False)
class Tree:
    """A parsed file."""

    source: Source
    root: Message


def split_lead(text: str, top: bool = False) -> tuple[str, str]:
    r"""Split the text before a field into what is independent of the field and what belongs to it.

    A comment belongs to the field below it unless a blank line separates them, or it is at the top of the file.

    >>> split_lead("\n\n# alone\n\n  # of the field\n  ")
    ('\n\n# alone\n\n', '  # of the field\n  ')
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    last = max((n for n, line in enumerate(lines) if "#" in line), default=-1)
    if top and last >= 0:
        cut = last + 1
    else:
        blank = (n + 1 for n in range(1, len(lines)) if not lines[n].strip() and lines[n].endswith("\n"))
        cut = max((n for n in blank if any("#" in line for line in lines[:n])), default=0)
    return "".join(lines[:cut]), "".join(lines[cut:])
