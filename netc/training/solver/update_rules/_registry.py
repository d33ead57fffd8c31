"""The registry of update rules by solver type."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from netc.training.solver.update_rules._base import UpdateRule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BY_TYPE: dict[str, type[UpdateRule]] = {}
R = TypeVar("R", bound=type[UpdateRule])


def register(name: str) -> Callable[[R], R]:
    """Class decorator: the class is the rule of solver type `name`. Raises ValueError if the name is taken."""

    def add(cls: R) -> R:
        if name in _BY_TYPE:
            raise ValueError(f"solver type {name} is registered twice: {_BY_TYPE[name].__name__} and {cls.__name__}")
        cls.type = name
        _BY_TYPE[name] = cls
        return cls

    return add


@cache
def update_rules() -> Mapping[str, type[UpdateRule]]:
    """Return the rules of all solver types by name, sorted. Imports every module of this package the first time.

    >>> update_rules()["AdaGrad"]()
    AdaGrad(delta=1e-08)
    """
    package = importlib.import_module("netc.training.solver.update_rules")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"netc.training.solver.update_rules.{module.name}")
    return MappingProxyType(dict(sorted(_BY_TYPE.items())))
