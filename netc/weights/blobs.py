"""The values of this package, independent of file formats: named blobs, and the state of a solver."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from netc.weights.statistics import BlobStatistics, statistics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class BlobArray:
    """One array of a file, with its shape.

    When read from a file it is a view of a memory map: read-only, possibly unaligned, and valid only while the file is
    not truncated. Copy it before passing it to another library.
    """

    data: Array
    """float32; float64 from a net of doubles; float16 from NVIDIA's fork."""
    diff: Array | None = None
    """The gradient, in the same shape; only with `snapshot_diff`."""
    legacy: bool = False
    """Whether the file stores four extents (num, channels, height, width), as old versions of Caffe do, instead of a
    shape: an inner product's weight is (1, 1, outputs, inputs), its bias (1, 1, 1, outputs). C3D stores five."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents as stored in the file."""
        return self.data.shape

    @functools.cached_property
    def statistics(self) -> BlobStatistics:
        """Extremes, moments and counts of `data`, computed on first access."""
        return statistics(self.data)


@dataclass(frozen=True, eq=False)
class LayerBlobs:
    """A layer as stored in a weight file."""

    name: str
    type: str
    """V2's name of the type if known: empty from HDF5; from a V1 file BVLC's name of the number (forks use some numbers
    for other types) or the number itself; from a V0 file V0's name (`conv`)."""
    blobs: tuple[BlobArray | None, ...] = ()
    """In Caffe's order. None only from HDF5, where Caffe omits blobs that are shared with another layer."""
    quantization: tuple[float, int] | None = None
    """The scale and zero point of the only blob, if an init net of Caffe2 made it of integers that stand for real
    numbers."""

    @property
    def arrays(self) -> list[Array | None]:
        """The values of each blob; None where the file leaves the blob out."""
        return [None if blob is None else blob.data for blob in self.blobs]


@dataclass(frozen=True, eq=False)
class Weights:
    """The content of a weight file."""

    layers: tuple[LayerBlobs, ...]
    """In the order of the file; from HDF5, in the order of the names. Names may repeat."""
    name: str = ""
    """The net's name; empty from HDF5."""

    @property
    def with_blobs(self) -> Weights:
        """The same without layers that have no blobs."""
        return Weights(tuple(layer for layer in self.layers if layer.blobs), self.name)

    @functools.cached_property
    def by_name(self) -> dict[str, LayerBlobs]:
        """Layers by name. The last of equal names counts, as in Caffe, which copies them in order (net.cpp)."""
        return {layer.name: layer for layer in self.layers}

    @property
    def arrays(self) -> list[tuple[str, list[Array | None]]]:
        """Layer names with the values of their blobs, in the file's order."""
        return [(layer.name, layer.arrays) for layer in self.layers]


@dataclass(frozen=True, eq=False)
class StateDict:
    """The content of a file of named tensors, which knows neither layers nor their order."""

    tensors: Mapping[str, Array]
    """By the names of `netc.load(...).state_dict()`, such as `conv1.weight`, in the order of the file."""


def without_prefix(file: Weights | StateDict, prefix: str) -> Weights | StateDict:
    """The same with a prefix removed from the names that have it."""
    if isinstance(file, StateDict):
        return StateDict({name.removeprefix(prefix): tensor for name, tensor in file.tensors.items()})
    layers = tuple(replace(layer, name=layer.name.removeprefix(prefix)) for layer in file.layers)
    return Weights(layers, file.name)


def blob_counts(files: Iterable[Weights | StateDict]) -> dict[str, int]:
    """The number of blobs of each layer in weights files, which may tell meanings of a layer type apart."""
    layers = (layer for file in files if isinstance(file, Weights) for layer in file.layers if layer.blobs)
    return {layer.name: len(layer.blobs) for layer in layers}


@dataclass(frozen=True, eq=False)
class SolverState:
    """The content of a .solverstate: where training stopped."""

    iter: int
    """Iterations done."""
    learned_net: str | None
    """Path of the weight file, as stored by the solver."""
    history: tuple[BlobArray, ...]
    """The solver's own blobs, in order (momentum of each learnable blob, then for some solvers a second set)."""
    current_step: int = 0
    """How many times the learning rate was stepped down."""
    commit: str | None = None
    """netc's commit mark (netc.training.snapshots.commit); Caffe ignores it."""
