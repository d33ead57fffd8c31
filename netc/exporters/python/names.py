"""Identifiers for a written file, from names of a net: letters, digits and underscores, never a reserved word."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import TYPE_CHECKING

from netc.ir.names import UniqueNames

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 40
"""Longer names are cut."""


class Identifiers:
    """Returns a unique identifier for each name.

    >>> names = Identifiers(["torch"])
    >>> names.make("conv1/7x7"), names.make("conv1.7x7"), names.make("torch"), names.make("1"), names.make('"); exit(')
    ('conv1_7x7', 'conv1_7x7_2', 'torch_2', 'layer_1', 'exit_2')
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._names = UniqueNames("_", (*taken, *keyword.kwlist, *keyword.softkwlist, *dir(builtins)), first=2)

    def make(self, name: str, prefix: str = "layer") -> str:
        """An identifier like `name`; `prefix` is added where it does not begin with a letter."""
        word = re.sub(r"[^A-Za-z0-9_]+", "_", name)[:LONGEST].strip("_")
        first = word if word[:1].isalpha() else f"{prefix}_{word}".strip("_")
        return self._names.add(first)
