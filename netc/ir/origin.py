"""The origin of a node: its position in a file, and the contents of the file beyond what the IR models.

A front end derives its own `Origin`; a node created by a program has the base class, without position and contents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from netc.diagnostics import Diagnostic, Span


class FileReference(NamedTuple):
    """A path that a definition names."""

    path: str
    what: str
    """What is read from the file, such as `mean file`; empty if the file need not exist beforehand."""
    span: Span | None


class Origin:
    """The origin of a node: no file.

    Two origins are equal if they are the same entry of the same file, whichever net of the file is selected.
    """

    __slots__ = ()

    dialect: str = ""
    """The front end whose vocabulary `entries` uses."""
    nouns: tuple[str, str] = ("bottom", "top")
    """What the format calls a blob that a node reads, and one that it produces."""

    @property
    def name(self) -> str:
        """The name in the file, empty without one."""
        return ""

    @property
    def type(self) -> str:
        """The type in the file."""
        return ""

    @property
    def bottoms(self) -> tuple[str, ...]:
        """The blobs that the entry reads, by their names in the file."""
        return ()

    @property
    def tops(self) -> tuple[str, ...]:
        """The blobs that the entry produces, by their names in the file."""
        return ()

    @property
    def entries(self) -> Mapping[str, Any]:
        """The complete contents of the entry, in the vocabulary of its dialect."""
        return MappingProxyType({})

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a parameter in the file, `default` if it is not set."""
        return default

    def span(self, part: str = "", index: int = 0) -> Span | None:
        """The span of a part: `name`, `type`, the index-th `bottom` or `top`, or a parameter; empty for the entry.

        `param.name` is the span of `name` in the index-th `param`. None if the file does not have the part.
        """
        return None

    def files(self) -> Iterator[FileReference]:
        """The files that the entry names."""
        return iter(())

    @property
    def file(self) -> str | None:
        """The name of the file, None without one."""
        span = self.span()
        return span.source.name if span else None

    @property
    def place(self) -> Span | None:
        """The span for diagnostics about the whole entry: its type, else the entry."""
        return self.span("type") or self.span()

    def placed(self, found: Diagnostic, bottoms: str) -> Diagnostic:
        """Return a layer's diagnostic with its span, and a note that names the layer and its bottoms.

        The span is that of the parameter that the diagnostic names, else that of the layer.
        """
        span = found.span or (self.span(found.field) if found.field else None) or self.place
        return replace(found, span=span, notes=(*found.notes, self.note(bottoms)))

    def note(self, bottoms: str = "") -> str:
        """The note of a diagnostic that names the layer and its formatted bottoms."""
        layer = f"layer `{self.name}`" if self.name else "a layer without a name"
        return f"in {layer}" + (f", bottoms: {bottoms}" if bottoms else "")


NO_FILE = Origin()
"""The origin of nodes that do not come from a file."""
