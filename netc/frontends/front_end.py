"""A front end: one file format. `reading.py` lists them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netc.diagnostics import Report, Source
    from netc.frontends.definition import NetDefinition, SolverDefinition
    from netc.text import Tree


@dataclass(frozen=True)
class ReadRequest:
    """How to read a file."""

    kind: str | None = None
    """`net` or `solver`; None for either."""
    values: Mapping[str, str] | None = None
    """Values of the placeholders of a template, by name."""
    strict: bool = False
    """Everything that is not part of BVLC's schema is W001."""
    dialect: str | None = None
    """The fork of Caffe that the file is for, if its content does not identify it."""
    scope: str = ""
    """A prefix that is removed from the names of a Caffe2 net's blobs, such as `gpu_0/`."""


class FrontEnd(ABC):
    """Reads the files of one format."""

    name: ClassVar[str]

    @abstractmethod
    def recognizes(self, content: str) -> bool:
        """Whether a file of this content (a key of `weights.file_type.NAMES`) is in this format."""

    @abstractmethod
    def recognizes_text(self, source: Source) -> bool:
        """Whether a text is in this format; asked in the order of `FRONT_ENDS`."""

    @abstractmethod
    def read_text(self, source: Source, request: ReadRequest) -> NetDefinition | SolverDefinition:
        """Read the definition in a text.

        Raises NetcError E100 for a solver if a net is requested and vice versa, and E806 for an unknown dialect.
        """

    @abstractmethod
    def read_binary(self, path: Path, request: ReadRequest) -> NetDefinition:
        """Read the definition in a binary file. Raises NetcError if the file is invalid or does not contain a net."""

    @abstractmethod
    def tree(self, source: Source, values: Mapping[str, str] | None = None) -> tuple[Tree, Report]:
        """Return the tree of a text before any upgrade, with the diagnostics of filling and parsing it."""

    @abstractmethod
    def upgrade(self, tree: Tree) -> Report:
        """Upgrade a tree to the newest format in place; the report lists the changes."""
