"""A net with weights from any file, as a graph with arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from netc import compiler
from netc.compiler import TEST_STATE, StateChoice
from netc.conversion.embedded_net import NetSource, net_source
from netc.diagnostics import NetcError, Source, counted, did_you_mean
from netc.ir.dims import Shape, text
from netc.passes.settle_types import settle_types
from netc.runtime.net_weights import copy_weights, named_blobs
from netc.weights import StateDict, Weights
from netc.weights.blobs import without_prefix
from netc.weights.paging import release

if TYPE_CHECKING:
    from netc.ir.graph import Graph
    from netc.passes.arrays import Array
    from netc.runtime.lower import Net

Files = str | Path | Sequence[str | Path]


def as_paths(files: Files | None) -> list[Path]:
    """One file or several, as a list."""
    if files is None:
        return []
    return [Path(files)] if isinstance(files, (str, Path)) else [Path(file) for file in files]


Misfits = Literal["refuse", "skip", "reshape"]
"""What happens to layers of a file whose blobs have other shapes: an error; they keep their fillers; or, where the
counts are equal (a fully connected layer and a convolution), the numbers are read in the net's shape."""


class WeightFiles:
    """The weights files of one command, each opened and parsed once."""

    def __init__(self, files: Files | None, parsed: Mapping[str, Weights] | None = None, scope: str = "") -> None:
        """`parsed` holds the contents of files that are parsed already, by path; `scope` is removed from names.

        Raises NetcError.
        """
        held = parsed or {}
        self.files = as_paths(files)
        contents = {str(f): held.get(str(f)) or compiler.read_weights(f) for f in self.files}
        if scope:
            contents = {file: without_prefix(content, scope) for file, content in contents.items()}
        self.states = {f: found.tensors for f, found in contents.items() if isinstance(found, StateDict)}
        """The files that are a state_dict."""
        self.blobs = {f: found for f, found in contents.items() if isinstance(found, Weights)}
        """The others: Caffe's blobs by layer."""

    def fills(self, layer: str) -> bool:
        """Whether a file has the weights of a layer; a state_dict has those of all."""
        return bool(self.states) or layer in self._filled

    @cached_property
    def _filled(self) -> frozenset[str]:
        return frozenset(layer.name for held in self.blobs.values() for layer in held.layers if layer.blobs)


def open_net(
    net: str | Path | Source,
    weights: Files | WeightFiles | None = None,
    *,
    shapes: Mapping[str, Shape] | None = None,
    seed: int | None = 0,
    misfits: Misfits = "refuse",
    dialect: str | None = None,
    state: StateChoice = TEST_STATE,
    scope: str = "",
) -> Net:
    """The net of a prototxt in a state, with weights of any format of `compiler.read_weights`.

    A .caffemodel in place of the prototxt is read as the net in it, with its weights unless others are given.
    A state_dict has the names of `netc.load(...).state_dict()`; such files are read last. What no file fills is drawn
    from `seed`. Raises NetcError.
    """
    found = net_source(net, dialect, state, scope)
    net, shapes = found.source, {**(found.shapes or {}), **(shapes or {})}
    files = weights if isinstance(weights, WeightFiles) else weight_files(found, weights)
    if misfits == "refuse":
        opened = _loaded(net, files.blobs, shapes, seed, state, scope)
    else:
        opened = compiler.loaded(net, (), state, shapes=shapes, scope=scope, seed=seed, prepare=settle_types)
        for file, blobs in files.blobs.items():
            _copy(opened, file, blobs, misfits)
    for file, tensors in files.states.items():
        load_state(opened, tensors, file)
    return opened


def weight_files(net: NetSource, weights: Files | None = None) -> WeightFiles:
    """The weights files of a net: those given, else the one that the net is in. Raises NetcError."""
    parsed = {str(net.weights): net.parsed} if net.weights and net.parsed else {}
    return WeightFiles(weights or net.weights, parsed, net.scope)


def _loaded(
    net: str | Path | Source,
    files: Mapping[str, Weights],
    shapes: Mapping[str, Shape] | None,
    seed: int | None,
    state: StateChoice,
    scope: str,
) -> Net:
    load = partial(compiler.loaded, net, list(files), state, parsed=files, prepare=settle_types)
    try:
        return load(shapes=shapes, scope=scope, seed=seed)
    except NetcError as error:
        raise NetcError(replace(d, help=_MISFIT_HELP) if d.code == "E306" else d for d in error.diagnostics) from None


_MISFIT_HELP = (
    "`--allow-mismatch` keeps the fillers of such layers, `--reshape` reads equally many numbers in the net's shape, "
    "`netc weights FILE NET` lists all"
)


def _copy(net: Net, file: str, blobs: Weights, misfits: Misfits) -> None:
    """Copy a weights file into a net; layers of other shapes are reshaped, where they can be, or passed over."""
    wanted = {name: [blob.shape for blob in own] for name, own in named_blobs(net)}
    layers: list[tuple[str, list[Array | None]]] = []
    for layer in blobs.layers:
        arrays: list[Array | None] = layer.arrays
        shapes = wanted.get(layer.name, [])
        if misfits == "reshape" and len(shapes) == len(arrays):
            pairs = zip(arrays, shapes)
            arrays = [a.reshape(s) if a is not None and a.size == prod(s) else a for a, s in pairs]
        layers.append((layer.name, arrays))
    copy_weights(net, layers, file, allow_mismatch=misfits == "skip", copied=release)


def load_state(net: Net, state: Mapping[str, Array], source: str) -> None:
    """Copy a state_dict into a net. Raises NetcError E306 for names or shapes that are not the net's."""
    own = net.state_dict(keep_vars=True)
    for name in state:
        if name not in own:
            raise NetcError(f"`{source}` has `{name}`, the net does not", code="E306", help=did_you_mean(name, own))
    missing = [name for name in own if name not in state]
    if missing:
        raise NetcError(
            f"`{source}` lacks {counted(len(missing), 'tensor')} of the net, among them `{missing[0]}`", code="E306"
        )
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            given, wanted = text(tuple(tensor.shape)), text(tuple(own[name].shape))
            raise NetcError(f"`{name}` is {given} in `{source}`, {wanted} in the net", code="E306")
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(torch.from_numpy(np.array(tensor)))


def net_of(model: Graph) -> Net:
    """The torch module of a graph with arrays, in eval()."""
    return compiler.lowered(model).eval()
