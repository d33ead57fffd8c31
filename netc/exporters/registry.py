"""Which rule writes which layer type: each format keeps one of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from netc.ir.layer import Layer

R = TypeVar("R")


class Rules(Generic[R]):
    """Rules by layer class."""

    def __init__(self) -> None:
        self._by_type: dict[type[Layer], R] = {}

    def writes(self, *types: type[Layer]) -> Callable[[R], R]:
        """Decorator: this rule writes layers of these types."""

        def add(rule: R) -> R:
            self._by_type.update(dict.fromkeys(types, rule))
            return rule

        return add

    def rule_for(self, layer: Layer) -> R | None:
        """The rule of a layer's type; None where there is none."""
        return self._by_type.get(type(layer))
