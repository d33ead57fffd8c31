"""A front end: one file format. `reading.py` lists them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from netc.diagnostics import Report, Source
from netc.frontends.definition import NetDefinition, SolverDefinition
from netc.text import Tree


@dataclass(frozen=True)
class ReadRequest:
    """How a file is to be read."""

    kind: str | None = None
    """`net` or `solver`; None for whichever the file is."""
    values: Mapping[str, str] | None = None
    """What fills the places of a template, by name."""
    strict: bool = False
    """Everything that BVLC's schema does not have is W001."""
    dialect: str | None = None
    """The fork of Caffe that the file is for, where its content does not tell."""


class FrontEnd(ABC):
    """Reads the files of one format."""

    name: ClassVar[str]

    @abstractmethod
    def recognizes(self, content: str) -> bool:
        """Whether a file of this content (a key of `weights.file_type.NAMES`) is in this format."""

    @abstractmethod
    def read_text(self, source: Source, request: ReadRequest) -> NetDefinition | SolverDefinition:
        """The definition in a text.

        Raises NetcError E100 for a solver where a net is wanted, and the reverse, and E806 for an unknown dialect.
        """

    @abstractmethod
    def read_binary(self, path: Path, request: ReadRequest) -> NetDefinition:
        """The definition in a binary file. Raises NetcError where the file is broken or holds no net."""

    @abstractmethod
    def tree(self, source: Source, values: Mapping[str, str] | None = None) -> tuple[Tree, Report]:
        """The tree of a text before any upgrade, and what was found when its places were filled."""

    @abstractmethod
    def upgrade(self, tree: Tree) -> Report:
        """Bring a tree to the newest format, in place; the report says what was changed."""
