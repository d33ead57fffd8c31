"""Which class answers to which layer type."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import TypeVar

from netc.ir.layer import Layer

_BY_TYPE: dict[str, type[Layer]] = {}
L = TypeVar("L", bound=type[Layer])


def register(
    name: str, *, field: str | None = None, v1: str | None = None, caffe2: tuple[str, ...] = ()
) -> Callable[[L], L]:
    """Class decorator: this class is Caffe's layer type `name`.

    `field` is the LayerParameter field with its parameters, `v1` its name in V1LayerParameter.LayerType,
    `caffe2` the Caffe2 operators that mean the same. Raises ValueError for a name that is taken.
    """

    def add(cls: L) -> L:
        if name in _BY_TYPE:
            raise ValueError(f"layer type {name} is registered twice: {_BY_TYPE[name].__name__} and {cls.__name__}")
        cls.type, cls.param_field, cls.v1, cls.caffe2 = name, field, v1, caffe2
        _BY_TYPE[name] = cls
        return cls

    return add


@cache
def registry() -> dict[str, type[Layer]]:
    """All layer types, by Caffe's name. Imports every module of this package the first time."""
    package = importlib.import_module("netc.layers")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"netc.layers.{module.name}")
    return _BY_TYPE
