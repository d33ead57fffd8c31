"""`import caffe` finds this package: in the files of Python layers, in scripts of `netc run`, and after `install`.

install()        for the whole process
importable()     while a Python layer is imported
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING

from netc.runtime.python_host import bind_python_layers as bind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from netc.ir.graph import Graph

MODULES = "io net_spec coord_map classifier detector draw pycaffe _caffe proto proto.caffe_pb2".split()
"""The modules of Caffe's package, which are those of this one."""


def install() -> None:
    """Let `import caffe` return this package in the whole process, also where another Caffe is installed.

    A `caffe` that was imported before stays what it is in the modules that imported it.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] == "caffe"]:
        del sys.modules[name]
    sys.modules.update(_modules())


def bind_python_layers(graph: Graph, diagnose: bool = False) -> Graph:
    """The graph with an object of the named class in each Python layer, whose file may contain `import caffe`.

    With `diagnose`, an exception in the code of a layer becomes NetcError E212. Raises NetcError E211 for modules and
    classes that cannot be imported.
    """
    with importable():
        return bind(graph, diagnose)


@contextlib.contextmanager
def importable() -> Iterator[None]:
    """Let `import caffe` return this package; afterwards only if no other Caffe is installed.

    A `caffe` that the program has imported stays the one that is imported.
    """
    if "caffe" in sys.modules:
        yield
        return
    installed = importlib.util.find_spec("caffe") is not None
    names = _modules()
    sys.modules.update(names)
    try:
        yield
    finally:
        for name in names if installed else ():
            sys.modules.pop(name, None)


def _modules() -> dict[str, ModuleType]:
    """The modules of Caffe's Python package, by their names there."""
    package = __package__
    found = {f"caffe.{name}": importlib.import_module(f"{package}.{name}") for name in MODULES}
    return {"caffe": sys.modules[package], **found}
