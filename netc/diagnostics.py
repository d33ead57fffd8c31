"""Sources, spans, diagnostics, and the exception for invalid input.

    NetcError                 raised for any error in the input; a ValueError and a RuntimeError
      NetcFileError           a file that cannot be opened, read or written; an OSError as well
        NetcMissingFileError  a file that does not exist; a FileNotFoundError as well
      .diagnostics            one or more Diagnostic
        .severity             "error" or "warning", from the first letter of the code
        .span                 a position in a Source: file, line and column, counted from 1

The library never prints and never exits; the command line renders diagnostics and sets the exit status.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from netc.wording import counted, did_you_mean, visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "MAX_SHOWN",
    "Diagnostic",
    "NetcError",
    "NetcFileError",
    "NetcMissingFileError",
    "NetcWarning",
    "Report",
    "Source",
    "Span",
    "counted",
    "did_you_mean",
    "in_order",
    "render",
    "visible",
]

MAX_SHOWN = 20
"""Maximum number of kinds of errors that are rendered; the others are only counted."""
FILE_CODES = frozenset(("E001", "E308", "E401", "E408", "E412", "E501", "E507", "E511", "E605", "E632"))
"""Codes of files that cannot be opened, read or written."""
MAX_PLACES = 20
"""Maximum number of lines that are listed for a kind."""


@dataclass(frozen=True, eq=False)
class Source:
    """A text and its name in messages (the path that the user passed, or `<string>`)."""

    name: str
    text: str = field(repr=False)

    @functools.cached_property
    def _line_starts(self) -> list[int]:
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    @functools.cached_property
    def newline(self) -> str:
        """The line ending of the text: CRLF if any line has it, else LF."""
        return "\r\n" if "\r\n" in self.text else "\n"

    def position(self, offset: int) -> tuple[int, int]:
        r"""Return the line and column, both counted from 1, of a character offset.

        >>> Source("net", "a\nbc").position(3)
        (2, 2)
        """
        line = bisect.bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Return line `number` (counted from 1), without its line ending."""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : len(self.text) if end < 0 else end].rstrip("\r")


@dataclass(frozen=True, slots=True)
class Span:
    """The characters `start` to `end` (exclusive) of a source."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        """Line of the first character, counted from 1."""
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        """Column of the first character, counted from 1."""
        return self.source.position(self.start)[1]

    @property
    def text(self) -> str:
        """The text of the span."""
        return self.source.text[self.start : self.end]


@dataclass(frozen=True)
class Diagnostic:
    """An error or warning: a lowercase sentence with names in backticks, its position, notes, and help."""

    code: str
    """`E` (error) or `W` (warning) and three digits; `netc explain CODE` shows its documentation."""
    message: str
    span: Span | None = None
    notes: tuple[str, ...] = ()
    """Facts, with numbers."""
    help: str | None = None
    """What the user can do, if anything."""
    field: str | None = None
    """The field of the layer with the error (`kernel_size`), from which the position is determined later."""
    strict: bool = False
    """Whether a warning is treated as an error (`--strict`)."""
    missing: bool = False
    """Whether the problem is only that a file is missing, which another machine may have."""

    @property
    def severity(self) -> str:
        """`"error"` or `"warning"`."""
        return "error" if self.strict or self.code.startswith("E") else "warning"

    @property
    def file(self) -> str | None:
        """The name of the file, None for a diagnostic without a position."""
        return self.span.source.name if self.span else None

    @property
    def line(self) -> int | None:
        """Line, counted from 1."""
        return self.span.line if self.span else None

    @property
    def column(self) -> int | None:
        """Column, counted from 1."""
        return self.span.column if self.span else None

    @property
    def placed_message(self) -> str:
        """The message after its position, if it has one: `net.prototxt:3:9: unknown layer type`."""
        return f"{self.file}:{self.line}:{self.column}: {self.message}" if self.span else self.message

    def render(self) -> str:
        """Return the diagnostic as the command line shows it, without color.

        >>> source = Source("net.prototxt", 'type: "Poling"')
        >>> place = Span(source, 6, 14)
        >>> found = Diagnostic("E010", "unknown layer type `Poling`", place, help="did you mean `Pooling`?")
        >>> print(found.render())
        error[E010]: unknown layer type `Poling`
         --> net.prototxt:1:7
          |
        1 | type: "Poling"
          |       ^^^^^^^^
          = help: did you mean `Pooling`?
        """
        return "\n".join([f"{self.severity}[{self.code}]: {visible(self.message)}", *self._place(), *self._facts()])

    def _place(self) -> Iterator[str]:
        if self.span is None:
            return
        number, column = self.span.line, self.span.column
        gutter = " " * len(str(number))
        text = self.span.source.line(number)
        width = max(1, min(self.span.end - self.span.start, len(text) - column + 1))
        if len(text) > 160:  # a net on one line: show only the surrounding text
            cut = max(0, column - 60)
            text, column = text[cut : cut + 160], column - cut
            width = max(1, min(width, len(text) - column + 1))
        text = text.replace("\t", " ")
        before, marked = visible(text[: column - 1]), visible(text[column - 1 : column - 1 + width])
        yield f"{gutter}--> {visible(self.span.source.name)}:{number}:{self.span.column}"
        yield f"{gutter} |"
        yield f"{number} | {visible(text)}"
        yield f"{gutter} | {' ' * len(before)}{'^' * max(1, len(marked))}"

    def _facts(self) -> Iterator[str]:
        gutter = " " * (len(str(self.span.line)) if self.span else 1)
        facts = [*(("note", note) for note in self.notes), *([("help", self.help)] if self.help else ())]
        for kind, fact in facts:
            yield f"{gutter} = {kind}: " + visible(fact, keep="\n")


class NetcError(ValueError, RuntimeError):
    """An error in the input: in a file, a net, an option or a value at run time.

    Created from a message and the parts of a Diagnostic, or from diagnostics:

    >>> NetcError("kernel is larger than its input", field="kernel_size").diagnostics[0].field
    'kernel_size'

    It is a RuntimeError as Caffe's Python interface raises, and a ValueError. As OSError does for error numbers,
    creating it returns an instance of the subclass for the codes of its diagnostics:

    >>> isinstance(NetcError("cannot read `net.prototxt`: permission denied", code="E001"), OSError)
    True

    `str()` is the messages, each after its position (`net.prototxt:3:9: unknown layer type`) and with its help.
    """

    diagnostics: tuple[Diagnostic, ...]

    def __new__(cls, *arguments: Any, **parts: Any) -> NetcError:
        """Return an instance of `cls` or, for NetcError, of the class for the codes of the diagnostics."""
        if cls is not NetcError:
            return _new(cls)
        found = _diagnostics(*arguments, **parts)
        error = _new(_class_for(found))
        error.diagnostics = found
        return error

    def __init__(
        self,
        message: str | Iterable[Diagnostic],
        *,
        code: str = "E100",
        span: Span | None = None,
        notes: Sequence[str] = (),
        help: str | None = None,
        field: str | None = None,
        missing: bool = False,
    ) -> None:
        if not hasattr(self, "diagnostics"):  # an instance of a subclass
            parts = {"span": span, "help": help, "field": field, "missing": missing}
            self.diagnostics = _diagnostics(message, code, notes, **parts)
        super().__init__("\n".join(d.message for d in self.diagnostics))

    def __str__(self) -> str:
        return "\n".join(d.placed_message + (f"\nhelp: {d.help}" if d.help else "") for d in self.diagnostics)

    def __reduce__(self) -> tuple[type[NetcError], tuple[tuple[Diagnostic, ...]]]:
        return NetcError, (self.diagnostics,)

    def at(self, span: Span | None, *notes: str) -> NetcError:
        """Return the error with `span` for diagnostics without a position, and with `notes` appended."""
        return NetcError(replace(d, span=d.span or span, notes=(*d.notes, *notes)) for d in self.diagnostics)

    def render(self) -> str:
        """Return all diagnostics as the command line shows them."""
        return render(self.diagnostics)


class NetcFileError(NetcError, OSError):
    """A file that cannot be opened, read or written."""


class NetcMissingFileError(NetcFileError, FileNotFoundError):
    """A file that does not exist."""


def _diagnostics(
    message: str | Iterable[Diagnostic], code: str = "E100", notes: Sequence[str] = (), **parts: Any
) -> tuple[Diagnostic, ...]:
    """The diagnostics for the arguments of NetcError."""
    if not isinstance(message, str):
        return tuple(message)
    return (Diagnostic(code, message, notes=tuple(notes), **parts),)


def _class_for(found: Sequence[Diagnostic]) -> type[NetcError]:
    if not found or any(d.code not in FILE_CODES for d in found):
        return NetcError
    return NetcMissingFileError if all(d.missing for d in found) else NetcFileError


def _new(cls: type[NetcError]) -> NetcError:
    return OSError.__new__(cls) if issubclass(cls, OSError) else ValueError.__new__(cls)


class NetcWarning(UserWarning):
    """A warning that a function of the library issues with `warnings.warn`; the command line shows its diagnostic."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.render())
        self.diagnostic = diagnostic


@dataclass
class Report:
    """Collects diagnostics, so that all of them are reported in one run."""

    diagnostics: list[Diagnostic] = field(default_factory=list)
    _seen: set[Diagnostic] = field(default_factory=set, repr=False, compare=False)
    _counted: int = field(default=0, repr=False, compare=False)
    """Number of diagnostics in `_seen`."""

    def add(self, diagnostic: Diagnostic) -> None:
        """Add a diagnostic unless it has already been added."""
        if self._counted != len(self.diagnostics):  # the list was modified from outside
            self._seen, self._counted = set(self.diagnostics), len(self.diagnostics)
        if diagnostic not in self._seen:
            self._seen.add(diagnostic)
            self.diagnostics.append(diagnostic)
            self._counted += 1

    def error(
        self, code: str, message: str, span: Span | None = None, notes: Sequence[str] = (), help: str | None = None
    ) -> None:
        """Add a diagnostic; the first letter of the code determines whether it is an error or a warning."""
        self.add(Diagnostic(code, message, span, tuple(notes), help))

    warning = error

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Add several diagnostics."""
        for diagnostic in diagnostics:
            self.add(diagnostic)

    @property
    def errors(self) -> list[Diagnostic]:
        """The diagnostics that are errors."""
        return [d for d in self.diagnostics if d.severity == "error"]

    @property
    def warnings(self) -> list[Diagnostic]:
        """The diagnostics that are warnings."""
        return [d for d in self.diagnostics if d.severity == "warning"]

    def raise_errors(self) -> None:
        """Raise NetcError with all errors, sorted by file and position, if there are any."""
        if self.errors:
            raise NetcError(in_order(self.errors))


def in_order(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Sort diagnostics by file and position; those without a position come first."""
    return sorted(diagnostics, key=lambda d: (d.file or "", d.span.start if d.span else -1))


def render(diagnostics: Sequence[Diagnostic]) -> str:
    """Return diagnostics as text, separated by blank lines.

    Diagnostics with the same code and message are one kind, shown once with the places of the others. Of the kinds of
    errors at most MAX_SHOWN are shown, and of those that differ only in names or numbers (20 misspelled bottoms) one
    before any second one, so that they do not hide other errors.
    """
    kinds: dict[tuple[str, str, str], list[Diagnostic]] = {}
    for diagnostic in diagnostics:
        kinds.setdefault((diagnostic.severity, diagnostic.code, diagnostic.message), []).append(diagnostic)
    errors = [kind for kind in kinds if kind[0] == "error"]
    hidden = set(sorted(errors, key=_rank(errors))[MAX_SHOWN:])
    shown = [_merged(equal).render() for kind, equal in kinds.items() if kind not in hidden]
    if hidden:
        shown.append(f"... and {counted(sum(len(kinds[kind]) for kind in hidden), 'more error')}")
    return "\n\n".join(shown)


def _rank(kinds: Iterable[tuple[str, str, str]]) -> Callable[[tuple[str, str, str]], int]:
    """Return, for each kind, the number of earlier ones that differ from it only in names or numbers."""
    counts: Counter[tuple[str, str]] = Counter()
    ranks: dict[tuple[str, str, str], int] = {}
    for kind in kinds:
        pattern = (kind[1], _VARYING.sub("", kind[2]))
        ranks[kind] = counts[pattern]
        counts[pattern] += 1
    return ranks.__getitem__


_VARYING = re.compile(r"`[^`]*`|\d+")
"""The variable parts of a message: names and numbers."""


def _merged(equal: list[Diagnostic]) -> Diagnostic:
    """Return the first of equal diagnostics, with a note of the places of the others."""
    first, *others = equal
    if not others:
        return first
    files: dict[str | None, list[int | None]] = {}
    for other in others:
        files.setdefault(other.file, []).append(other.line)
    places = [_lines(file if file != first.file else None, lines) for file, lines in files.items()]
    note = f"{len(others)} more like this{': ' * any(places)}{'; '.join(filter(None, places))}"
    return replace(first, notes=(*first.notes, note))


def _lines(file: str | None, lines: list[int | None]) -> str:
    numbers = list(dict.fromkeys(str(line) for line in lines if line is not None))
    if not numbers:
        return ""
    more = f" and {len(numbers) - MAX_PLACES} others" if len(numbers) > MAX_PLACES + 1 else ""
    named = ", ".join(numbers[:MAX_PLACES] if more else numbers)
    return f"{f'{file}: ' if file else ''}{'line' if len(numbers) == 1 else 'lines'} {named}{more}"
