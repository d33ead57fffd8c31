"""Run all nets of a folder on made-up input: a forward pass of deploy nets, one training step of the others.

    python tools/corpus_run.py FOLDER                    the shares, and the reason for each net that does not run
    python tools/corpus_run.py FOLDER --only deploy      or `train`
    python tools/corpus_run.py FOLDER --match ssd        only files with this text in their path
    python tools/corpus_run.py FOLDER --json FILE        write the result of each file; FILE is updated
    python tools/corpus_run.py FOLDER --json FILE --failed    run again what did not run according to FILE

The kind of a file is

- `deploy`: a net with inputs and without data and loss layers. Its weights are random.
- `train`: a net with a loss and data. Its train net gets one batch and makes one step of gradient descent.
- `test`: a net with a loss whose data is for testing only. Its test net makes a forward pass.
- `no data`: a net with a loss, but without data or labels for it; it is listed, and not counted.
- `template`: a file with placeholders; it is listed, and not counted.

Batches have two items where the net accepts another number than its file's. Images have the size that the file crops
them to, or a usual one; `made_up_batch.py` has the rules of the labels. Numbers that a layer or a filler reads from a
file are zeros. Each net has a process of its own with a limit of time and memory.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import resource
import sys
import time
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netc.diagnostics import Diagnostic, NetcError
from netc.frontends import NetDefinition, read
from netc.ir.graph import Graph, Phase, State
from netc.layers import layer_classes, registry
from netc.layers.detection.detection_evaluate import DetectionEvaluate
from netc.layers.power_file import PowerFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    import torch

    from netc.ir.dims import Shape

BATCH = 2
"""Items of a made-up batch, where the net accepts another number than its file's."""
RECORDS = ((3, 224, 224), (3, 256, 256), (1, 28, 28), (3, 32, 32), (1, 256, 256), (2, 28, 28), (3, 416, 416))
"""Images that a net may be for; the first is the usual one."""
SECONDS, BYTES = 240, 8 << 30
"""Limits of each net."""
DEPLOY, TRAIN, TEST, NO_DATA, TEMPLATE, OTHER = "deploy", "train", "test", "no data", "template", ""
COUNTED = (DEPLOY, TRAIN, TEST)
SUFFIXES = (".prototxt", ".pbtxt", ".pt", ".txt")
STATISTICS = ("variance", "running_var", "scale_factor")
"""Statistics of normalizing layers that are 1 for normalized values."""
PLACEHOLDER = "E033"
OF_SHAPES = ("E102", "E104")
"""Errors that another size of the batch or of its images may not have."""
ABSENT = ("E011", "E020", "E101")
"""Errors of a net without data: a bottom that no layer produces, a loss without labels, a data layer without source."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file."""

    kind: str = OTHER
    """The kind of the net; empty for a file that is no net."""
    reason: str = ""
    """Why it does not run; empty if it does."""
    is_bug: bool = False
    """Whether it ended in an exception other than a diagnostic."""
    seconds: float = 0.0


def kind_of(net: NetDefinition) -> str:
    """Return whether a net is a deploy net or a training net, by the layers of its file; empty if neither."""
    classes = {name: layer_classes(name) for name in {layer.type for layer in net.layers}}
    losses = any("Loss" in name or any(cls.is_loss for cls in found) for name, found in classes.items())
    if not losses and not is_fed(net):
        return DEPLOY
    return TRAIN if losses else OTHER


def is_fed(net: NetDefinition) -> bool:
    """Return whether a net has a layer with data of its own; the type of an unknown layer is judged by its name."""

    def reads(name: str) -> bool:
        found = layer_classes(name)
        if not found:
            return name.endswith("Data") or "_DATA" in name
        return any(cls.is_data and cls.fed_by != "input" for cls in found)

    return any(reads(layer.type) for layer in net.layers)


def run(path: Path, only: str | None = None) -> Outcome:
    """Run a net. A NetcError is a reason; other exceptions are bugs and pass."""
    try:
        definition = read(path)
    except NetcError:
        return Outcome()
    if not isinstance(definition, NetDefinition):
        return Outcome()
    kind = kind_of(definition)
    if not kind or (only and kind != only):
        return Outcome()
    try:
        definition.report.raise_errors()
        if kind == TRAIN:
            return _trained(definition)
        return Outcome(DEPLOY) if _evaluated(definition, RECORDS[:1]) else Outcome()
    except NetcError as error:
        return _failed(kind, definition, error)
    except MemoryError:
        return Outcome(kind, "out of memory")
    except RuntimeError as error:
        if "allocate" in str(error):
            return Outcome(kind, "out of memory")
        raise


def _failed(kind: str, net: NetDefinition, error: NetcError) -> Outcome:
    first = _first(error)
    reason = f"{first.code} {first.message}"
    if first.code == PLACEHOLDER:
        return Outcome(TEMPLATE, reason)
    lacks_source = first.code == "E101" and "`source` is missing" in first.message
    lacks_labels = first.code == "E020" and "Loss" in first.message and "got 1" in first.message
    if kind == TRAIN and (lacks_source or lacks_labels or (first.code in ABSENT and not is_fed(net))):
        return Outcome(NO_DATA, reason)
    return Outcome(kind, reason)


def _first(error: NetcError) -> Diagnostic:
    return next((d for d in error.diagnostics if d.severity == "error"), error.diagnostics[0])


def _trained(net: NetDefinition) -> Outcome:
    """Make one step; a forward pass where only the test net has data."""
    try:
        _step(_graph(net, "TRAIN", RECORDS))
        return Outcome(TRAIN)
    except NetcError as error:
        if _first(error).code != "E011" or not _is_complete(net, "TEST"):
            raise
    try:
        _evaluated(net, RECORDS)
        return Outcome(TEST)
    except NetcError as error:
        return Outcome(TEST, f"{_first(error).code} {_first(error).message}")


def _is_complete(net: NetDefinition, phase: Phase) -> bool:
    """Return whether each bottom of a net is the top of an earlier layer."""
    return not any(found.code == "E011" for found in net.graph(State(phase))[1].errors)


def _graph(net: NetDefinition, phase: Phase, records: tuple[Shape, ...]) -> Graph:
    """Return the graph for the first made-up records that the net accepts, of as few items as it accepts.

    Raises the error for the first record and the file's number of items if none is accepted.
    """
    from made_up_batch import given_shapes, record_probe

    from netc.compiler import checked_graph, graph_of

    failed: dict[tuple[Shape, int | None], NetcError] = {}
    for record in records:
        for items in (BATCH, None):
            try:
                probe = record_probe(record)
                graph, _ = checked_graph(net, State(phase), probe)
                shapes, before = given_shapes(graph, items, record), None
                while shapes != before:
                    inferred, _ = checked_graph(net, State(phase), probe, shapes)
                    shapes, before = given_shapes(graph, items, record, inferred), shapes
                return _without_files(graph_of(net, State(phase), probe, shapes))
            except NetcError as error:
                if _first(error).code not in OF_SHAPES:
                    raise
                failed[record, items] = error
    raise failed[records[0], None]


def _without_files(graph: Graph) -> Graph:
    """Return the graph without files of numbers and sizes, which a definition alone lacks."""
    import numpy as np

    filled = {
        name: replace(entry, array=np.zeros(entry.shape, np.float32)) if entry.filler.type == "file" else entry
        for name, entry in graph.parameters.items()
    }
    layers = {
        node.key: PowerFile() if isinstance(node.layer, PowerFile) else replace(node.layer, name_size_file=None)
        for node in graph.nodes
        if isinstance(node.layer, (PowerFile, DetectionEvaluate))
    }
    nodes = tuple(replace(node, layer=layers.get(node.key, node.layer)) for node in graph.nodes)
    return graph.replace(parameters=filled, nodes=nodes)


def _evaluated(net: NetDefinition, records: tuple[Shape, ...]) -> bool:
    """Make a forward pass; False if there is nothing to run."""
    import torch
    from made_up_batch import batch

    from netc.compiler import lowered
    from netc.runtime.fillers import generator_of

    graph = _graph(net, "TEST", records)
    module = lowered(graph, generator_of(1)).eval()
    _randomize(module)
    with torch.no_grad():
        module(**batch(graph))
    return True


def _step(graph: Graph) -> None:
    """Make one step of gradient descent."""
    import torch
    from made_up_batch import batch

    from netc.compiler import lowered
    from netc.runtime.fillers import generator_of

    net = lowered(graph, generator_of(1)).train()
    _fill_statistics(net)
    weights = {graph.values[name].blob: weight for name, weight in graph.losses}
    losses = net.evaluate(batch(graph), weights)
    total: torch.Tensor = torch.stack([weight * losses[blob].sum() for blob, weight in weights.items()]).sum()
    if not total.isfinite():
        raise NetcError(f"the loss is {total.item()}", code="E203")
    torch.autograd.backward(total)
    torch.optim.SGD(net.parameters(), lr=1e-6).step()


def _randomize(net: Any) -> None:
    """Fill learned blobs that a file without fillers leaves at zero."""
    import torch

    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.01)
    _fill_statistics(net)


def _fill_statistics(net: Any) -> None:
    """Set moments that were never accumulated to those of normalized values."""
    for name, buffer in net.named_buffers():
        if name.rpartition(".")[2] in STATISTICS and not buffer.any():
            buffer.fill_(1)


def _child(path: Path, only: str | None, answer: Connection) -> None:
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    try:
        answer.send(run(path, only))
    except Exception as error:
        text = str(error).strip()
        answer.send(Outcome("", f"{type(error).__name__}: {text.splitlines()[0] if text else ''}", is_bug=True))


def examined(path: Path, only: str | None = None) -> Outcome:
    """Run a net in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(path, only, sender))
    start = time.monotonic()
    process.start()
    sender.close()
    try:
        found = receiver.recv() if receiver.poll(SECONDS) else Outcome(reason=f"longer than {SECONDS} s")
    except EOFError:
        found = Outcome(reason="the process ended without an answer", is_bug=True)
    finally:
        process.kill()
        process.join()
    kind = found.kind or (_kind_of_file(path) if found.reason else OTHER)
    return Outcome(kind, found.reason, found.is_bug, round(time.monotonic() - start, 1))


def _kind_of_file(path: Path) -> str:
    """Return the kind of a net whose process ended early."""
    definition = read(path)
    return kind_of(definition) if isinstance(definition, NetDefinition) else OTHER


def files_of(folder: Path, match: str) -> list[Path]:
    """Return the files that may be nets."""
    return sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and match in str(path))


def report(found: dict[str, Outcome]) -> Iterator[str]:
    """Yield the lines of the report: files that are not counted or did not run, by kind, and the shares."""
    for kind in (TEMPLATE, NO_DATA, *COUNTED):
        for name, outcome in found.items():
            if outcome.kind == kind and outcome.reason:
                yield f"{kind:9}{name}: {'BUG ' if outcome.is_bug else ''}{outcome.reason}"
    yield ""
    counts = Counter((outcome.kind, not outcome.reason) for outcome in found.values())
    for kind in COUNTED:
        ran, failed = counts[kind, True], counts[kind, False]
        if ran + failed:
            yield f"{kind:9}{ran:4} of {ran + failed:4} run  {ran / (ran + failed):.1%}"
    for kind in (NO_DATA, TEMPLATE):
        if counts[kind, False]:
            yield f"{kind:9}{counts[kind, False]:4} not counted"


def _warm_up() -> None:
    """Import what each process needs, once."""
    for name in ("netc.runtime.lower", "netc.compiler", "netc.data.factory", "torch._dynamo", "made_up_batch"):
        importlib.import_module(name)
    registry()


def main(arguments: list[str] | None = None) -> int:
    """Print the report; the exit status is 1 if a net ends in an exception other than a diagnostic."""
    parser = argparse.ArgumentParser(description="Run all nets of a folder on made-up input.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=[DEPLOY, TRAIN])
    parser.add_argument("--match", default="", metavar="TEXT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file of the results, which is updated")
    parser.add_argument("--failed", action="store_true", help="only nets that did not run according to --json")
    parser.add_argument("--verbose", action="store_true", help="print the result of each file when it is there")
    given = parser.parse_args(arguments)
    if given.failed and not given.json:
        parser.error("--failed requires --json")
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    _warm_up()
    known = json.loads(given.json.read_text()) if given.json and given.json.exists() else {}
    found = {name: Outcome(**entry) for name, entry in known.items()}
    for path in files_of(given.folder, given.match):
        name = str(path.relative_to(given.folder))
        if given.failed and not (name in found and found[name].reason):
            continue
        outcome = examined(path, given.only)
        if given.verbose and outcome.kind:
            print(f"{outcome.kind:9}{outcome.seconds:6.1f} s {name}: {outcome.reason or 'ran'}", flush=True)
        if outcome.kind or not given.only:
            found[name] = outcome
        if given.json:
            given.json.write_text(json.dumps({name: asdict(one) for name, one in sorted(found.items())}, indent=1))
    print("\n".join(report(found)))
    return int(any(outcome.is_bug for outcome in found.values()))


if __name__ == "__main__":
    sys.exit(main())
