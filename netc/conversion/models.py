"""A net with the weights of whatever file, as a graph with arrays, and back."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from netc import compiler
from netc.diagnostics import NetcError, did_you_mean
from netc.ir.dims import Shape, text
from netc.passes.arrays import Weighted
from netc.runtime.lower import Net, lower
from netc.runtime.state import array_of

Files = str | Path | Sequence[str | Path]


def listed(files: Files | None) -> list[Path]:
    """One file or several, as a list."""
    if files is None:
        return []
    return [Path(files)] if isinstance(files, (str, Path)) else [Path(file) for file in files]


def open_net(
    net: str | Path, weights: Files | None = None, *, shapes: Mapping[str, Shape] | None = None, seed: int | None = 0
) -> Net:
    """The test net of a prototxt, with weights of .caffemodel, HDF5, safetensors or .pt files.

    A state_dict has the names of `netc.load(...).state_dict()`. What no file fills is drawn from `seed`. Raises NetcError.
    """
    opened = compiler.load(net, shapes=shapes, seed=seed)
    for file in listed(weights):
        state = read_state(file)
        if state is None:
            compiler.copy_weights(opened, file)
        else:
            load_state(opened, state, str(file))
    return opened


def read_state(path: Path) -> dict[str, Tensor] | None:
    """The state_dict in a .pt or safetensors file, told by its content; None for other files. Raises NetcError E402."""
    try:
        with open(path, "rb") as file:
            head = file.read(9)
    except OSError:
        return None  # whoever reads weights says what is wrong with it
    if head[:2] == b"PK" and zipfile.is_zipfile(path):
        return _torch_file(path)
    if len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return _safetensors_file(path)
    return None


def _torch_file(path: Path) -> dict[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise NetcError(f"`{path}` is no state_dict of tensors", code="E402", notes=[_first_line(error)]) from None
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise NetcError(f"`{path}` holds something else than tensors by name", code="E402")
    return {str(name): value for name, value in found.items()}


def _safetensors_file(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise NetcError(f"`{path}` is no sound safetensors file", code="E403", notes=[_first_line(error)]) from None


def load_state(net: Net, state: Mapping[str, Tensor], source: str) -> None:
    """Copy a state_dict into a net. Raises NetcError E306 for names or shapes that are not the net's."""
    own = net.state_dict(keep_vars=True)
    for name in state:
        if name not in own:
            raise NetcError(f"`{source}` has `{name}`, the net has not", code="E306", help=did_you_mean(name, own))
    missing = [name for name in own if name not in state]
    if missing:
        raise NetcError(f"`{source}` lacks {len(missing)} tensors of the net, among them `{missing[0]}`", code="E306")
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            given, wanted = text(tuple(tensor.shape)), text(tuple(own[name].shape))
            raise NetcError(f"`{name}` is {given} in `{source}`, {wanted} in the net", code="E306")
    with torch.no_grad():
        for name, tensor in state.items():
            own[name].copy_(tensor)


def weighted(net: Net) -> Weighted:
    """A net's graph with views of its weights, in Caffe's shapes."""
    arrays: dict[str, list[object]] = {}
    for blob in net.blobs:
        arrays.setdefault(blob.key, []).append(array_of(blob.tensor, blob.shape))
    return Weighted(net.graph, {key: tuple(blobs) for key, blobs in arrays.items()})  # type: ignore[arg-type]


def net_of(model: Weighted) -> Net:
    """The torch module of a graph with arrays, in eval()."""
    net = lower(model.graph).eval()
    for blob in net.blobs:
        blob.data.copy_(torch.from_numpy(model.arrays[blob.key][blob.index].copy()))
    return net


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
