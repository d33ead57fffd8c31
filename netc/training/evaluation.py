"""Runs a net with its data but without a solver: Caffe's `caffe test` and `caffe time`."""

from __future__ import annotations

import functools
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from netc.compiler import (
    TEST_STATE,
    Prepare,
    StateChoice,
    copy_held,
    graph_of,
    lowered,
    record_shapes,
    unprepared,
    weights_of,
)
from netc.data.feeds.net_feeds import feeds_of
from netc.data.feeds.random_feed import RandomFeed
from netc.data.feeds.record_feed import RecordFeed
from netc.diagnostics import NetcError, counted
from netc.frontends import read_net
from netc.passes.insert_splits import insert_splits
from netc.passes.settle_types import settle_types
from netc.runtime.file_access import allow_files, idle_writers
from netc.runtime.fillers import generator_of
from netc.runtime.input_check import check_fit
from netc.runtime.memory_check import check_pass_memory
from netc.runtime.net_weights import unused
from netc.runtime.node_executor import NodeExecutor, Source
from netc.training.data_monitor import DataMonitor
from netc.training.device import device_of
from netc.training.log.caffe_log import number, output_text
from netc.training.log.events import Listener, LogNote, Output, WarningIssued, ignore
from netc.training.solver.executor import StraightLineExecutor
from netc.training.solver.runnable_net import RunnableNet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from netc.ir.dims import Shape
    from netc.ir.layer import FileAccess


def open_net(
    path: str | Path,
    state: StateChoice = TEST_STATE,
    *,
    weights: Sequence[str | Path] = (),
    gpu: str | None = None,
    shapes: Mapping[str, Shape] | None = None,
    random_input: bool = False,
    skip_bad: bool = False,
    files: FileAccess = "none",
    prepare: Prepare = unprepared,
    listener: Listener = ignore,
) -> RunnableNet:
    """Open the net of a state with its weights, on its device, with the feeds of its data layers.

    `shapes` are shapes of inputs that the file does not define. With `random_input`, layers that a program feeds have
    random tops. With `skip_bad`, records that cannot be used are replaced by the next good ones. `files` allows layers
    to write files; warnings about those that may not, and about weights that fit no layer, are logged.

    Raises NetcError for invalid files, nets and data.
    """
    definition = read_net(path)
    definition.report.raise_errors()
    contents = weights_of(definition, weights)
    device = device_of(gpu, listener)
    probe = functools.partial(record_shapes, skip_bad=skip_bad)
    graph = graph_of(
        definition, state.of(definition), probe, shapes, prepare=lambda built: prepare(settle_types(built))
    )
    net = lowered(graph, generator_of(None)).to(device)
    check_pass_memory(net.graph, device)
    allow_files(net, files)
    found = [] if files != "none" else idle_writers(graph)
    found += filter(None, (unused(copy_held(net, held, file), file) for file, held in contents.items()))
    for warning in found:
        listener(WarningIssued(warning.render(), rendered=True))
    seed = torch.seed() % 2**31
    feeds = feeds_of(graph, device, seed, skip_bad=skip_bad)
    if random_input:
        data = (node for node in graph.nodes if node.layer.is_data and node.key not in feeds)
        feeds.update({node.key: RandomFeed(node, graph, device, seed) for node in data})
    return RunnableNet(net, graph, StraightLineExecutor(net, graph, feeds), feeds)


def score(net: RunnableNet, iterations: int, listener: Listener = ignore) -> tuple[Output, ...]:
    """Run `iterations` batches; return the mean of each element of the outputs (`caffe.cpp`, test).

    Logs Caffe's lines, and how many records were skipped. Raises NetcError for bad data.
    """
    return _score(net, iterations, 1.0, listener)


def score_all(net: RunnableNet, listener: Listener = ignore) -> tuple[Output, ...]:
    """Run each record of the data once; return the mean of each element of the outputs.

    The last batch holds the remaining records, and counts in proportion to their number. Raises NetcError E607 if the
    data layers do not read the same number of records, E102 if the net does not accept the last batch, or for bad data.
    """
    feeds = [feed for feed in net.feeds.values() if isinstance(feed, RecordFeed)]
    sizes = {(feed.start_pass(), feed.batch_size) for feed in feeds}
    if len(sizes) != 1:
        found = ", ".join(f"{records} in batches of {batch}" for records, batch in sorted(sizes)) or "none"
        raise NetcError(f"the number of records of the data layers is not one number: {found}", code="E607")
    records, batch = sizes.pop()
    iterations, rest = math.ceil(records / batch), records % batch or batch
    _check_batch(net, rest, iterations)
    return _score(net, iterations, rest / batch, listener)


def _check_batch(net: RunnableNet, size: int, iterations: int) -> None:
    """Raise NetcError E102 if the net does not accept a batch of this size."""
    graph = net.net.graph
    fed = {top for node in net.graph.nodes if isinstance(net.feeds.get(node.key), RecordFeed) for top in node.tops}
    shapes = {name: shape for name in graph.inputs if (shape := graph.shape(name)) is not None}
    try:
        check_fit(graph, {name: (size, *s[1:]) if name in fed else s for name, s in shapes.items()}, graph.outputs)
    except NetcError as error:
        help = f"; `--iterations={iterations - 1}` leaves it out" if iterations > 1 else ""
        raise error.at(None, f"the last batch has {counted(size, 'record')}{help}") from None


def _score(net: RunnableNet, iterations: int, last: float, listener: Listener) -> tuple[Output, ...]:
    """Run batches; `last` is the weight of the last one in the means."""
    listener(LogNote("caffe.cpp:281", f"Running for {iterations} iterations."))
    total, sums = 0.0, [0.0]
    outputs: tuple[Output, ...] = ()
    for batch in range(iterations):
        weight = last if batch == iterations - 1 else 1.0
        total += weight * sum(float(loss) for loss in net.executor.forward())
        outputs = net.outputs()
        sums = [a + weight * b.value for a, b in zip(sums if batch else [0.0] * len(outputs), outputs)]
        for output in outputs:
            listener(LogNote("caffe.cpp:304", f"Batch {batch}, {output.blob} = {number(output.value)}"))
    DataMonitor(net.feeds, listener).report(only_skipped=True)
    weights = iterations - 1 + last
    listener(LogNote("caffe.cpp:309", f"Loss: {number(total / weights)}"))
    means = tuple(Output(o.blob, s / weights, o.loss_weight) for o, s in zip(outputs, sums))
    for mean in means:
        listener(LogNote("caffe.cpp:321", output_text(mean)))
    return means


@dataclass(frozen=True)
class LayerTime:
    """The time of one layer in milliseconds, averaged over the iterations."""

    layer: str
    forward: float
    backward: float


def time_layers(net: RunnableNet, iterations: int, listener: Listener = ignore) -> list[LayerTime]:
    """Time each layer forward and backward, node by node (`caffe.cpp`, time), and log Caffe's lines.

    The device is synchronized before and after each layer, so that the sum exceeds the time of a pass.
    """
    sources: dict[str, Source] = {key: feed.next for key, feed in net.feeds.items()}
    executor = NodeExecutor(net.net, insert_splits(net.graph), sources)
    executor.training = True
    timer = _NodeTimer(executor)
    listener(LogNote("caffe.cpp:355", "Performing Forward"))
    loss = executor.forward()
    listener(LogNote("caffe.cpp:357", f"Initial loss: {number(float(loss))}"))
    listener(LogNote("caffe.cpp:359", "Performing Backward"))
    executor.backward()
    timer.reset()
    listener(LogNote("caffe.cpp:369", "*** Benchmark begins ***"))
    listener(LogNote("caffe.cpp:370", f"Testing for {iterations} iterations."))
    start = time.perf_counter()
    forward = backward = 0.0
    for iteration in range(iterations):
        forward += timer.measure(executor.forward)
        backward += timer.measure(executor.backward)
        pace = (time.perf_counter() - start) * 1000 / (iteration + 1)
        listener(LogNote("caffe.cpp:398", f"Iteration: {iteration + 1} forward-backward time: {number(pace)} ms."))
    rows = [
        LayerTime(node.name, f * 1000 / iterations, b * 1000 / iterations)
        for node, f, b in zip(executor.graph.nodes, timer.spent["forward"], timer.spent["backward"])
    ]
    _log_times(rows, forward * 1000, backward * 1000, iterations, listener)
    return rows


def _log_times(rows: list[LayerTime], forward: float, backward: float, iterations: int, listener: Listener) -> None:
    listener(LogNote("caffe.cpp:405", "Average time per layer: "))
    for row in rows:
        listener(LogNote("caffe.cpp:408", f"{row.layer:>10}\tforward: {number(row.forward)} ms."))
        listener(LogNote("caffe.cpp:411", f"{row.layer:>10}\tbackward: {number(row.backward)} ms."))
    listener(LogNote("caffe.cpp:416", f"Average Forward pass: {number(forward / iterations)} ms."))
    listener(LogNote("caffe.cpp:418", f"Average Backward pass: {number(backward / iterations)} ms."))
    listener(LogNote("caffe.cpp:420", f"Average Forward-Backward: {number((forward + backward) / iterations)} ms."))
    listener(LogNote("caffe.cpp:422", f"Total Time: {number(forward + backward)} ms."))
    listener(LogNote("caffe.cpp:423", "*** Benchmark ends ***"))


class _NodeTimer:
    """Accumulates the time of each node of an executor."""

    def __init__(self, executor: NodeExecutor) -> None:
        self.cuda = executor.place[0].type == "cuda"
        self.count = len(executor.graph.nodes)
        self.idle = {i for i, node in enumerate(executor.graph.nodes) if not executor.needs[node.key].layer}
        """Nodes without a backward pass, by index."""
        self.started = 0.0
        self.reset()
        for direction in ("forward", "backward"):
            executor.before[direction].append(self.start)
            executor.after[direction].append(functools.partial(self.stop, direction))

    def reset(self) -> None:
        """Discard all measurements."""
        self.spent = {"forward": [0.0] * self.count, "backward": [0.0] * self.count}

    def now(self) -> float:
        """Synchronize the device and return the time in seconds."""
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def start(self, index: int) -> None:
        """Start timing a node."""
        self.started = self.now()

    def stop(self, direction: str, index: int) -> None:
        """Stop timing a node."""
        if direction == "backward" and index in self.idle:
            return
        self.spent[direction][index] += self.now() - self.started

    def measure(self, run: Callable[[], object]) -> float:
        """Return the seconds that a call takes."""
        started = self.now()
        run()
        return self.now() - started
