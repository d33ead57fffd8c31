"""Parses prototxt text into a tree.

A single regular expression matches a complete scalar field (`name: value`), an opening brace or a closing brace, which
covers about three quarters of the lines of a net. Lists, extension names, comments in unusual places and errors take
the slow path. There is no recursion: open messages, including those in lists, are kept on a stack.
"""

from __future__ import annotations

import gc
from typing import NamedTuple

from netc.diagnostics import Diagnostic, NetcError, Source, Span, in_order
from netc.text.grammar import CLOSE, HEAD, ITEM, JUNK, NAME, NAME_GROUP, OPEN, SCALAR, TRAIL, TRIVIA, VALUE
from netc.text.tree import Field, Message, Scalar, Tree

MAX_DEPTH = 100
"""Maximum nesting depth of messages."""

CLOSING = {"{": "}", "<": ">"}
MAX_ERRORS = 200
"""Maximum number of syntax errors that are recorded: a file that is not a prototxt may have one in each line."""


def parse(source: Source) -> Tree:
    """Parse a prototxt.

    Raises NetcError with every independent syntax error, at most MAX_ERRORS: E002 (unexpected token), E003 (unmatched
    brace), E004 (unterminated string), E005 (nested too deeply).

    >>> parse(Source("net", 'layer { name: "a" }')).root.messages("layer")[0].get("name")
    [Scalar("a")]
    """
    tree, errors = parse_with_errors(source)
    if errors:
        raise NetcError(errors)
    return tree


def parse_with_errors(source: Source) -> tuple[Tree, list[Diagnostic]]:
    """Parse a prototxt that may be invalid: return a partial tree and the syntax errors of `parse`.

    The tree contains everything before and after an error. A message without a closing brace ends at the next field
    that is not indented within it, or that has the same name as the message.

    >>> tree, errors = parse_with_errors(Source("net", 'layer { name: "a" layer { name: "b" }'))
    >>> [layer.get("name") for layer in tree.root.messages("layer")], [error.code for error in errors]
    ([[Scalar("a")], [Scalar("b")]], ['E003'])
    """
    collecting = gc.isenabled()
    gc.disable()  # a tree has no cycles, so repeated collections while it grows would only cost time
    try:
        return _Parser(source).run()
    finally:
        if collecting:
            gc.enable()


class _Open(NamedTuple):
    message: Message
    field: Field
    closing: str


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.text = source.text
        self.root = Message([], source, 0)
        self.root.home = 0
        self.message = self.root
        self.stack: list[_Open] = []
        self.errors: list[Diagnostic] = []
        self.error_end = -1
        self.too_deep = False

    def run(self) -> tuple[Tree, list[Diagnostic]]:
        root = self.root
        end = self.items(1 if self.text.startswith("\ufeff") else 0)
        root.tail, root.end = end, len(self.text)
        if self.stack:
            self.unclosed()
        return Tree(self.source, root), in_order(self.errors)

    def items(self, at: int) -> int:
        """Parse fields and braces up to the end of the file; the hot loop."""
        text, source, match = self.text, self.source, ITEM.match
        message = self.message
        append, home = message.fields.append, message.home
        while True:
            item = match(text, at)
            assert item is not None
            kind, after = item.lastindex, item.end()
            if kind == VALUE:
                start, name_end = item.span(NAME_GROUP)
                value_start, end = item.span(VALUE)
                scalar = Scalar(item[VALUE], source, value_start, end)
                append(Field(item[NAME_GROUP], [scalar], source, home, at, start, name_end, value_start, end, after))
                at = after
                continue
            if kind is None:
                return at
            if kind == OPEN:
                start, name_end = item.span(NAME_GROUP)
                field = Field(item[NAME_GROUP], [], source, home, at, start, name_end, item.start(OPEN))
                append(field)
                at = self.open(field, item.start(OPEN), after)
            elif kind == CLOSE:
                at = self.close(item.start(CLOSE), at)
            else:
                at = self.other(at, item.start(kind))
            message = self.message
            append, home = message.fields.append, message.home

    def open(self, field: Field, start: int, home: int) -> int:
        """Start a message of `field` at an opening brace."""
        message = Message([], self.source, start)
        message.home = message.tail = home
        message.end = len(self.text)
        field.values.append(message)
        if len(self.stack) >= MAX_DEPTH:
            self.too_deep = True
            self.error("E005", f"messages are nested more than {MAX_DEPTH} deep", start, start + 1)
            message = Message([], self.source, start)  # collects fields that are not part of the tree
        self.stack.append(_Open(message, field, CLOSING[self.text[start]]))
        self.message = message
        return home

    def close(self, brace: int, tail: int) -> int:
        """End the innermost message at a closing brace."""
        found = self.text[brace]
        if not self.stack:
            self.error("E003", f"unexpected `{found}`: no message is open here", brace, brace + 1)
            return brace + 1
        message, field, closing = self.stack.pop()
        if found != closing:
            note = f"`{self.text[message.start]}` was opened on line {self.source.position(message.start)[0]}"
            self.error("E003", f"expected `{closing}`, found `{found}`", brace, brace + 1, note)
        message.tail, message.end = tail, brace + 1
        self.message = self.stack[-1].message if self.stack else self.root
        return self.list_next(field, brace + 1) if field.listed else self.finish(field, brace + 1)

    def finish(self, field: Field, end: int) -> int:
        """Set the end of a field and consume the trailing separator and comment; return the new position."""
        field.end = end
        match = TRAIL.match(self.text, end)
        field.stop = match.end() if match else end
        return field.stop

    # ---- slow path ----

    def skip(self, at: int) -> int:
        """Return the position after whitespace and comments."""
        match = TRIVIA.match(self.text, at)
        return match.end() if match else at

    def other(self, lead: int, at: int) -> int:
        """Parse what the hot loop does not: a name, a separator on its own line, an adjacent string, or an error."""
        character = self.text[at]
        name = NAME.match(self.text, at)
        if name:
            field = Field(name[0], [], self.source, self.message.home, lead, at, name.end())
            return self.value_of(field)
        last = self.message.fields[-1] if self.message.fields else None
        if last is not None and last.stop == lead and self.skip(last.end) >= last.stop:
            if character in ";,":
                last.stop = at + 1
                return at + 1
            joined = character in "\"'" and not last.listed and self.join(last, at)
            if joined:
                return joined
        return self.unexpected(at, "a field")

    def join(self, last: Field, at: int) -> int:
        """Join an adjacent string to the string value of `last`; return 0 if the value or the token is not a string."""
        value, string = last.values[-1], SCALAR.match(self.text, at)
        if not isinstance(value, Scalar) or not value.is_string or string is None:
            return 0
        value.end = string.end()
        value.raw = self.text[value.start : value.end]
        return self.finish(last, value.end)

    def value_of(self, field: Field) -> int:
        """Parse the value of a field whose name has been read."""
        at = self.skip(field.name_end)
        colon = self.text.startswith(":", at)
        at = self.skip(at + 1) if colon else at
        character = self.text[at : at + 1]
        if character == "=" and not colon:
            self.error("E002", f"expected `:` after `{field.name}`, found `=`", at, at + 1)
            at, colon = self.skip(at + 1), True
            character = self.text[at : at + 1]
        field.value_start = at
        if character and character in "{<":
            self.message.fields.append(field)
            head = HEAD.match(self.text, at + 1)
            return self.open(field, at, head.end() if head else at + 1)
        if character == "[":
            return self.list_of(field, at, colon)
        scalar = SCALAR.match(self.text, at)
        if scalar is None:
            return self.unexpected(at, "a value" if colon else f"`:` or `{{` after `{field.name}`")
        if not colon:
            self.error("E002", f"expected `:` or `{{` after `{field.name}`", at, scalar.end())
        field.values.append(Scalar(scalar[0], self.source, at, scalar.end()))
        self.message.fields.append(field)
        return self.finish(field, scalar.end())

    def list_of(self, field: Field, at: int, colon: bool) -> int:
        """Parse a list value."""
        field.listed = True
        first = self.skip(at + 1)
        if not colon and self.text[first : first + 1] not in ("{", "<", "]"):
            self.error("E002", f"expected `:` after `{field.name}`", at, at + 1)
        self.message.fields.append(field)
        if self.text.startswith("]", first):
            return self.finish(field, first + 1)
        return self.list_item(field, first)

    def list_item(self, field: Field, at: int) -> int:
        """Parse an item of a list."""
        character = self.text[at : at + 1]
        if character and character in "{<":
            head = HEAD.match(self.text, at + 1)
            return self.open(field, at, head.end() if head else at + 1)
        scalar = SCALAR.match(self.text, at)
        if scalar is None:
            field.end = field.stop = self.unexpected(at, "a value")
            return field.stop
        field.values.append(Scalar(scalar[0], self.source, at, scalar.end()))
        return self.list_next(field, scalar.end())

    def list_next(self, field: Field, at: int) -> int:
        """Continue after an item of a list."""
        while True:
            at = self.skip(at)
            if self.text.startswith("]", at):
                return self.finish(field, at + 1)
            if not self.text.startswith(",", at):
                field.end = field.stop = self.unexpected(at, "`,` or `]`")
                return field.stop
            at = self.skip(at + 1)
            scalar = SCALAR.match(self.text, at)
            if scalar is None:
                return self.list_item(field, at)
            field.values.append(Scalar(scalar[0], self.source, at, scalar.end()))
            at = scalar.end()

    # ---- errors ----

    def unexpected(self, at: int, wanted: str) -> int:
        """Report an unexpected token at `at`; return the position at which to continue."""
        if at >= len(self.text):
            self.error("E002", f"expected {wanted}, found the end of the file", at, at)
            return at
        character = self.text[at]
        if character in "\"'" and not SCALAR.match(self.text, at):
            end = self.text.find("\n", at)
            end = len(self.text) if end < 0 else end
            self.error("E004", f"the string has no closing `{character}` on its line", at, end)
            return end
        junk = SCALAR.match(self.text, at) or JUNK.match(self.text, at)
        end = junk.end() if junk else at + 1
        shown = self.text[at : min(end, at + 40)]
        self.error("E002", f"expected {wanted}, found `{shown}`", at, end)
        return at if character in "}>" else end

    def unclosed(self) -> None:
        """Report the messages that are open at the end of the file, and close each at its most likely end.

        Of nested open messages only the outermost is reported, as it is unknown which of them lacks its brace.
        """
        holders = [self.root, *(opened.message for opened in self.stack)]
        suspects: dict[int, Field | None] = {}
        for holder, opened in reversed(list(zip(holders, self.stack))):
            suspects[opened.message.start] = first = self.first_outside(opened)
            self.end_early(holder, opened, first)
        for holder, opened in zip(holders, self.stack):
            if holder is self.root or opened.field not in holder.fields:
                self.report_unclosed(opened, suspects[opened.message.start])

    def report_unclosed(self, opened: _Open, suspect: Field | None) -> None:
        """Report a message without a closing brace; `suspect` is the field that probably follows it."""
        if self.too_deep:
            return  # a corrupt or malicious file, whose braces carry no information
        message, field, closing = opened
        note = "the file ends before it"
        if suspect is not None and self.is_dedented(suspect, field):
            line = self.source.position(suspect.start)[0]
            note = f"`{suspect.name}` on line {line} is inside it, but is not indented"
        self.error("E003", f"`{field.name}` is not closed: missing `{closing}`", message.start, message.start + 1, note)

    def first_outside(self, opened: _Open) -> Field | None:
        """The first field that probably follows an unclosed message: one not indented, or with the same name."""
        fields, name = opened.message.fields, opened.field.name
        dedented = next((inner for inner in fields if self.is_dedented(inner, opened.field)), None)
        return dedented or next((inner for inner in fields if inner.name == name), None)

    def is_dedented(self, inner: Field, field: Field) -> bool:
        """Whether a field starts a line and is not indented relative to `field`."""
        column = self.source.position(field.start)[1]
        return "\n" in inner.lead_source and self.source.position(inner.start)[1] <= column

    def end_early(self, holder: Message, opened: _Open, first: Field | None) -> None:
        """End an unclosed message before the field `first`, and move `first` and what follows to `holder`."""
        message, field, _ = opened
        end = len(self.text) if first is None else first.lead
        message.tail = message.end = field.end = field.stop = end
        if first is not None and field in holder.fields:
            at, after = message.fields.index(first), holder.fields.index(field) + 1
            holder.fields[after:after] = message.fields[at:]
            del message.fields[at:]

    def error(self, code: str, message: str, start: int, end: int, *notes: str) -> None:
        """Record a syntax error, one per line: later errors on a line are usually consequences of the first."""
        previous = self.error_end
        self.error_end = max(end, previous)
        if previous >= 0 and "\n" not in self.text[previous:start] and code != "E003":
            return
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(Diagnostic(code, message, Span(self.source, start, end), notes))
