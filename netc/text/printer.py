"""Prints a tree: byte for byte where it is unmodified, in canonical layout where it was changed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netc.text.grammar import TRIVIA
from netc.text.tree import Field, Message, Scalar, Tree, split_lead

if TYPE_CHECKING:
    from netc.diagnostics import Source

STEP = "  "
"""Indentation per level of new messages."""

_GLUE = re.compile(r"[\w.+\-][\w.+\-]", re.ASCII)


def print_tree(tree: Tree) -> str:
    """Return the text of a tree; for an unmodified tree, the text that was parsed."""
    mark = "\ufeff" if tree.source.text.startswith("\ufeff") else ""
    printer = _Printer(tree.source)
    end = printer.fields(tree.root, len(mark), "", inline=False)
    printer.tail(tree.root, end, "", inline=False)
    return mark + printer.done()


class _Printer:
    """Collects text. Consecutive pieces of a source are merged, so an unmodified tree is a single piece."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.newline = source.newline
        self.parts: list[str] = []
        self.piece: tuple[Source, int, int] | None = None
        self.last = 0  # start of the last part of the piece
        self.trivia = False  # whether the last part consists of whitespace and comments

    def done(self) -> str:
        self.flush()
        return "".join(self.parts)

    def flush(self) -> None:
        if self.piece is not None:
            source, start, end = self.piece
            self.parts.append(source.text[start:end])
            self.piece = None

    def ending(self) -> str:
        """The last part written."""
        if self.piece is not None:
            return self.piece[0].text[self.last : self.piece[2]]
        return self.parts[-1] if self.parts else ""

    @property
    def empty(self) -> bool:
        return self.piece is None and not self.parts

    def copy(self, source: Source, start: int, end: int, trivia: bool = False) -> None:
        """Copy a part of a source."""
        if start == end:
            return
        if self.piece is not None and self.piece[0] is source and self.piece[2] == start:
            self.piece = (source, self.piece[1], end)
        else:
            self.separate(source.text[start:end])
            self.flush()
            self.piece = (source, start, end)
        self.last, self.trivia = start, trivia

    def write(self, text: str, trivia: bool = False) -> None:
        """Write new text."""
        if text:
            self.separate(text)
            self.flush()
            self.parts.append(text)
            self.trivia = trivia

    def separate(self, text: str) -> None:
        """Insert a line break after a comment, or a space between two words, before the next text."""
        before = self.ending()
        if self.trivia and "#" in before[before.rfind("\n") + 1 :]:
            if not text.lstrip(" \t\r").startswith("\n"):
                self.flush()
                self.parts.append(self.newline)
        elif _GLUE.match(before[-1:] + text[:1]):
            self.flush()
            self.parts.append(" ")

    # ---- nodes ----

    def fields(self, message: Message, at: int, indent: str, inline: bool) -> int:
        """Print the fields of a message that start at `at`; return the end of the last one, -1 if it is new."""
        for field in message.fields:
            home = field.source is not None and field.source is message.source and field.home == message.home
            own = indent
            if home and field.source is not None:
                self.lead(field, field.source, at, indent, inline)
                own = _line_indent(field.source, field.start)
            else:
                self.new_lead(field, indent, inline)
            if home or field.source is None:
                self.body(field, own)
            else:
                self.moved(field, own)
            self.trail(field)
            at = field.stop if home else -1
        return at

    def lead(self, field: Field, source: Source, at: int, indent: str, inline: bool) -> None:
        """Print the whitespace and comments before a field that is in its original message; `at` is the end so far."""
        if field.lead_text is None and field.lead == at:
            self.copy(source, field.lead, field.start, trivia=True)
            return
        text = field.lead_source
        if self.empty:
            text = text.lstrip(" \t\r\n")
        elif "\n" not in text and not inline:
            text = self.newline + indent + text.lstrip(" \t")
        self.write(text, trivia=True)

    def new_lead(self, field: Field, indent: str, inline: bool) -> None:
        """As `lead`, for a field that is new here; a moved field keeps the comments directly above it."""
        if field.lead_text is not None:
            self.write(field.lead_text, trivia=True)
            return
        comments = [line.strip() for line in split_lead(field.lead_source)[1].split("\n") if "#" in line]
        if inline and not comments:
            self.write(" ", trivia=True)
            return
        lines = [indent + line for line in [*comments, ""]]
        self.write(("" if self.empty else self.newline) + self.newline.join(lines), trivia=True)

    def trail(self, field: Field) -> None:
        """Print the separator and comment after a field."""
        if field.trail_text is None and field.source is not None:
            self.copy(field.source, field.end, field.stop, trivia=True)
        else:
            self.write(field.trail_text or "", trivia=True)

    def body(self, field: Field, indent: str) -> None:
        """Print name and values of a field that is new or in its original place."""
        source = field.source
        if source is not None and source.text[field.start : field.name_end] == field.name:
            self.copy(source, field.start, field.name_end)
        else:
            self.write(field.name)
        if field.listed or len(field.values) != 1:
            self.listed(field, indent)
            return
        value = field.values[0]
        gap = source.text[field.name_end : field.value_start] if source else ""
        if source is not None and not field.listed and (isinstance(value, Message) or ":" in gap):
            self.copy(source, field.name_end, field.value_start, trivia=True)
        else:
            self.write(" " if isinstance(value, Message) else ": ", trivia=True)
        self.value(value, value.source is source and value.start == field.value_start, indent)

    def value(self, value: Scalar | Message, home: bool, indent: str) -> None:
        """Print a value; `home` if it is in its original place."""
        source = value.source
        if isinstance(value, Scalar):
            if home and source is not None and source.text[value.start : value.end] == value.raw:
                self.copy(source, value.start, value.end)
            else:
                self.write(value.raw)
        elif source is None or home:
            self.message(value, indent)
        else:
            inner = _Printer(source)
            old = _line_indent(source, value.start)
            inner.message(value, old)
            self.write(_shift(inner.done(), old, indent))

    def listed(self, field: Field, indent: str) -> None:
        """Print a list; the text between two values is kept if it is still a single comma."""
        source, before = field.source, field.value_start
        if source is not None and field.listed:
            self.copy(source, field.name_end, before)
        else:
            self.write(": ", trivia=True)
        for number, value in enumerate(field.values):
            home = value.source is not None and value.source is source and before <= value.start < field.end
            mark = "," if number else "["
            self.between(source if home else None, before, value.start, mark)
            self.value(value, home, indent)
            before = value.end if home else -1
        opening = "" if field.values else "["
        self.between(source if before >= 0 else None, before, field.end, opening + "]")

    def between(self, source: Source | None, start: int, end: int, marks: str) -> None:
        """Print the text between two values: unmodified if it consists of `marks`, whitespace and comments."""
        if source is not None and start >= 0 and TRIVIA.sub("", source.text[start:end]) == marks:
            self.copy(source, start, end)
        else:
            self.write(marks + " " if marks == "," else marks)

    def message(self, message: Message, outer: str) -> None:
        """Print a message with its braces; `outer` is the indentation of its own line."""
        source, inline, indent = message.source, False, outer + STEP
        if source is None:
            self.write("{")
        else:
            self.copy(source, message.start, message.home)
            own = [f for f in message.fields if f.source is source and f.home == message.home]
            indent = next((_line_indent(source, f.start) for f in own if "\n" in f.lead_source), indent)
            inline = bool(own) and "\n" not in source.text[message.start : message.end]
        self.trivia = source is not None
        end = self.fields(message, message.home, indent, inline)
        self.tail(message, end, outer, inline)
        if source is None:
            self.write("}")
        else:
            self.copy(source, message.end - 1, message.end)

    def tail(self, message: Message, at: int, outer: str, inline: bool) -> None:
        """Print the text between the last field and the closing brace or the end of the file."""
        source, root = message.source, message.home == 0
        if source is None:
            self.write(self.newline + outer, trivia=True)
        elif message.tail_text is None and message.tail == at:
            self.copy(source, message.tail, message.end if root else message.end - 1, trivia=True)
        else:
            text = message.tail_source
            if not root and not inline and message.fields and "\n" not in text:
                text = self.newline + outer
            elif root and text and not self.empty and not text.lstrip(" \t\r").startswith("\n"):
                text = self.newline + text
            self.write(text, trivia=True)

    def moved(self, field: Field, indent: str) -> None:
        """Print a field that was moved here: in its original layout, with the indentation changed."""
        assert field.source is not None
        inner = _Printer(field.source)
        old = _line_indent(field.source, field.start)
        inner.body(field, old)
        self.write(_shift(inner.done(), old, indent))


def _line_indent(source: Source, at: int) -> str:
    """The indentation of the line at an offset."""
    text = source.text
    start = text.rfind("\n", 0, at) + 1
    line = text[start:at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _shift(text: str, old: str, new: str) -> str:
    """Change the indentation of all lines of a text except the first."""
    first, *rest = text.split("\n")
    return "\n".join(
        [first, *(new + line[len(old) :] if line.startswith(old) and line.strip() else line for line in rest)]
    )
