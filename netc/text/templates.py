r"""Templates: prototxts with placeholders that a script fills in, recognized before parsing.

    num_output: $n          ${n}   {{n}}   {n}   n      (a bare word, only if a value for `n` is passed)
    num_output: cls6x       6 times `cls`, as in the scripts of SSD
    source: "${root}/lmdb"  in strings, only if a value is passed; otherwise it is ordinary text

    fill(source, {"n": "21"})      the filled text, which keeps the positions of the file
    unfilled(source)               E033 for the remaining placeholders

Codes:

    E033  a template with placeholders without a value
    W039  a value for a placeholder that the file does not have
"""

from __future__ import annotations

import bisect
import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netc.diagnostics import Diagnostic, Source, Span, did_you_mean
from netc.text.literals import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_MARKED = r"""
    \$\{\s*(\w+)\s*\} | \$\(\s*(\w+)\s*\) | \$([A-Za-z_]\w*) | \{\{\s*(\w+)\s*\}\} | \{[ \t]*([A-Za-z_]\w*)[ \t]*\}
"""
_TEXT = re.compile(
    rf"""
      \#[^\n]*
    | (?P<string> "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
    | (?P<marked> {_MARKED} )
    | (?<![\w.])(?P<word> [A-Za-z_]\w* )
    """,
    re.VERBOSE | re.ASCII,
)
_INSIDE = re.compile(_MARKED, re.VERBOSE | re.ASCII)
_TIMES = re.compile(r"([a-z_]+?)_?([1-9][0-9]{0,3})x")
_AFTER_COLON = re.compile(r":\s*\Z")


@dataclass(frozen=True)
class Placeholder:
    """A placeholder, by its offsets in the text."""

    start: int
    end: int
    names: tuple[tuple[str, int], ...]
    """The names whose value it takes, each with a factor, in order of precedence: `cls6x`, then six times `cls`."""
    kind: str
    """`string`, `marked` or `word`: inside a string, with delimiters, or a bare word."""

    @property
    def name(self) -> str:
        """The name to pass a value for."""
        return self.names[-1][0]


@dataclass(frozen=True, eq=False)
class FilledSource(Source):
    """The text of a template with its placeholders filled; lines and columns refer to the file."""

    original: Source = field(default_factory=lambda: Source("", ""), repr=False)
    edits: tuple[tuple[int, int, int, int], ...] = field(default=(), repr=False)
    """Start and end of each filled placeholder in this text, then in the original."""

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [edit[0] for edit in self.edits]

    def origin(self, offset: int) -> int:
        """Map an offset in the filled text to the file; inside a filled placeholder, to its start."""
        index = bisect.bisect_right(self._starts, offset) - 1
        if index < 0:
            return offset
        _, end, start_there, end_there = self.edits[index]
        return start_there if offset < end else end_there + offset - end

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column in the file."""
        return self.original.position(self.origin(offset))

    def line(self, number: int) -> str:
        """Return a line of the file."""
        return self.original.line(number)


def places(text: str, known: Iterable[str] = ()) -> Iterator[Placeholder]:
    """Yield all placeholders in order. Bare words and placeholders in strings count if their names are in `known`."""
    names = frozenset(known)
    for match in _TEXT.finditer(text):
        kind = match.lastgroup
        if match["marked"]:
            yield Placeholder(match.start(), match.end(), ((_name(match, 3), 1),), "marked")
        elif kind == "string" and names:
            yield from _inside(match, names)
        elif kind == "word" and text.rfind(":", max(0, match.start() - 200), match.start()) >= 0:
            yield from _word(text, match, names)


def _name(match: re.Match[str], first: int) -> str:
    """The name in a marked placeholder, whose groups start at `first`."""
    return next(name for name in match.groups()[first - 1 :] if name and not name.startswith(("$", "{")))


def _inside(string: re.Match[str], names: frozenset[str]) -> Iterator[Placeholder]:
    for match in _INSIDE.finditer(string[0]):
        name = _name(match, 1)
        if name in names:
            yield Placeholder(string.start() + match.start(), string.start() + match.end(), ((name, 1),), "string")


def _word(text: str, match: re.Match[str], names: frozenset[str]) -> Iterator[Placeholder]:
    """A bare word in the position of a value."""
    times = _TIMES.fullmatch(match[0])
    if (times or match[0] in names) and _AFTER_COLON.search(text, max(0, match.start() - 200), match.start()):
        whole = (match[0], 1)
        parts = ((times[1], int(times[2])),) if times else ()
        yield Placeholder(match.start(), match.end(), (whole, *parts), "word")


def fill(source: Source, values: Mapping[str, str]) -> tuple[Source, list[Diagnostic]]:
    """Fill the placeholders of a source from `values`; return it with a W039 for each name that it does not have.

    Placeholders without a value are left as they are. A value is inserted verbatim, in a string with the necessary
    escapes. A placeholder such as `cls6x` takes the value of `cls6x`, or six times that of `cls` if it is an integer.
    """
    used: set[str] = set()
    pieces: list[str] = []
    edits: list[tuple[int, int, int, int]] = []
    seen: list[str] = []
    at = length = 0
    for place in places(source.text, values):
        seen.append(place.name)
        value = _value(place, values, used)
        if value is None:
            continue
        pieces += [source.text[at : place.start], value]
        start = length + place.start - at
        length, at = start + len(value), place.end
        edits.append((start, length, place.start, place.end))
    pieces.append(source.text[at:])
    unused = [_unused(name, source, seen) for name in values if name not in used]
    if not edits:
        return source, unused
    return FilledSource(source.name, "".join(pieces), source, tuple(edits)), unused


def _value(place: Placeholder, values: Mapping[str, str], used: set[str]) -> str | None:
    for name, factor in place.names:
        value = values.get(name)
        if value is not None and (factor == 1 or value.isdecimal()):
            used.add(name)
            value = value if factor == 1 else str(factor * int(value))
            return quote(value)[1:-1] if place.kind == "string" else value
    return None


def _unused(name: str, source: Source, seen: list[str]) -> Diagnostic:
    help = did_you_mean(name, seen)
    return Diagnostic("W039", f"`{source.name}` has no placeholder `{name}`", None, (), help)


def blanked(source: Source) -> Source:
    """Replace the unfilled marked placeholders so that the text can be parsed, without moving other characters.

    A placeholder after a colon becomes a number, any other one spaces, so that it causes no syntax error itself.
    """
    pieces: list[str] = []
    at = 0
    for place in places(source.text):
        if place.kind == "marked":
            pieces.append(source.text[at : place.start])
            value = _AFTER_COLON.search(source.text, max(0, place.start - 200), place.start)
            pieces.append(("0" if value else " ").ljust(place.end - place.start))
            at = place.end
    return _with_text(source, "".join([*pieces, source.text[at:]]))


def _with_text(source: Source, text: str) -> Source:
    if isinstance(source, FilledSource):
        return FilledSource(source.name, text, source.original, source.edits)
    return Source(source.name, text)


def is_template(source: Source) -> bool:
    """Whether a text has unfilled placeholders with delimiters; bare words alone do not make it a template."""
    return any(place.kind == "marked" for place in places(source.text))


def unfilled(source: Source, wanted: Callable[[Placeholder], bool] = lambda place: True) -> Diagnostic | None:
    """Return one E033 that names all unfilled placeholders for which `wanted` holds, None if there are none."""
    found = [place for place in places(source.text) if wanted(place)]
    if not found:
        return None
    by_name: dict[str, list[Placeholder]] = {}
    for place in found:
        by_name.setdefault(place.name, []).append(place)
    names = ", ".join(f"`{name}`" for name in list(by_name)[:8]) + ", ..." * (len(by_name) > 8)
    message = f"the file is a template without values for {names}"
    notes = tuple(_note(source, all_of_one) for all_of_one in list(by_name.values())[:8])
    first = found[0]
    help = "pass values: " + " ".join(f"`--set {name}=...`" for name in list(by_name)[:8])
    return Diagnostic("E033", message, Span(source, first.start, first.end), notes, help)


def _note(source: Source, found: list[Placeholder]) -> str:
    spelled = list(dict.fromkeys(source.text[place.start : place.end] for place in found))
    lines = list(dict.fromkeys(source.position(place.start)[0] for place in found))
    where = f"line{'s' * (len(lines) > 1)} {', '.join(map(str, lines[:5]))}"
    more = f" and {len(lines) - 5} more" * (len(lines) > 5)
    return f"{' '.join(f'`{text}`' for text in spelled[:5])} on {where}{more}"
