"""Runs the init net of a Caffe2 model: the blobs that it fills are the weights of the predict net.

`weights` is imported on first use: it imports NumPy, which checking a file does without.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError, Report
from netc.frontends import NetDefinition, read
from netc.ir.graph import State
from netc.ir.shapes import infer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from netc.ir.graph import Node
    from netc.weights import LayerBlobs, StateDict, Weights


def read_weights(path: str | Path, seed: int | None = None) -> Weights | StateDict:
    """The weights in a file of any format: `weights.read_any`, or the blobs that an init net fills.

    An init net's random fillers are drawn with `seed`. Raises NetcError as `weights.read_any` does, and for an init net
    with errors.
    """
    from netc.weights import read_any

    definition = _init_net(path)
    return read_any(path) if definition is None else filled(definition, seed)


def weights_of(
    definition: NetDefinition,
    files: Sequence[str | Path] = (),
    seed: int | None = None,
    parsed: Mapping[str, Weights | StateDict] | None = None,
) -> dict[str, Weights | StateDict]:
    """The contents of the weights files of a net by path: of `files`, else of the file that contains the net.

    The definition takes from them what its graph depends on. `parsed` are contents that have already been read.
    Raises NetcError as `read_weights`.
    """
    if definition.weights_file and not files:
        files = [definition.weights_file]
    held = parsed or {}
    contents = {str(file): held.get(str(file)) or read_weights(file, seed) for file in files}
    if definition.scope:
        from netc.weights.blobs import without_prefix

        contents = {path: without_prefix(content, definition.scope) for path, content in contents.items()}
    if contents:
        definition.describe_weights(list(contents.values()))
    return contents


def _init_net(path: str | Path) -> NetDefinition | None:
    """The definition in a file if it is one of a net that fills weights, else None."""
    from netc.weights.file_type import content, map_file

    kind = content(map_file(path))
    if kind not in ("text", "caffe2", "meta_net"):
        return None
    with contextlib.suppress(NetcError) if kind == "text" else contextlib.nullcontext():
        found = read(path)
        if isinstance(found, NetDefinition) and found.fills_weights:
            return found.init_net if kind == "meta_net" else found
    return None


def filled(definition: NetDefinition, seed: int | None = None) -> Weights:
    """The blobs of numbers that an init net fills, each as a layer of its name with one blob.

    Given tensors are not copied. Raises NetcError for a net with errors, and E302 for one that needs inputs.
    """
    from netc.weights import Weights

    definition.report.raise_errors()
    graph, report = definition.graph(State("TRAIN"))
    graph, found = infer(graph)
    Report([*report.with_shapes(graph), *found.diagnostics]).raise_errors()
    makers = {top: node for node in graph.nodes for top in node.tops}
    numbers = [name for name in graph.blobs.values() if graph.values[name].dtype not in ("string", "mutex")]
    given = {name: array for name in numbers if (array := makers[name].layer.given()) is not None}
    rest = [name for name in numbers if name not in given]
    results: dict[str, NDArray[Any]] = {}
    if rest:
        from netc.passes.data_to_inputs import data_to_inputs
        from netc.runtime.lower import lower

        net = lower(data_to_inputs(graph)).eval()
        with _seeded(seed):
            tensors = net.evaluate({}, [graph.values[name].blob for name in rest])
        results = {blob: tensor.detach().cpu().numpy() for blob, tensor in tensors.items()}
    arrays = ((blob, makers[name], given.get(name, results.get(blob))) for blob, name in graph.blobs.items())
    layers = (_layer(blob, node, array) for blob, node, array in arrays if array is not None)
    return Weights(tuple(layers), graph.name)


def _layer(blob: str, node: Node, array: NDArray[Any]) -> LayerBlobs:
    from netc.weights import BlobArray, LayerBlobs

    own = node.layer.quantization
    pair = None if own is None else (own.scale, own.zero_point)
    return LayerBlobs(blob, node.layer.type, (BlobArray(array),), pair)


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    import torch

    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
