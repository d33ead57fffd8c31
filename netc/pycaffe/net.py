"""Caffe's `Net` for Python: names, arrays and passes over the node-by-node executor."""

from __future__ import annotations

import os
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.data.feeds.dummy_feed import DummyFeed
from netc.data.feeds.memory_feed import MemoryFeed
from netc.data.feeds.record_feed import LazyFeed
from netc.diagnostics import NetcError
from netc.ir.dims import text
from netc.ir.graph import AUTOMATIC
from netc.layers.python import HostedPython
from netc.passes.insert_splits import insert_splits
from netc.pycaffe import files
from netc.pycaffe.batches import batches, trimmed
from netc.pycaffe.build import NetParts, build, net_arguments, warn_of_old_arguments
from netc.pycaffe.mode import CPU, device
from netc.pycaffe.net_feeds import source_of
from netc.pycaffe.net_names import NetNames
from netc.pycaffe.python_layer import Layer
from netc.pycaffe.reshape import reshape
from netc.runtime.array_blobs import Array, Blob, BlobVec, WeightStorage, write_back
from netc.runtime.cpu_code import follow_cpu_code
from netc.runtime.node_executor import NodeExecutor
from netc.training.snapshots.snapshot_files import write_model
from netc.training.solver.debug_executor import DebugInfoLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import torch
    from numpy.typing import NDArray
    from torch import nn

    from netc.data.feeds.feed import Feed
    from netc.pycaffe.files import Path
    from netc.runtime.memory import Memory
    from netc.training.log.events import Listener

Arrays = dict[str, Array]


class Net(NetNames):
    """A net of a prototxt file, in one phase.

        Net("train_val.prototxt", caffe.TEST)
        Net("deploy.prototxt", "weights.caffemodel", caffe.TEST)
        Net("deploy.prototxt", caffe.TEST, weights="weights.caffemodel", level=0, stages=["deploy"])

    Weights that fit no layer cause a NetcWarning. Raises NetcError, with every error of the file, for an invalid net.
    """

    def __init__(
        self,
        network_file: Path,
        *arguments: Any,
        phase: int | None = None,
        level: int | None = None,
        stages: Sequence[str] | None = None,
        weights: Path | None = None,
    ) -> None:
        old = len(arguments) == 2 and isinstance(arguments[0], (str, bytes, os.PathLike))
        phase, level, stages, weights = net_arguments(arguments, phase, level, stages, weights)
        if old and weights is not None:
            warn_of_old_arguments(network_file, weights, phase)
        self._set_up(build(network_file, phase, level, tuple(stages or ())))
        if weights is not None:
            files.copy_from(self._executor.net, weights, stacklevel=2)

    @classmethod
    def of_parts(cls, parts: NetParts) -> Net:
        """Create a facade of an existing net, such as that of a solver."""
        net = cls.__new__(cls)
        net._set_up(parts)
        return net

    def _set_up(self, parts: NetParts) -> None:
        follow_cpu_code(parts.net)
        self._feeds = parts.feeds
        weakref.finalize(self, _close, list(parts.feeds.values()))
        sources = {key: source_of(feed) for key, feed in parts.feeds.items()}
        self._saved_graph = parts.graph
        self.graph = insert_splits(parts.graph)
        self._executor = NodeExecutor(parts.net, self.graph, sources)
        self.name = parts.graph.name
        memory = self._executor.memory
        self.blobs: OrderedDict[str, Blob] = OrderedDict(
            (AUTOMATIC if name.startswith(AUTOMATIC) else name, Blob(memory[name])) for name in memory
        )
        self.layers: list[Layer] = [self._layer(index) for index in range(len(self.graph.nodes))]
        self._layer_names = [node.name for node in self.graph.nodes]
        self.layer_dict: OrderedDict[str, Layer] = OrderedDict(zip(self._layer_names, self.layers))
        self.params: OrderedDict[str, BlobVec] = OrderedDict(
            (name, layer.blobs) for name, layer in self.layer_dict.items() if layer.blobs
        )
        self._write_constants()
        self._input_blobs = [self.blobs[name] for name in self.inputs]
        self._ready: tuple[tuple[int, ...], ...] = self._shapes()

    # ------------------------------------------------------------------ passes

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **inputs: Any
    ) -> Arrays:
        """Run the layers `start` to `end`, both included (default: all).

        `inputs` are written into the input blobs first: all of them or none. Returns the data of the outputs (of the
        tops of `end`, if given) and of `blobs`: the blobs' own arrays. Raises NetcError E302 for unknown names and for
        inputs of another shape.
        """
        first, last = self._span(start, end)
        names = [*(self.top_names[end] if end is not None else self.outputs), *(blobs or ())]
        if inputs:
            self._fill(inputs, self.inputs, "inputs", lambda blob: blob.data)
        self.run_forward(first, last)
        return {name: self._blob(name).data for name in names}

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **tops: Any
    ) -> Arrays:
        """Run the layers `start` down to `end`, both included (default: all), for gradients.

        `tops` are written into the `diff` of the outputs first: all of them or none. Returns the diffs of the inputs
        (of the bottoms of `end`, if given) and of `diffs`. Layers that have not run forward compute gradients on the
        blobs as they are. Raises NetcError E302 as `forward`.
        """
        last, first = self._span(end, start)
        names = [*(self.bottom_names[end] if end is not None else self.inputs), *(diffs or ())]
        if tops:
            self._fill(tops, self.outputs, "outputs", lambda blob: blob.diff)
        self.run_backward(first, last)
        return {name: self._blob(name).diff for name in names}

    def run_forward(self, start: int = 0, end: int | None = None) -> float:
        """Run the layers of these indices (default: all); returns the loss. Raises NetcError as the layers do.

        After a change of the inputs' shapes, the blobs of these layers only get new shapes, as in Caffe's
        `Layer::Forward`: a net may run up to a layer that does not accept the new ones.
        """
        place = self._place()
        if self._ready != self._shapes():
            reshape(self._executor, start, end)
            if not start and end in (None, len(self.layers) - 1):
                self._ready = self._shapes()
        loss = self._executor.forward(start, end)
        if place is not CPU:  # where a range check raises at once
            for fault in self._executor.net.faults():
                raise fault
        return loss.item() if self._executor.has_losses else 0.0

    def run_backward(self, start: int | None = None, end: int = 0) -> None:
        """Run the layers `start` (default: the last) down to `end`, by their indices, for gradients."""
        self._place()
        self._executor.backward(start, end)

    _forward, _backward = run_forward, run_backward

    @property
    def module(self) -> nn.Module:
        """The net as a torch module, which has the weights."""
        return self._executor.net

    @property
    def memory(self) -> Mapping[str, Memory]:
        """The tensors of each blob."""
        return self._executor.memory

    def forward_all(self, blobs: Sequence[str] | None = None, **inputs: Any) -> dict[str, NDArray[Any]]:
        """`forward` for any number of items, in batches of the net's size; returns the joined arrays."""
        count = len(next(iter(inputs.values())))
        found = [
            {name: array.copy() for name, array in self.forward(blobs, None, None, **batch).items()}
            for batch in batches(inputs, self._batch_size)
        ]
        return trimmed(found, count)

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **arrays: Any
    ) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
        """`forward` and `backward` for any number of items; `arrays` are inputs and diffs of outputs by name."""
        count = len(next(iter(arrays.values())))
        data: list[Arrays] = []
        gradients: list[Arrays] = []
        for batch in batches(arrays, self._batch_size):
            inputs = {name: array for name, array in batch.items() if name in self.inputs}
            tops = {name: array for name, array in batch.items() if name not in inputs}
            data.append({name: array.copy() for name, array in self.forward(blobs, None, None, **inputs).items()})
            gradients.append({name: array.copy() for name, array in self.backward(diffs, None, None, **tops).items()})
        return trimmed(data, count), trimmed(gradients, count)

    def clear_param_diffs(self) -> None:
        """Set the gradients of all weights to zero."""
        write_back()
        self._executor.clear_gradients()

    def reshape(self) -> None:
        """Set the shape of every blob from those of the inputs. Raises NetcError if a layer does not accept its own."""
        reshape(self._executor)
        self._ready = self._shapes()

    def before_forward(self, callback: Callable[[int], None]) -> None:
        """Call `callback(index)` before each layer runs forward."""
        self._executor.before["forward"].append(callback)

    def after_forward(self, callback: Callable[[int], None]) -> None:
        """Call `callback(index)` after each layer has run forward."""
        self._executor.after["forward"].append(callback)

    def before_backward(self, callback: Callable[[int], None]) -> None:
        """Call `callback(index)` before each layer runs backward."""
        self._executor.before["backward"].append(callback)

    def after_backward(self, callback: Callable[[int], None]) -> None:
        """Call `callback(index)` after each layer has run backward."""
        self._executor.after["backward"].append(callback)

    def debug_lines(self, listener: Listener, enabled: Callable[[], bool]) -> DebugInfoLogger:
        """Send the lines of `debug_info` of each pass to `listener` while `enabled` returns True."""
        return DebugInfoLogger(self._executor, listener, enabled)

    def _batch(self, blobs: Mapping[str, Any]) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield the arrays in batches of the net's size; the last one is padded with zeros."""
        return batches(blobs, self._batch_size)

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """Set data (n, c, h, w) and n labels of the net's first layer, a MemoryData. Raises NetcError E305."""
        feed = self._feeds.get(self.graph.nodes[0].key) if self.graph.nodes else None
        if not isinstance(feed, MemoryFeed):
            raise NetcError("the net's first layer is not `MemoryData`: it does not accept arrays", code="E305")
        feed.set(np.ascontiguousarray(data, np.float32), np.ascontiguousarray(labels, np.float32))

    _set_input_arrays = set_input_arrays

    # ------------------------------------------------------------------ weights

    def copy_from(self, path: Path) -> None:
        """Copy the weights of a file of any format into the layers of the same name. Raises NetcError.

        A file that fits no layer causes a NetcWarning.
        """
        write_back()
        files.copy_from(self._executor.net, path, stacklevel=2)

    def save(self, path: Path) -> None:
        """Write the net with its weights, a NetParameter, as a .caffemodel file.

        Raises NetcError E408 if it cannot be written.
        """
        write_back()
        write_model(os.fsdecode(path), self._executor.net, self._saved_graph, hdf5=False)

    def save_hdf5(self, path: Path, write_diff: bool = False) -> None:
        """Write the weights, and their gradients if `write_diff` is set, to an HDF5 file."""
        write_back()
        write_model(os.fsdecode(path), self._executor.net, self._saved_graph, hdf5=True, diff=write_diff)

    load_hdf5 = copy_from

    def share_with(self, other: Net) -> None:
        """Share the memory of `other`'s weights in layers of the same name. Raises NetcError E204."""
        write_back()
        self._executor.share(other._executor)

    # ------------------------------------------------------------------ internals

    def _write_constants(self) -> None:
        """Write the constant tops of DummyData layers, which no pass fills."""
        for node in self.graph.nodes:
            feed = self._feeds.get(node.key)
            if isinstance(feed, DummyFeed):
                for name, top in zip(node.tops, feed.tops):
                    self._executor.memory[self._blob_name(name)].write(top)

    def _layer(self, index: int) -> Layer:
        node = self.graph.nodes[index]
        if isinstance(node.layer, HostedPython):
            hosted: Layer = node.layer.host.layer
            return hosted
        layer = Layer()
        layer.type = node.layer.type
        layer.blobs = BlobVec(Blob(WeightStorage(blob)) for blob in self._executor.blobs(node))
        return layer

    def _span(self, first: str | None, last: str | None) -> tuple[int, int]:
        start = 0 if first is None else self._executor.index(first)
        return start, len(self.layers) - 1 if last is None else self._executor.index(last)

    def _fill(self, given: Mapping[str, Any], names: Sequence[str], what: str, array: Callable[[Blob], Array]) -> None:
        if set(given) != set(names):
            raise NetcError(
                f"expected {what} {_listed(names)}, got {_listed(sorted(given))}",
                code="E302",
            )
        for name, values in given.items():
            blob, values = self.blobs[name], np.asarray(values)
            try:
                array(blob)[...] = values
            except ValueError:
                raise NetcError(
                    f"expected an array of shape {text(blob.shape)} for `{name}`, got {text(values.shape)}",
                    code="E302",
                    help=f"`net.blobs[{name!r}].reshape(...)` changes the net's batch or image size",
                ) from None

    def _place(self) -> torch.device:
        """Move the net, and values written into arrays, to the mode's device, which is returned."""
        write_back()
        wanted = device()
        if self._executor.place[0] != wanted:
            self._executor.to(wanted)
        return wanted

    def _shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple([blob.shape for blob in self._input_blobs])

    @property
    def _batch_size(self) -> int:
        return next(iter(self.blobs.values())).shape[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "(none)"


def _close(feeds: Sequence[Feed]) -> None:
    """Stop prefetching for a deleted net; the solver closes the feeds of its own nets."""
    for feed in feeds:
        if isinstance(feed, LazyFeed):
            feed.close()
