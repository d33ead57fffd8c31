"""Run all nets of a folder on made-up input: a forward pass of deploy nets, one training step of the others.

    python tools/corpus_run.py FOLDER                    the counts, and the reason for each net that does not run
    python tools/corpus_run.py FOLDER --only deploy      or `train`
    python tools/corpus_run.py FOLDER --match ssd        only files with this text in their path

A deploy net has inputs whose shapes the file defines, and neither data nor loss layers; its weights are random. Any
other net with a loss is a training net: its train net gets one batch of random images and plausible labels, of a few
items, and one step of gradient descent is made. Images have the size that the file crops them to, or a usual one.
Weights whose initial values are in a file are zeros. Each net has a process of its own with a limit of time and memory.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import resource
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import NetcError
from netc.frontends import NetDefinition, read
from netc.ir.dims import Shape, known
from netc.ir.graph import Graph, Node, State
from netc.layers import layer_classes
from netc.layers.power_file import PowerFile

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    import torch

BATCH = 2
"""Items of a made-up batch, where the net accepts another number than its file's."""
RECORDS = ((3, 256, 256), (1, 28, 28), (3, 32, 32), (1, 256, 256), (2, 28, 28))
"""Images that a training net may be for."""
FRAMES = 16
"""Frames of a video."""
SECONDS, BYTES = 240, 14 << 30
DEPLOY, TRAIN = "deploy", "train"


@dataclass(frozen=True)
class Outcome:
    """What became of one net."""

    kind: str
    """`deploy`, `train`, or empty for a file that is neither."""
    reason: str = ""
    """Why it does not run; empty if it does."""


def kind_of(net: NetDefinition) -> str:
    """Whether a net is a deploy net or a training net, by the layers of its file; empty if neither."""
    types = {layer.type for layer in net.layers}
    classes = {name: layer_classes(name) for name in types}
    losses = any("Loss" in name or any(cls.is_loss for cls in found) for name, found in classes.items())
    fed = any(_is_fed(name, found) for name, found in classes.items())
    if not losses and not fed:
        return DEPLOY
    return TRAIN if losses else ""


def _is_fed(name: str, classes: Any) -> bool:
    """Whether a layer type reads data of its own; the type of an unknown layer is judged by its name."""
    if not classes:
        return name.endswith("Data") or "_DATA" in name
    return any(cls.is_data and cls.fed_by != "input" for cls in classes)


def run(path: Path, only: str | None) -> Outcome:
    """Run a net; NetcError is a reason, other exceptions are bugs and pass."""
    try:
        definition = read(path)
    except NetcError:
        return Outcome("")
    if not isinstance(definition, NetDefinition):
        return Outcome("")
    kind = kind_of(definition)
    if not kind or (only and kind != only):
        return Outcome("")
    try:
        definition.report.raise_errors()
        return Outcome(kind) if kind == TRAIN and _step(definition) else _forward(definition, kind)
    except NetcError as error:
        first = next((d for d in error.diagnostics if d.severity == "error"), error.diagnostics[0])
        return Outcome(kind, f"{first.code} {first.message}")
    except MemoryError:
        return Outcome(kind, "out of memory")
    except RuntimeError as error:
        if "allocate" in str(error):
            return Outcome(kind, "out of memory")
        raise


def _forward(definition: NetDefinition, kind: str) -> Outcome:
    import torch

    from netc.compiler import graph_of, lowered
    from netc.runtime.fillers import generator_of

    graph = _without_files(graph_of(definition, State("TEST")))
    if not graph.nodes or any(_open(graph, name) for name in _inputs(graph)):
        return Outcome("")
    net = lowered(graph, generator_of(1)).eval()
    _randomize(net)
    with torch.no_grad():
        net(**_batch(graph))
    return Outcome(kind)


def _step(definition: NetDefinition) -> bool:
    """Make one step of gradient descent on the first made-up records that the net accepts.

    The batch is that of the file only if the net accepts no other. Raises the first error if none is accepted.
    """
    first: NetcError | None = None
    for record in RECORDS:
        for batch in (BATCH, None):
            try:
                return _step_of(definition, batch, record)
            except NetcError as error:
                first = first or error
    assert first is not None
    raise first


def _step_of(definition: NetDefinition, batch: int | None, record: Shape) -> bool:
    import torch

    from netc.compiler import graph_of, lowered
    from netc.runtime.fillers import generator_of

    state, probe = State("TRAIN"), partial(_record, record)
    graph = graph_of(definition, state, probe)
    given = {graph.values[name].blob: _sized(graph, name, batch, record) for name in _inputs(graph)}
    graph = _without_files(graph_of(definition, state, probe, given))
    net = lowered(graph, generator_of(1)).train()
    weights = {graph.values[name].blob: weight for name, weight in graph.losses}
    losses = net.evaluate(_batch(graph), weights)
    total = torch.stack([weight * losses[blob].sum() for blob, weight in weights.items()]).sum()
    torch.autograd.backward(total)
    torch.optim.SGD(net.parameters(), lr=1e-6).step()
    return True


def _without_files(graph: Graph) -> Graph:
    """The graph without files of numbers, which a definition alone lacks."""
    import numpy as np

    filled = {
        name: replace(entry, array=np.zeros(entry.shape, np.float32)) if entry.filler.type == "file" else entry
        for name, entry in graph.parameters.items()
    }
    nodes = (replace(n, layer=PowerFile()) if isinstance(n.layer, PowerFile) else n for n in graph.nodes)
    return graph.replace(parameters=filled, nodes=tuple(nodes))


def _record(record: Shape, node: Node) -> tuple[Shape, ...]:
    """The shapes of a made-up record of a data layer: an image, and labels of one number; or a video and its truth."""
    side = max(record[1], getattr(getattr(node.layer, "transform", None), "crop_size", 0) or 0)
    if node.layer.fed_by == "voxel truth":
        size = (FRAMES, side + 1, side + 1)
        return (record[0], *size), (1, *size)
    return ((record[0], side, side), *((),) * (len(node.tops) - 1))


def _inputs(graph: Graph) -> list[str]:
    return [*graph.inputs, *(top for node in graph.nodes if node.layer.is_data for top in node.tops)]


def _open(graph: Graph, name: str) -> bool:
    shape = graph.shape(name)
    return shape is None or not all(map(known, shape))


def _sized(graph: Graph, name: str, batch: int | None, record: Shape) -> Shape:
    """The shape of an input for a batch; images where the file leaves it open, labels where it is used as an index."""
    shape = graph.shape(name)
    if shape is None:
        return (batch or BATCH,) if graph.is_index(name) else (batch or BATCH, *record)
    extents = [extent if known(extent) else (batch or BATCH) if axis == 0 else 1 for axis, extent in enumerate(shape)]
    return (batch, *extents[1:]) if batch and extents else tuple(extents)


def _batch(graph: Graph) -> dict[str, torch.Tensor]:
    import torch

    from netc.data.feeds.random_feed import _is_index

    torch.manual_seed(1)
    found = {}
    for name in _inputs(graph):
        shape, blob = graph.shape(name) or (), graph.values[name].blob
        found[blob] = torch.zeros(shape) if _is_index(graph, name) else _values(blob, shape)
    height, width = next((value.shape[2:] for value in found.values() if value.ndim == 4), RECORDS[0][1:])
    for blob, value in found.items():
        if blob == "im_info":
            value[...] = torch.tensor([height, width, 1.0, *([1.0] * 3)])[: value.shape[-1]]
    return found


def _values(blob: str, shape: Shape) -> torch.Tensor:
    """Random numbers; boxes for inputs named after regions."""
    import torch

    if blob.startswith("rois") and shape[1:2] == (5,):
        corner, extent = torch.rand(shape[0], 2, *shape[2:]) * 100, torch.rand(shape[0], 2, *shape[2:]) * 100 + 16
        return torch.cat([torch.zeros(shape[0], 1, *shape[2:]), corner, corner + extent], 1)
    return torch.randn(shape)


def _randomize(net: Any) -> None:
    """Fill learned blobs that a file without fillers leaves at zero."""
    import torch

    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.01)


def _child(path: Path, only: str | None, answer: Connection) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    try:
        answer.send(run(path, only))
    except Exception as error:
        answer.send(Outcome("bug", f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"))


def examined(path: Path, only: str | None) -> Outcome:
    """Run a net in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(path, only, sender))
    process.start()
    sender.close()
    try:
        return receiver.recv() if receiver.poll(SECONDS) else Outcome("slow", f"longer than {SECONDS} s")
    except EOFError:
        return Outcome("bug", "the process died")
    finally:
        process.kill()
        process.join()


def main(arguments: list[str] | None = None) -> int:
    """Print the counts and the reasons; the exit status is 1 if a net ends in an exception other than a diagnostic."""
    parser = argparse.ArgumentParser(description="Run all nets of a folder on made-up input.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=[DEPLOY, TRAIN])
    parser.add_argument("--match", default="", metavar="TEXT")
    parser.add_argument("--verbose", action="store_true", help="also list the nets that run")
    given = parser.parse_args(arguments)
    importlib.import_module("netc.runtime.lower")  # with torch, once for all processes
    counts: Counter[tuple[str, bool]] = Counter()
    paths = [p for p in given.folder.rglob("*") if p.suffix in (".prototxt", ".pbtxt", ".pt", ".txt")]
    for index, path in enumerate(sorted(p for p in paths if given.match in str(p))):
        found = examined(path, given.only)
        if given.verbose:
            print(f"{index} {path.name} {found.kind}", file=sys.stderr, flush=True)
        if found.kind:
            counts[found.kind, not found.reason] += 1
        if found.reason:
            print(f"{found.kind:7}{path.relative_to(given.folder)}: {found.reason}", flush=True)
    print()
    for kind in sorted({kind for kind, _ in counts}):
        ran, failed = counts[kind, True], counts[kind, False]
        print(f"{kind:8}{ran:5} of {ran + failed:5} run  {ran / (ran + failed):.1%}")
    return int(any(kind == "bug" for kind, _ in counts))


if __name__ == "__main__":
    sys.exit(main())
