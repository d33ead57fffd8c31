"""Reads and writes the weights of a net."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from netc.compiler import copy_weights, file_weights, issue_warnings, weighted
from netc.runtime.net_weights import gradients, unused
from netc.weights import Weights, write_caffemodel, write_caffemodel_hdf5

if TYPE_CHECKING:
    from netc.runtime.lower import Net

Path = str | os.PathLike[str]


def copy_from(net: Net, path: Path, stacklevel: int) -> None:
    """Copy the weights of a file of any format (`weights.read_any`) into the layers of the same name.

    A file that fits no layer causes a NetcWarning, W411; `stacklevel` is that of the caller. Raises NetcError E306 for
    blobs of other shapes, E401 to E406 for a file that is not a weights file.
    """
    warning = unused(copy_weights(net, os.fspath(path)), os.fspath(path))
    issue_warnings([warning] if warning else [], stacklevel + 2)


def save(net: Net, path: Path) -> None:
    """Write a .caffemodel. Raises NetcError E407, E408."""
    write_caffemodel(path, _weights(net, diffs=False))


def save_hdf5(net: Net, path: Path, diffs: bool) -> None:
    """Write a .caffemodel.h5, with gradients if `diffs` is set. Raises NetcError E408, E409."""
    write_caffemodel_hdf5(path, _weights(net, diffs, shared=False))


def _weights(net: Net, diffs: bool, shared: bool = True) -> Weights:
    """The contents of a weights file; blobs that share another's memory are included if `shared` is set."""
    return file_weights(weighted(net), gradients(net) if diffs else None, shared)
