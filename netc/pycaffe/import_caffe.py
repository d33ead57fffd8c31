"""`import caffe` in the files of Python layers: the module that they find is this package."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from netc.runtime.python_host import bind_python_layers as bind
from netc.schema import caffe as messages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netc.ir.graph import Graph


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
            del sys.modules[name]


def _modules() -> dict[str, ModuleType]:
    """The modules of Caffe's Python package that exist here, by their names there."""
    import netc.pycaffe as package
    from netc.pycaffe import io, net_spec

    proto = ModuleType("caffe.proto")
    proto.caffe_pb2 = messages  # type: ignore[attr-defined]
    return {
        "caffe": package,
        "caffe.io": io,
        "caffe.net_spec": net_spec,
        "caffe.proto": proto,
        "caffe.proto.caffe_pb2": messages,
    }
