"""Runs the stages: files -> Graph -> Net, with data sources and weights.

read_net(path)             the definition of a net, with its diagnostics
graph_of(net, state)       its Graph for one phase, with shapes
load(path, weights)        the Net to run, data layers turned into inputs
"""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netc import paths
from netc.diagnostics import Diagnostic, NetcError, NetcWarning, Report, Source, did_you_mean
from netc.frontends import TEST_STATE, NetDefinition, StateChoice, read_net
from netc.init_net import read_weights, weights_of
from netc.ir.coordinates import autocropped, crop_warnings
from netc.ir.graph import Graph, Node, Phase, State
from netc.ir.shapes import Probe, infer, no_probe
from netc.ir.verify import verify
from netc.passes.data_to_inputs import data_to_inputs
from netc.passes.keep_constants import keep_constants
from netc.passes.read_fillers import read_fillers

if TYPE_CHECKING:
    import torch

    from netc.ir.dims import Shape
    from netc.ir.layer import Constant, Shapes
    from netc.passes.arrays import Array
    from netc.runtime.lower import Net
    from netc.runtime.net_weights import CopyReport
    from netc.weights import StateDict, Weights

__all__ = [
    "TEST_STATE",
    "Prepare",
    "Prober",
    "StateChoice",
    "checked_graph",
    "copy_held",
    "copy_weights",
    "file_weights",
    "folded",
    "graph_of",
    "issue_warnings",
    "layers_of",
    "load",
    "loaded",
    "lowered",
    "phase_of",
    "read_net",
    "read_weights",
    "record_shapes",
    "resolver",
    "state_choice",
    "unprepared",
    "weighted",
    "weights_of",
]

Prepare = Callable[[Graph], Graph]
"""Modifies a graph between `build` and `infer`: for instance, attaches the objects that run Python layers."""


def unprepared(graph: Graph) -> Graph:
    """Return the graph unchanged."""
    return graph


def checked_graph(
    net: NetDefinition,
    state: State,
    probe: Probe = no_probe,
    shapes: Mapping[str, Shape] | None = None,
    prepare: Prepare = unprepared,
) -> tuple[Graph, Report]:
    """Build the graph of one phase with shapes, without layers that have errors; return it with all diagnostics.

    `shapes` are shapes of tops of data layers, by blob, which override those of the file and the source.
    `prepare` modifies the graph before shapes are inferred.
    """
    graph, report = net.graph(state)
    graph, found = infer(prepare(graph), probe, shapes)
    if state.autocrop and not (report.errors or found.errors):
        graph = autocropped(graph)
    return graph, Report([*report.with_shapes(graph), *found.diagnostics])


def graph_of(
    net: NetDefinition,
    state: State,
    probe: Probe = no_probe,
    shapes: Mapping[str, Shape] | None = None,
    prepare: Prepare = unprepared,
) -> Graph:
    """Build the graph of one phase with shapes; see `checked_graph`.

    Raises NetcError with all its errors, and E100 for a net without layers, and if `shapes` names a blob that is not an
    input.
    """
    graph, report = checked_graph(net, state, probe, shapes, prepare=prepare)
    report.raise_errors()
    if not graph.nodes:
        raise NetcError(f"the {state.phase} net has no layers", span=net.span)
    inputs = {graph.values[top].blob for node in graph.nodes if node.layer.is_data for top in node.tops}
    if unknown := sorted((shapes or {}).keys() - inputs):
        found = f"shape given for `{unknown[0]}`, which is not an input of the net"
        raise NetcError(found, help=did_you_mean(unknown[0], inputs))
    return verify(graph)


def phase_of(name: str) -> Phase:
    """Return the phase for `train` or `test`, case-insensitively. Raises NetcError E100 for anything else."""
    phases: dict[str, Phase] = {"TRAIN": "TRAIN", "TEST": "TEST"}
    if name.upper() not in phases:
        raise NetcError(f"unknown phase `{name}`: expected `train` or `test`")
    return phases[name.upper()]


def state_choice(
    phase: str = "test", level: int | None = None, stages: Sequence[str] = (), autocrop: bool = False
) -> StateChoice:
    """Return the state that a caller requests. Raises NetcError E100 for an unknown phase."""
    return StateChoice(phase_of(phase), level, tuple(stages), autocrop)


class Prober:
    """Reads the record shapes of the sources of data layers; a source that fails causes a warning and no shape."""

    def __init__(self) -> None:
        self.warnings: list[Diagnostic] = []

    def __call__(self, node: Node) -> Shapes | None:
        """Return the shapes of one record of a data layer's source, None if it cannot be read."""
        try:
            return record_shapes(node)
        except NetcError as error:
            self.warnings += [replace(d, code="W020", span=d.span or node.span) for d in error.diagnostics]
            return None


def record_shapes(node: Node, skip_bad: bool = False) -> Shapes | None:
    """Return the shapes of one record of a data layer's source, None if it has no source.

    The record is the first one, or with `skip_bad` the first valid one. Raises NetcError E501 to E509.
    """
    if not getattr(node.layer, "source", None):
        return None
    from netc.data.factory import open_source

    source = open_source(node.layer, "TEST", resolve_path=resolver(node), tops=node.origin.tops, skip_bad=skip_bad)
    with contextlib.closing(source):
        return source.record_shapes


def resolver(node: Node) -> Callable[[str], Path]:
    """Return a function that finds the files that a layer refers to, as `paths.find` does for the layer's file."""
    return lambda name: paths.find(name, node.origin.file)[0]


def lowered(
    graph: Graph,
    generator: torch.Generator | None = None,
    share: Net | None = None,
    unfilled: AbstractSet[str] = frozenset(),
) -> Net:
    """Lower a graph to a net with data layers replaced by inputs, and with the constants and fillers read from files.

    See `runtime.lower.lower`. Raises NetcError for files that are missing or have another format, E105 for too few
    numbers, E203 for weights of unknown shapes, and E201 where code that may not run determines these.
    """
    from netc.runtime.lower import lower
    from netc.runtime.unknown_extents import UnknownWeightsError, explained

    try:
        net = lower(data_to_inputs(read_fillers(graph, _read_array, unfilled)), generator, share, unfilled)
    except UnknownWeightsError as error:
        raise explained(graph, error, _fault_of_source) from None
    for node in net.graph.nodes:
        for constant in node.layer.constants(len(node.bottoms)):
            if constant.file:
                _read_constant(net, node, constant)
    return net


def _fault_of_source(node: Node) -> str | None:
    """Why the shapes of a data layer's records are unknown; None if its source can be read, or there is none."""
    try:
        record_shapes(node)
    except NetcError as error:
        return error.diagnostics[0].message
    return None


def _read_array(node: Node, file: str, is_text: bool = True, column: int | None = None) -> Array:
    from netc.weights.constant_files import read_constant

    return read_constant(resolver(node)(file), is_text, column)


def _read_constant(net: Net, node: Node, constant: Constant) -> None:
    """Read a constant of a layer from its file and register it with the module."""
    import torch

    from netc.runtime.modules import register_constant

    try:
        array = _read_array(node, constant.file, constant.is_text, constant.column)
    except NetcError as error:
        raise error.at(node.span, f"in layer `{node.name}`") from None
    register_constant(net.module(node.key), constant.name, torch.tensor(array, dtype=torch.float32))


def load(
    net: str | Path | Source,
    weights: str | Path | Sequence[str | Path] | None = None,
    phase: str = "test",
    level: int | None = None,
    stages: Sequence[str] = (),
    *,
    shapes: Mapping[str, Shape] | None = None,
    dialect: str | None = None,
    scope: str = "",
    seed: int | None = None,
    strict: bool = False,
    autocrop: bool = False,
    fold: bool = False,
    compile: bool = False,  # noqa: A002 - as in torch
    channels_last: bool = False,
) -> Net:
    """Load a net as a torch.nn.Module in eval mode, with data layers replaced by inputs.

    `net` is a prototxt or NetDef file, a Source in memory, or a .caffemodel. `weights` are files of any format
    (.caffemodel, .h5, init nets; state_dicts as .safetensors, .pt or .npz) that are copied by name, in order; without
    them, those in the file of the net. `phase`, `level` and `stages` are merged with the state in the file
    (`StateChoice`). `shapes` are the shapes of inputs that the file does not define. `dialect` is the fork of Caffe
    that the file is for, `scope` a prefix (`gpu_0/`) to remove from the names of a Caffe2 net's blobs. Parameters that
    no file contains are initialized by the net's fillers, with `seed`; with `strict` they are an error. A weights file
    that fits no layer causes a NetcWarning; `report` of the net has all warnings. `autocrop` computes the offsets of
    Crop layers without parameters as Caffe's branch of 2015 did; without it, one that would differ causes a
    NetcWarning. Raises NetcError.

    Tops of Data layers, and of Python layers without bottoms, become inputs. Constant tops of DummyData layers are part
    of the net, as in Caffe, unless `shapes` has their blobs.

    Three options speed up inference; results are the same up to rounding:

    - `fold`: see `folded`. Layers and blobs that it removes are not available.
    - `compile`: torch.compile compiles the program from inputs to outputs on the first call, which requires a C++
      compiler and may take minutes; `evaluate` for other blobs is not compiled. The compiled program computes no
      gradients and does not check labels; in train mode, and for inputs that require a gradient, the net is not
      compiled. Changes of weights are detected, except through `.data` or NumPy.
    - `channels_last`: the kernels of 2-D convolutions, and their outputs, have the channels-last memory format.
    """
    files = [weights] if isinstance(weights, (str, Path)) else list(weights or ())
    state = state_choice(phase, level, stages, autocrop)
    module = loaded(net, files, state, shapes=shapes, dialect=dialect, scope=scope, seed=seed, strict=strict)
    issue_warnings(module.report.warnings, stacklevel=3)
    return _for_inference(module, fold, compile, channels_last)


def loaded(
    net: str | Path | Source,
    files: Sequence[str | Path] = (),
    state: StateChoice = TEST_STATE,
    *,
    shapes: Mapping[str, Shape] | None = None,
    dialect: str | None = None,
    scope: str = "",
    seed: int | None = None,
    strict: bool = False,
    parsed: Mapping[str, Weights | StateDict] | None = None,
    prepare: Prepare = unprepared,
) -> Net:
    """Load a net as `load` does, without its options for inference, and with warnings in its `report` only.

    `prepare` modifies the graph before shapes are inferred. `parsed` are weights by path. Raises NetcError.
    """
    from netc.runtime.file_access import idle_writers
    from netc.runtime.fillers import generator_of
    from netc.runtime.net_weights import checked_copies

    definition, prober = read_net(net, dialect=dialect, scope=scope), Prober()
    definition.report.raise_errors()
    contents = weights_of(definition, files, seed, parsed)
    graph = keep_constants(graph_of(definition, state.of(definition), prober, shapes, prepare), shapes or ())
    module = lowered(graph, generator_of(seed), unfilled=_filled(graph, contents.values())).eval()
    module.report.extend((*definition.report.warnings, *prober.warnings, *idle_writers(graph), *crop_warnings(graph)))
    copied = {file: copy_held(module, blobs, file) for file, blobs in contents.items()}
    module.report.extend(checked_copies(module, copied, strict))
    return module


def issue_warnings(found: Iterable[Diagnostic], stacklevel: int = 2) -> None:
    """Issue a NetcWarning for each weights file that fits no layer of a net, idle layers, and doubtful crops."""
    for warning in found:
        if warning.code in ("W120", "W411", "W806"):
            warnings.warn(NetcWarning(warning), stacklevel=stacklevel)


def _for_inference(net: Net, fold: bool, compiled: bool, channels_last: bool) -> Net:
    from netc.runtime.inference import compile_main, to_channels_last

    net = folded(net) if fold else net
    if channels_last:
        to_channels_last(net)
    if compiled:
        compile_main(net)
    return net


def folded(net: Net) -> Net:
    """Return a net for inference in eval mode that shares the modules of unchanged layers: BatchNorm and Scale are
    folded into the preceding weights, and Dropout and Split are removed.
    """
    from netc.passes.drop_identities import drop_identities
    from netc.passes.fold_batch_norm import fold_batch_norm
    from netc.runtime.inference import rebuilt

    before = weighted(net)
    return rebuilt(net, before, fold_batch_norm(drop_identities(before)))


def weighted(net: Net) -> Graph:
    """Return a net's graph whose parameters hold views of its weights in Caffe's shapes."""
    from netc.runtime.net_weights import array_of

    entries = dict(net.graph.parameters)
    for blob in net.blobs:
        if blob.is_owner:
            entries[blob.parameter.name] = replace(blob.parameter, array=array_of(blob.tensor, blob.shape))
    return net.graph.replace(parameters=entries)


def _filled(graph: Graph, files: Iterable[Weights | StateDict]) -> set[str]:
    """The layers for which a file has all blobs; layers that share a name are matched by order and excluded."""
    counts, blobs = Counter(node.name for node in graph.nodes), {n.name: len(n.parameters) for n in graph.nodes}
    layers = (layer for file in files for layer in layers_of(graph, file))
    held = {name: arrays for name, arrays in layers if arrays and len(arrays) == blobs.get(name)}
    return {name for name, arrays in held.items() if counts[name] == 1 and all(a is not None for a in arrays)}


def layers_of(
    graph: Graph, file: Weights | StateDict, renamed: Mapping[str, str] | None = None
) -> list[tuple[str, list[Array | None]]]:
    """The content of a weights file as layers with their blobs in Caffe's order.

    `renamed` maps layers of the graph to those of a state_dict. Raises NetcError E306 for a state_dict that lacks a
    part of a layer.
    """
    from netc.ir.state_names import layers_of_state
    from netc.weights import StateDict

    return layers_of_state(graph, file.tensors, renamed or {}) if isinstance(file, StateDict) else file.arrays


def copy_weights(net: Net, path: str | Path, allow_mismatch: bool = False) -> CopyReport:
    """Copy a weights file of any format into a net by layer name; see `runtime.net_weights.copy_weights`.

    Raises NetcError for a file in another format, and for blobs whose shapes do not match.
    """
    return copy_held(net, read_weights(path), str(path), allow_mismatch)


def copy_held(net: Net, weights: Weights | StateDict, source: str, allow_mismatch: bool = False) -> CopyReport:
    """As `copy_weights`, from the contents of a file; `source` is its path."""
    from netc.runtime.net_weights import copy_weights as copy
    from netc.weights.paging import release

    return copy(net, layers_of(net.graph, weights), source, allow_mismatch, release)


def file_weights(graph: Graph, gradients: Mapping[str, Array] | None = None, shared: bool = True) -> Weights:
    """The arrays of a graph as the content of a weights file: every layer, with its blobs in Caffe's order.

    `gradients` are those of parameters, by name, in the shape of their arrays. Unless `shared`, a blob that shares an
    earlier one's memory is None, as Caffe writes HDF5 files. Nothing is copied.
    """
    from netc.weights import BlobArray, LayerBlobs, Weights

    owners, diffs = graph.owners(), gradients or {}

    def blob(node: Node, index: int, array: Array) -> BlobArray | None:
        if not shared and owners[node.key, index] != (node.key, index):
            return None
        diff = diffs.get(node.parameters[index])
        return BlobArray(array, None if diff is None else diff.reshape(array.shape))

    layers = (
        LayerBlobs(node.name, node.layer.type, tuple(blob(node, i, a) for i, a in enumerate(graph.arrays(node))))
        for node in graph.nodes
    )
    return Weights(tuple(layers), graph.name)
