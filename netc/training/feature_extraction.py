"""Writes blobs of a net over its own data to databases: Caffe's extract_features."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from netc.compiler import TEST_STATE, Prepare, StateChoice, unprepared
from netc.data.sources.datum import write_datum
from netc.data.stores.writers import Put, checked_target, new_database
from netc.diagnostics import NetcError, counted, did_you_mean
from netc.training.evaluation import open_net
from netc.training.log.events import Listener, LogNote, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from netc.training.solver.runnable_net import RunnableNet

LOCATION = "extract_features.cpp"
LOG_INTERVAL = 1000
"""Records between two log lines."""


def extract(
    weights: Sequence[str | Path],
    net: str | Path,
    blobs: Sequence[str],
    databases: Sequence[str | Path],
    iterations: int,
    *,
    state: StateChoice = TEST_STATE,
    backend: str = "lmdb",
    gpu: str | None = None,
    prepare: Prepare = unprepared,
    listener: Listener = ignore,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, int]:
    """Run `iterations` batches of a net and write each blob to a database; return records per blob.

    A record is one item of the batch: a Datum of floats without a label, with the channels, height and width of the
    blob, under keys of ten digits (`extract_features.cpp`). Databases appear when they are complete. Raises NetcError
    E302 for a blob that the net lacks, E304 for one of more than four axes, E511, E512 for databases, and the errors
    of nets, weights and data.
    """
    if len(blobs) != len(databases):
        raise NetcError(
            f"{counted(len(blobs), 'blob')}, but {counted(len(databases), 'database')} to write them to", code="E512"
        )
    if len(set(map(str, databases))) < len(databases):
        raise NetcError("two blobs have the same database", code="E512")
    for database in databases:
        checked_target(database, backend)
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(open_net(net, state, weights=weights, gpu=gpu, prepare=prepare, listener=listener))
        for blob in blobs:
            if blob not in opened.net.graph.blobs:
                known = opened.net.graph.blobs
                raise NetcError(f"the net has no blob `{blob}`", code="E302", help=did_you_mean(blob, known))
        puts = [stack.enter_context(new_database(database, backend)) for database in databases]
        writers = {blob: _FeatureWriter(blob, put, listener) for blob, put in zip(blobs, puts)}
        for iteration in range(iterations):
            _one_batch(opened, writers)
            progress(iteration + 1, iterations)
        counts = {blob: writer.count for blob, writer in writers.items()}
    for blob, count in counts.items():
        listener(LogNote(LOCATION, f"Extracted features of {count} query images for feature blob {blob}"))
    listener(LogNote(LOCATION, "Successfully extracted the features!"))
    return counts


def _one_batch(opened: RunnableNet, writers: dict[str, _FeatureWriter]) -> None:
    batch = [top for feed in opened.feeds.values() for top in feed.next()]
    with torch.no_grad():
        found = opened.net.evaluate(dict(zip(opened.net.inputs, batch)), writers)
    for error in opened.net.faults():
        raise error
    for blob, tensor in found.items():
        writers[blob].add(tensor.float().cpu().numpy())


class _FeatureWriter:
    """Writes the items of one blob."""

    def __init__(self, blob: str, put: Put, listener: Listener) -> None:
        self.blob, self.put, self.listener = blob, put, listener
        self.count = 0

    def add(self, values: npt.NDArray[np.float32]) -> None:
        """Write a batch. Raises NetcError E304 for more than four axes."""
        if values.ndim > 4:
            raise NetcError(
                f"blob `{self.blob}` has {counted(values.ndim, 'axis')}: a record has three, those of one item",
                code="E304",
            )
        n, channels, height, width = (*values.shape, 1, 1, 1, 1)[:4]
        for item in values.reshape(n, channels * height * width):
            self.put(b"%010d" % self.count, write_datum((channels, height, width), floats=item))
            self.count += 1
            if self.count % LOG_INTERVAL == 0:
                text = f"Extracted features of {self.count} query images for feature blob {self.blob}"
                self.listener(LogNote(LOCATION, text))
