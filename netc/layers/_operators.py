"""The registry of Caffe2's operators: which layer class reads an operator of a type.

A class that is also a layer of Caffe has both decorators; the others stand in `operators/`:

    @operator("Relu")
    @register("ReLU", field="relu_param", v1="RELU")
    class ReLU(Layer): ...

A class of several types (`Exp`, `Log`, ...) reads the type in `from_caffe2`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from netc.ir.layer import Layer

L = TypeVar("L", bound=type[Layer])

_BY_TYPE: dict[str, type[Layer]] = {}


def operator(*names: str) -> Callable[[L], L]:
    """Class decorator: register the class for operators of Caffe2 of these types.

    Its `from_caffe2` creates the layer. Raises ValueError for a type that is already registered.
    """

    def add(cls: L) -> L:
        for name in names:
            if name in _BY_TYPE:
                raise ValueError(f"operator {name} is registered twice: {_BY_TYPE[name]} and {cls}")
            _BY_TYPE[name] = cls
        if not cls.type:
            cls.type = names[0]
        return cls

    return add


def operator_class(name: str) -> type[Layer] | None:
    """Return the class of an operator type, None for an unknown one. Imports only the module that registers it."""
    if name not in _BY_TYPE and name in _modules():
        importlib.import_module(f"netc.layers.{_modules()[name]}")
    return _BY_TYPE.get(name)


def operator_types() -> frozenset[str]:
    """Return every operator type."""
    return frozenset(_modules())


@cache
def operator_registry() -> dict[str, type[Layer]]:
    """Return the class of every operator type. The first call imports every module of this package."""
    package = importlib.import_module("netc.layers")
    for module in pkgutil.walk_packages(package.__path__, "netc.layers."):
        if not module.name.rpartition(".")[2].startswith("_"):
            importlib.import_module(module.name)
    return dict(sorted(_BY_TYPE.items()))


@cache
def _modules() -> dict[str, str]:
    """Return the module of each type that is registered under a literal name."""
    found: dict[str, str] = {}
    folder = Path(__file__).parent
    for file in sorted(folder.rglob("[!_]*.py")):
        module = ".".join(file.relative_to(folder).with_suffix("").parts)
        for names in _REGISTERED.findall(file.read_text(encoding="utf-8")):
            found.update(dict.fromkeys(re.findall(r'"(\w+)"', names), module))
    return found


_REGISTERED = re.compile(r'^@operator\(((?:\s*"\w+",?)+)\s*\)', re.MULTILINE)
