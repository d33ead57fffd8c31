"""Builds the parts of a pycaffe net from prototxt files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netc.compiler import Prober, StateChoice, copy_weights, graph_of, lowered, read_net
from netc.pycaffe.glog import log_event
from netc.pycaffe.import_caffe import bind_python_layers
from netc.pycaffe.mode import TRAIN, device
from netc.pycaffe.net_feeds import feeds_of
from netc.runtime.file_access import allow_files
from netc.runtime.memory_check import check_pass_memory
from netc.training.log.events import LogNote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netc.data.feeds.feed import Feed
    from netc.ir.graph import Graph
    from netc.pycaffe.files import Path
    from netc.runtime.lower import Net


@dataclass(frozen=True, eq=False)
class NetParts:
    """A graph with its data layers, the net of the other layers, and the feeds of the data layers by node key."""

    graph: Graph
    net: Net
    feeds: Mapping[str, Feed]


def build(path: Path, phase: int, level: int | None, stages: tuple[str, ...]) -> NetParts:
    """Build the net of a file, with its own weights if it is a .caffemodel, otherwise with initialized ones.

    Raises NetcError with all errors of the file.
    """
    definition = read_net(os.fsdecode(path))
    definition.report.raise_errors()
    choice = StateChoice("TRAIN" if phase == TRAIN else "TEST", level, stages)
    graph = graph_of(definition, choice.of(definition), Prober(), prepare=bind_python_layers)
    net = lowered(graph)
    check_pass_memory(net.graph, device())
    allow_files(net, "own")
    if definition.weights_file:
        copy_weights(net, definition.weights_file)
    return NetParts(graph, net, feeds_of(graph))


def net_arguments(
    positional: tuple[Any, ...], phase: Any, level: int | None, stages: Any, weights: Any
) -> tuple[int, int | None, Any, Any]:
    """Return phase, level, stages and weights for any signature of Net. Raises TypeError for invalid arguments."""
    given = list(positional)
    if given and isinstance(given[0], (str, bytes, os.PathLike)):
        weights = given.pop(0)
    names = ("phase", "level", "stages", "weights")
    values = dict(zip(names, (phase, level, stages, weights)))
    values.update(zip(names, given))
    if len(given) > len(names) or values["phase"] not in (0, 1):
        raise TypeError("Net(network_file, phase), Net(network_file, weights, phase): phase is TRAIN or TEST")
    return values["phase"], values["level"], values["stages"], values["weights"]


def warn_of_old_arguments(network_file: Path, weights: Path, phase: int) -> None:
    """Log Caffe's lines about `Net(network_file, weights, phase)` (`_caffe.cpp`, Net_Init_Load)."""
    call = f"Net('{os.fsdecode(network_file)}', {phase}, weights='{os.fsdecode(weights)}')"
    for line, text in (
        (139, "DEPRECATION WARNING - deprecated use of Python interface"),
        (140, 'Use this instead (with the named "weights" parameter):'),
        (142, call),
    ):
        log_event(LogNote(f"_caffe.cpp:{line}", text, "W"))
