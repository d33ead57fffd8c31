"""Reads and writes the weights of a net."""

from __future__ import annotations

import os

import numpy as np

from netc.runtime.blobs import LayerBlob
from netc.runtime.lower import Net
from netc.runtime.net_weights import array_of, copy_weights
from netc.weights import BlobArray as FileBlob
from netc.weights import LayerBlobs, Weights, read, write_caffemodel, write_caffemodel_hdf5

Path = str | os.PathLike[str]


def copy_from(net: Net, path: Path) -> None:
    """Copy the weights of a file into the layers of the same name.

    Raises NetcError E306 for blobs of other shapes, E401 to E406 for a file that is not a weights file.
    """
    layers = read(path).layers
    arrays = ((layer.name, [blob.data if blob else None for blob in layer.blobs]) for layer in layers)
    copy_weights(net, arrays, os.fspath(path))


def save(net: Net, path: Path) -> None:
    """Write a .caffemodel. Raises NetcError E407, E408."""
    write_caffemodel(path, _weights(net, diffs=False))


def save_hdf5(net: Net, path: Path, diffs: bool) -> None:
    """Write a .caffemodel.h5, with gradients if `diffs` is set. Raises NetcError E408, E409."""
    write_caffemodel_hdf5(path, _weights(net, diffs, shared=False))


def _weights(net: Net, diffs: bool, shared: bool = True) -> Weights:
    """The contents of a weights file; blobs that share another's memory are included if `shared` is set."""
    by_layer: dict[str, list[LayerBlob]] = {node.key: [] for node in net.graph.nodes}
    for blob in net.blobs:
        by_layer[blob.key].append(blob)
    layers = []
    for node in net.graph.nodes:
        blobs = [_blob(blob, diffs) if shared or blob.is_owner else None for blob in by_layer[node.key]]
        layers.append(LayerBlobs(node.name, node.layer.type, tuple(blobs)))
    return Weights(tuple(layers), net.graph.name)


def _blob(blob: LayerBlob, diffs: bool) -> FileBlob:
    data = array_of(blob.tensor, blob.shape)
    if not diffs:
        return FileBlob(data)
    grad = blob.tensor.grad
    return FileBlob(data, np.zeros_like(data) if grad is None else array_of(grad, blob.shape))
