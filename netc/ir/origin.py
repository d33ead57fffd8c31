"""Where a node of a graph comes from: its place in a file, and what the file says beyond what the IR models.

A front end derives its own `Origin`; a node that a program makes has the plain one, without a place or a word.
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
    """What is read from there, such as `mean file`; empty where nothing has to be there beforehand."""
    span: Span | None


class Origin:
    """The origin of a node: no file.

    Two origins are equal where they are the same entry of the same file, whichever net of the file is asked for.
    """

    __slots__ = ()

    dialect: str = ""
    """The front end whose words `entries` are in."""

    @property
    def name(self) -> str:
        """The name that the file gives, empty without one."""
        return ""

    @property
    def type(self) -> str:
        """The type that the file gives."""
        return ""

    @property
    def bottoms(self) -> tuple[str, ...]:
        """The blobs that the entry reads, by their names in the file."""
        return ()

    @property
    def tops(self) -> tuple[str, ...]:
        """The blobs that the entry gives, by their names in the file."""
        return ()

    @property
    def entries(self) -> Mapping[str, Any]:
        """Everything that the file says, in the words of its dialect."""
        return MappingProxyType({})

    def said(self, name: str, default: Any = None) -> Any:
        """What the file says under a parameter's name, `default` where it says nothing."""
        return default

    def span(self, part: str = "", index: int = 0) -> Span | None:
        """The place of a part: `name`, `type`, the index-th `bottom` or `top`, or a parameter; empty for the whole.

        `param.name` is the place of `name` in the index-th `param`. None where the file does not have the part.
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
        """Where findings about the entry as a whole point: its type, else all of it."""
        return self.span("type") or self.span()

    def placed(self, found: Diagnostic, bottoms: str) -> Diagnostic:
        """A finding of a layer with its place, and a note that names the layer and its bottoms.

        The place is that of the parameter which the finding names, else that of the layer.
        """
        span = found.span or (self.span(found.field) if found.field else None) or self.place
        return replace(found, span=span, notes=(*found.notes, self.note(bottoms)))

    def note(self, bottoms: str = "") -> str:
        """The note that names the layer of a finding, and its bottoms as they are to be shown."""
        return f"in layer `{self.name}`" + (f", bottoms: {bottoms}" if bottoms else "")


NO_FILE = Origin()
"""The origin of nodes that no file holds."""
