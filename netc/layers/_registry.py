"""Which class answers to which layer type."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from netc.ir.documentation import LayerDocstring
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
        cls.__doc__ = LayerDocstring(cls.__doc__ or "")  # type: ignore[assignment]
        _BY_TYPE[name] = cls
        return cls

    return add


def layer_class(name: str) -> type[Layer] | None:
    """The class of one layer type, None for a type that nobody registered.

    Imports only the module whose source registers the type: a net uses few of them, and a check has no time for all.
    """
    if name not in _BY_TYPE:
        module = _modules().get(name)
        if module is None:
            return registry().get(name)
        importlib.import_module(f"netc.layers.{module}")
    return _BY_TYPE.get(name)


@cache
def _modules() -> dict[str, str]:
    """The module of each type that is registered under a literal name; none where there is no source to look at."""
    files = sorted(Path(__file__).parent.glob("[!_]*.py"))
    return {name: file.stem for file in files for name in _REGISTERED.findall(file.read_text(encoding="utf-8"))}


_REGISTERED = re.compile(r'^@register\(\s*"(\w+)"', re.MULTILINE)


@cache
def registry() -> dict[str, type[Layer]]:
    """All layer types, by Caffe's name. Imports every module of this package the first time."""
    package = importlib.import_module("netc.layers")
    for module in pkgutil.iter_modules(package.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"netc.layers.{module.name}")
    return _BY_TYPE
