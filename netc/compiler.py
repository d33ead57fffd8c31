"""Strings the stages together: files -> Graph -> Net, with data sources and weights.

read_net(path)             the definition of a net, with what was found when it was read
graph_of(net, state)       its Graph for one phase, with shapes
load(path, weights)        the Net to run, data layers turned into inputs
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netc import paths
from netc.diagnostics import Diagnostic, NetcError, Report, Source, did_you_mean
from netc.frontends import NetDefinition, read_net
from netc.ir.dims import Shape
from netc.ir.graph import Graph, Node, Phase, State
from netc.ir.layer import Constant, Shapes
from netc.ir.shapes import Probe, infer, no_probe
from netc.ir.verify import verify
from netc.passes.data_to_inputs import data_to_inputs

if TYPE_CHECKING:
    import torch

    from netc.runtime.lower import Net
    from netc.runtime.net_weights import CopyReport
    from netc.weights import Weights


__all__ = [
    "Prepare",
    "Prober",
    "checked_graph",
    "copy_weights",
    "folded",
    "graph_of",
    "load",
    "lowered",
    "phase_of",
    "read_net",
    "record_shapes",
    "resolver",
    "unprepared",
    "weighted",
]

Prepare = Callable[[Graph], Graph]
"""Changes a graph between `build` and `infer`: gives Python layers the objects that run them, for instance."""


def unprepared(graph: Graph) -> Graph:
    """The graph as it is."""
    return graph


def checked_graph(
    net: NetDefinition,
    state: State,
    probe: Probe = no_probe,
    shapes: Mapping[str, Shape] | None = None,
    prepare: Prepare = unprepared,
) -> tuple[Graph, Report]:
    """The graph of one phase with shapes, as far as it is sound, and every finding.

    `shapes` are shapes of data layers' tops, by blob, that hold instead of what file and source say.
    `prepare` changes the graph before shapes are inferred.
    """
    graph, report = net.graph(state)
    graph, found = infer(prepare(graph), probe, shapes)
    return graph, Report([*report.with_shapes(graph), *found.diagnostics])


def graph_of(
    net: NetDefinition,
    state: State,
    probe: Probe = no_probe,
    shapes: Mapping[str, Shape] | None = None,
    prepare: Prepare = unprepared,
) -> Graph:
    """The graph of one phase with shapes; see `checked_graph`.

    Raises NetcError with all its errors, E100 where `shapes` names a blob that is no input.
    """
    graph, report = checked_graph(net, state, probe, shapes, prepare=prepare)
    report.raise_errors()
    inputs = {graph.values[top].blob for node in graph.nodes if not node.bottoms for top in node.tops}
    if unknown := sorted((shapes or {}).keys() - inputs):
        found = f"shape given for `{unknown[0]}`, which is not an input of the net"
        raise NetcError(found, help=did_you_mean(unknown[0], inputs))
    return verify(graph)


def phase_of(name: str) -> Phase:
    """`train` or `test`, in any case. Raises NetcError E100 for anything else."""
    phases: dict[str, Phase] = {"TRAIN": "TRAIN", "TEST": "TEST"}
    if name.upper() not in phases:
        raise NetcError(f"unknown phase `{name}`: expected `train` or `test`")
    return phases[name.upper()]


class Prober:
    """Asks the sources of data layers for their records' shapes; what is not there gives a warning and no shape."""

    def __init__(self) -> None:
        self.warnings: list[Diagnostic] = []

    def __call__(self, node: Node) -> Shapes | None:
        """The shapes of one record of a data layer's source, None where it cannot be asked."""
        try:
            return record_shapes(node)
        except NetcError as error:
            self.warnings += [replace(d, code="W020", span=d.span or node.span) for d in error.diagnostics]
            return None


def record_shapes(node: Node, skip_bad: bool = False) -> Shapes | None:
    """The shapes of one record of a data layer's source, None where it has none. Raises NetcError E501 to E509.

    The record is the first, or with `skip_bad` the first that can be used.
    """
    if not getattr(node.layer, "source", None):
        return None
    from netc.data.factory import open_source

    source = open_source(node.layer, "TEST", resolve_path=resolver(node), tops=node.origin.tops, skip_bad=skip_bad)
    with contextlib.closing(source):
        return source.record_shapes


def resolver(node: Node) -> Callable[[str], Path]:
    """Finds the files that a layer names, as `paths.find` does from the file that the layer stands in."""
    return lambda name: paths.find(name, node.origin.file)[0]


def lowered(
    graph: Graph,
    generator: torch.Generator | None = None,
    share: Net | None = None,
    unfilled: AbstractSet[str] = frozenset(),
) -> Net:
    """The net of a graph, its data layers turned into inputs, with the constants that layers read from files.

    See `runtime.lower.lower`. Raises NetcError for files that are missing or are something else.
    """
    from netc.runtime.lower import lower

    net = lower(data_to_inputs(graph), generator, share, unfilled)
    for node in net.graph.nodes:
        for constant in node.layer.constants(len(node.bottoms)):
            if constant.file:
                _read_constant(net, node, constant)
    return net


def _read_constant(net: Net, node: Node, constant: Constant) -> None:
    """Register a constant that a layer has in a file with its module."""
    import torch

    from netc.runtime.modules import register_constant
    from netc.weights import read_blob

    try:
        array = read_blob(resolver(node)(constant.file))
    except NetcError as error:
        raise error.at(node.span, f"in layer `{node.name}`") from None
    register_constant(net.module(node.key), constant.name, torch.tensor(array, dtype=torch.float32))


def load(
    net: str | Path | Source,
    weights: str | Path | Sequence[str | Path] | None = None,
    phase: str = "test",
    level: int = 0,
    stages: Sequence[str] = (),
    *,
    shapes: Mapping[str, Shape] | None = None,
    dialect: str | None = None,
    seed: int | None = None,
    fold: bool = False,
    compile: bool = False,  # noqa: A002 - as in torch
    channels_last: bool = False,
    parsed: Mapping[str, Weights] | None = None,
) -> Net:
    """A net as a torch.nn.Module, its data layers turned into inputs, in eval mode.

    `net` is a prototxt file, one in memory, or a .caffemodel; `weights` are files that are copied in by layer name, one
    after the other. A net in a .caffemodel brings its weights along where no other file is given. `shapes` gives the
    shapes of inputs that the file leaves open, `dialect` names the fork of Caffe that it is for. What no file fills
    starts as the net's fillers say, from `seed`. `parsed` holds the contents of files
    that are parsed already, by path. Raises NetcError.

    Three things make a net faster that is only tested; results are the same but for rounding:

    - `fold`: see `folded`. Layers and blobs that it takes out cannot be asked for.
    - `compile`: torch.compile makes the program from inputs to outputs on its first call, which takes a C++ compiler
      and up to minutes; `evaluate` for other blobs runs as before. It gives no gradients and checks no labels; in
      train(), and for inputs that ask for a gradient, the net runs as before. It sees weights that change, but not
      those written through `.data` or NumPy.
    - `channels_last`: kernels of 2-D convolutions, and what they give, lie in memory channels-last.
    """
    from netc.runtime.fillers import generator_of
    from netc.weights import read

    definition = read_net(net, dialect=dialect)
    definition.report.raise_errors()
    graph = graph_of(definition, State(phase_of(phase), level, tuple(stages)), Prober(), shapes)
    files = [weights] if isinstance(weights, (str, Path)) else list(weights or ())
    if definition.weights_file and not files:
        files = [definition.weights_file]
    held = [(parsed or {}).get(str(file)) or read(file) for file in files]
    module = lowered(graph, generator_of(seed), unfilled=_filled(graph, held)).eval()
    for file, blobs in zip(files, held):
        _copy(module, blobs, str(file))
    return _for_inference(module, fold, compile, channels_last)


def _for_inference(net: Net, fold: bool, compiled: bool, channels_last: bool) -> Net:
    from netc.runtime.inference import compile_main, to_channels_last

    net = folded(net) if fold else net
    if channels_last:
        to_channels_last(net)
    if compiled:
        compile_main(net)
    return net


def folded(net: Net) -> Net:
    """A net for tests only, in eval(): BatchNorm and Scale in the weights before them, Dropout and Split gone.

    It shares the modules of layers that stay as they are with `net`.
    """
    from netc.passes.drop_identities import drop_identities
    from netc.passes.fold_batch_norm import fold_batch_norm
    from netc.runtime.inference import rebuilt

    before = weighted(net)
    return rebuilt(net, before, fold_batch_norm(drop_identities(before)))


def weighted(net: Net) -> Graph:
    """A net's graph whose parameters hold views of its weights, in Caffe's shapes."""
    from netc.runtime.net_weights import array_of

    entries = dict(net.graph.parameters)
    for blob in net.blobs:
        if blob.is_owner:
            entries[blob.parameter.name] = replace(blob.parameter, array=array_of(blob.tensor, blob.shape))
    return net.graph.replace(parameters=entries)


def _filled(graph: Graph, files: Sequence[Weights]) -> set[str]:
    """The layers whose every blob a file gives: those of one name are told apart by their order, and are left out."""
    counts = Counter(node.name for node in graph.nodes)
    given = (layer for file in files for layer in file.layers if layer.blobs and None not in layer.blobs)
    return {layer.name for layer in given if counts[layer.name] == 1}


def copy_weights(net: Net, path: str | Path, allow_mismatch: bool = False) -> CopyReport:
    """Copy a weights file into a net by layer name; see `runtime.state.copy_weights`.

    Raises NetcError for a file that is none, and for blobs that do not fit.
    """
    from netc.weights import read

    return _copy(net, read(path), str(path), allow_mismatch)


def _copy(net: Net, weights: Weights, source: str, allow_mismatch: bool = False) -> CopyReport:
    from netc.runtime.net_weights import copy_weights as copy
    from netc.weights.paging import release

    layers = [(layer.name, [None if blob is None else blob.data for blob in layer.blobs]) for layer in weights.layers]
    return copy(net, layers, source, allow_mismatch, release)
