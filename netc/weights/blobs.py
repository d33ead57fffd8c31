"""The values of this package: named blobs, and the state of a solver. Nothing here knows a file format."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from netc.weights.statistics import BlobStatistics, statistics

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class BlobArray:
    """One array of a file, in its shape.

    Read from a file it is a view of a memory map: read-only, perhaps not aligned, and good as long as nobody shortens
    the file. Copy it before handing it to another library.
    """

    data: Array
    """float32; float64 from a net of doubles; float16 from NVIDIA's fork."""
    diff: Array | None = None
    """The gradient, in the same shape; only with `snapshot_diff`."""
    legacy: bool = False
    """The file gave four extents (num, channels, height, width) where today's gives as many as there are: an inner
    product's weight is (1, 1, outputs, inputs), its bias (1, 1, 1, outputs). Five extents in a file of C3D."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents as the file gives them."""
        return self.data.shape

    @functools.cached_property
    def statistics(self) -> BlobStatistics:
        """Extremes, moments and counts of `data`, computed when first asked for."""
        return statistics(self.data)


@dataclass(frozen=True, eq=False)
class LayerBlobs:
    """A layer as a weight file knows it."""

    name: str
    type: str
    """V2's name of the type, as far as it is known: empty from HDF5; from a V1 file it is BVLC's name of the number
    (forks gave some numbers to other types) or the number itself; from a V0 file V0's name (`conv`)."""
    blobs: tuple[BlobArray | None, ...] = ()
    """In Caffe's order. None only from HDF5, where Caffe leaves out what shares another layer's blob."""


@dataclass(frozen=True, eq=False)
class Weights:
    """What a weight file holds."""

    layers: tuple[LayerBlobs, ...]
    """In the file's order; of HDF5, in the order of the names. Names may repeat."""
    name: str = ""
    """The net's name; empty from HDF5."""

    @functools.cached_property
    def by_name(self) -> dict[str, LayerBlobs]:
        """Layers by name. Of equal names the last counts, as in Caffe, which copies one after the other (net.cpp)."""
        return {layer.name: layer for layer in self.layers}


@dataclass(frozen=True, eq=False)
class SolverState:
    """A .solverstate: where training stopped."""

    iter: int
    """Iterations done."""
    learned_net: str | None
    """Path of the weight file, as the solver knew it."""
    history: tuple[BlobArray, ...]
    """The solver's own blobs, in its order (momentum of each learnable blob, then a second round for some solvers)."""
    current_step: int = 0
    """How often the learning rate has stepped down."""
