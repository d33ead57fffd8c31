"""A prototxt file -> what a pycaffe net stands on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from netc.compiler import Prober, lowered
from netc.frontends.caffe import build as frontend
from netc.frontends.caffe.read import read_net
from netc.ir.graph import Graph, State
from netc.ir.shapes import infer
from netc.ir.verify import verify
from netc.pycaffe.mode import TRAIN
from netc.pycaffe.sources import Source, sources_of
from netc.runtime.lower import Net
from netc.runtime.python_host import bind_python_layers


@dataclass(frozen=True, eq=False)
class Built:
    """A graph with its data layers, the net of the other layers, and what feeds the data layers."""

    graph: Graph
    net: Net
    sources: Mapping[str, Source]


def build(path: str | os.PathLike[str], phase: int, level: int, stages: tuple[str, ...]) -> Built:
    """The net of a file, its weights filled. Raises NetcError with all faults of the file."""
    fields, report = read_net(os.fspath(path))
    graph, found = frontend.build(fields, State("TRAIN" if phase == TRAIN else "TEST", level, stages))
    report.extend(found.diagnostics)
    report.raise_errors()
    graph, inferred = infer(bind_python_layers(graph), Prober())
    inferred.raise_errors()
    verify(graph)
    net = lowered(graph)
    return Built(graph, net, sources_of(graph))


def forms(arguments: tuple[Any, ...], phase: Any, level: int, stages: Any, weights: Any) -> tuple[int, int, Any, Any]:
    """The arguments of any of the forms of Net(). Raises TypeError as a call with wrong arguments does."""
    given = list(arguments)
    if given and isinstance(given[0], (str, os.PathLike)):
        weights = given.pop(0)
    names = ("phase", "level", "stages", "weights")
    values = dict(zip(names, (phase, level, stages, weights)))
    values.update(zip(names, given))
    if len(given) > len(names) or values["phase"] not in (0, 1):
        raise TypeError("Net(network_file, phase), Net(network_file, weights, phase): phase is TRAIN or TEST")
    return values["phase"], values["level"], values["stages"], values["weights"]
