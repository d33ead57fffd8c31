"""Which rule writes which layer type: each format keeps one registry.

The rules of `netc/layers/<file>.py` are in `<format>/<file>.py`, also where the file is in the folder of a kind of
model. Every file of the format's package is imported when the first rule is asked for, so a new file needs no list.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netc.ir.layer import Layer

R = TypeVar("R")


class Rules(Generic[R]):
    """Rules by layer class."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._complete = False
        self._by_type: dict[type[Layer], R] = {}
        self._any_extents: set[type[Layer]] = set()

    def writes(self, *types: type[Layer], any_extents: bool = False) -> Callable[[R], R]:
        """Decorator: this rule writes layers of these types.

        With `any_extents` what it writes is correct for every extent of the bottoms on the axes that are free;
        otherwise the first axis alone may be free.
        """

        def add(rule: R) -> R:
            self._by_type.update(dict.fromkeys(types, rule))
            self._any_extents.update(types if any_extents else ())
            return rule

        return add

    def rule_for(self, layer: Layer) -> R | None:
        """The rule of a layer's type; None for a type without one."""
        return self.by_type.get(type(layer))

    def takes_any_extents(self, layer: Layer) -> bool:
        """Whether the rule of a layer's type takes any extents."""
        return type(layer) in self._any_extents

    @property
    def by_type(self) -> Mapping[type[Layer], R]:
        """Every rule of the package, by layer class."""
        if not self._complete:
            self._complete = True
            package = importlib.import_module(self._package)
            for module in pkgutil.walk_packages(package.__path__, f"{self._package}."):
                importlib.import_module(module.name)
        return self._by_type
