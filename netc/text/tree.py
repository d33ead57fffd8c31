"""The tree of a prototxt: messages of fields of values, each with its place in the file.

    Tree            a file: its source and its root message
      Message       fields in order; the root, or what stands between braces
        Field       a name and its values: one, or any number between `[` and `]`
          Scalar    a number, word or string in its own spelling
          Message

Nodes are plain data and may be changed freely: `field.name = "layer"`, `scalar.raw = "3"`, `message.fields.pop()`.
Printing compares each node with the source it came from. What is as it was is printed as it was, with its comments and
spaces; a new node (one without a source) or a moved one gets the indentation of its new place. The methods of Message
besides look after the comments around a removed or replaced field.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from netc.diagnostics import Source, Span
from netc.text.literals import spell


class Scalar:
    """A number, word or string as the file spells it; adjacent strings are one scalar."""

    __slots__ = ("end", "raw", "source", "start")

    def __init__(self, raw: str, source: Source | None = None, start: int = -1, end: int = -1) -> None:
        self.raw = raw
        self.source = source
        self.start = start
        self.end = end

    @classmethod
    def of(cls, value: str | bytes | bool | int | float) -> Scalar:
        """A new scalar for a Python value: text is quoted, True is `true`. A name of an enum is `Scalar("MAX")`."""
        return cls(spell(value))

    @property
    def is_string(self) -> bool:
        """Whether it is quoted."""
        return self.raw[:1] in ('"', "'")

    @property
    def span(self) -> Span | None:
        """Where it was read, None for a new one."""
        return Span(self.source, self.start, self.end) if self.source else None

    def __repr__(self) -> str:
        return f"Scalar({self.raw})"


class Message:
    """Fields in the order of the file."""

    __slots__ = ("end", "fields", "home", "source", "start", "tail", "tail_text")

    def __init__(self, fields: list[Field] | None = None, source: Source | None = None, start: int = -1) -> None:
        self.fields = [] if fields is None else fields
        self.source = source
        self.start = start
        """Of the opening brace."""
        self.home = -1
        """Where its fields begin, behind a comment on the brace's line. Fields read here carry the same number."""
        self.tail = -1
        """Where the text between the last field and the closing brace begins."""
        self.end = -1
        self.tail_text: str | None = None
        """Replaces the text from `tail` to the end, the brace apart."""

    @property
    def span(self) -> Span | None:
        """From brace to brace, the whole file for a root; None for a new message."""
        return Span(self.source, self.start, self.end) if self.source else None

    def named(self, name: str) -> list[Field]:
        """Its fields of a name."""
        return [field for field in self.fields if field.name == name]

    def get(self, name: str) -> list[Scalar | Message]:
        """The values of all its fields of a name, those of lists too, in order."""
        return [value for field in self.fields if field.name == name for value in field.values]

    def messages(self, name: str) -> list[Message]:
        """The values of a name that are messages."""
        return [value for value in self.get(name) if isinstance(value, Message)]

    def span_of(self, name: str, index: int = 0) -> Span | None:
        """Where value `index` of a field stands, counted through repeated fields and lists; None without one."""
        values = self.get(name)
        return values[index].span if -len(values) <= index < len(values) else None

    def name_span_of(self, name: str, index: int = 0) -> Span | None:
        """Where the name of the `index`-th field of that name stands, None where there is none."""
        fields = self.named(name)
        return fields[index].name_span if -len(fields) <= index < len(fields) else None

    def walk(self) -> Iterator[tuple[Message, Field]]:
        """Every field below this message, with the message that holds it, in the order of the file."""
        for field in self.fields:
            yield self, field
            for value in field.values:
                if isinstance(value, Message):
                    yield from value.walk()

    def append(self, name: str, *values: Scalar | Message) -> Field:
        """Add a new field behind the last."""
        return self.insert(len(self.fields), name, *values)

    def insert(self, index: int, name: str, *values: Scalar | Message) -> Field:
        """Add a new field before field `index`."""
        field = Field(name, list(values))
        self.fields.insert(index, field)
        return field

    def remove(self, field: Field) -> None:
        """Take a field out, with the comments that belong to it: directly above it and behind it on its line.

        Comments above those, set apart by a blank line or at the top of the file, stay.
        """
        at = self.fields.index(field)
        del self.fields[at]
        at_top = 0 <= field.lead <= 1  # 1 is behind a byte order mark
        kept = split_lead(field.lead_source, at_top)[0]
        if not kept:
            return
        if at < len(self.fields):
            following = self.fields[at]
            following.lead_text = kept + following.lead_source.lstrip("\r\n")
        elif self.source:
            self.tail_text = kept.rstrip() + self.tail_source

    def replace(self, field: Field, *new: Field) -> None:
        """Put other fields in the place of one; they take over the comments around it."""
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
        """The text between the last field and the closing brace, or the end of the file."""
        if self.tail_text is not None:
            return self.tail_text
        if self.source is None:
            return ""
        return self.source.text[self.tail : self.end - (self.start != self.home)]

    def __repr__(self) -> str:
        return f"Message({self.fields})"


class Field:
    """A name and its values.

    Its text is lead (spaces and comments before it), name, gap (the colon), values, trail (a separator and a comment on
    the same line).
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
        """Whether the values stand between `[` and `]`."""
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
        """The value of a field that has one; the first of a list."""
        return self.values[0]

    @property
    def span(self) -> Span | None:
        """From the name to the end of the value, None for a new field."""
        return Span(self.source, self.start, self.end) if self.source else None

    @property
    def name_span(self) -> Span | None:
        """Where the name was read, None for a new field."""
        return Span(self.source, self.start, self.name_end) if self.source else None

    @property
    def gap(self) -> str:
        """The text between name and value; a new field has its colon."""
        return self.source.text[self.name_end : self.value_start] if self.source else ": "

    @property
    def lead_source(self) -> str:
        """The spaces and comments before it."""
        if self.lead_text is not None:
            return self.lead_text
        return self.source.text[self.lead : self.start] if self.source else ""

    @property
    def trail_source(self) -> str:
        """The separator and the comment behind it on its line."""
        if self.trail_text is not None:
            return self.trail_text
        return self.source.text[self.end : self.stop] if self.source else ""

    def __repr__(self) -> str:
        return f"Field({self.name}, {self.values})"


@dataclass(eq=False)
class Tree:
    """A file."""

    source: Source
    root: Message


def split_lead(text: str, top: bool = False) -> tuple[str, str]:
    r"""The text before a field, parted into what stands by itself and what belongs to the field.

    A comment belongs to the field below it unless a blank line is between them, or it is at the top of the file.

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
