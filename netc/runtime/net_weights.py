"""Copies weights into a net by layer name, from arrays of any file format (`net.cpp`, CopyTrainedLayersFrom)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from netc.diagnostics import Diagnostic, NetcError, counted
from netc.ir.dims import Shape, text

if TYPE_CHECKING:
    from netc.runtime.blobs import LayerBlob
    from netc.runtime.lower import Net

Array = NDArray[np.floating]
Layers = Iterable[tuple[str, Sequence["Array | None"]]]
"""Layer names with their blobs; None for a blob that the file omits because it shares the memory of another."""


@dataclass(frozen=True)
class Mismatch:
    """A layer of both the net and the file whose blobs differ in number or shape."""

    layer: str
    net: tuple[Shape, ...]
    file: tuple[Shape | None, ...]
    note: str | None = None
    """What the blobs in the file belong to, if that is known."""

    def __str__(self) -> str:
        """Both sides' shapes.

        >>> str(Mismatch("fc8", ((1000, 4096),), ((20, 4096),)))
        '`fc8`: [20,4096] in the file, [1000,4096] in the net'
        """

        def show(shapes: Sequence[Shape | None]) -> str:
            return " ".join("(shared)" if shape is None else text(shape) for shape in shapes) or "no blobs"

        return f"`{self.layer}`: {show(self.file)} in the file, {show(self.net)} in the net"


@dataclass(frozen=True)
class CopyReport:
    """The result of `copy_weights`, by layer name."""

    loaded: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    """Layers with blobs in the file that the net lacks."""
    missing: tuple[str, ...] = ()
    """Layers with blobs in the net that the file lacks: they keep their values."""
    mismatched: tuple[Mismatch, ...] = ()
    """Layers that keep their values, with `allow_mismatch`."""


def unused(report: CopyReport, source: str) -> Diagnostic | None:
    """W411 for a file from which nothing was copied into a net that has weights; None for others."""
    if report.loaded or not (report.missing or report.mismatched):
        return None
    lacking, had = report.missing or tuple(m.layer for m in report.mismatched), report.skipped
    notes = [f"layers of the net with weights: {_some(lacking)}"]
    notes.append(f"layers of the file with weights: {_some(had)}" if had else "the file has no layers with weights")
    message = f"`{source}` has weights for no layer of the net: all keep their initial values"
    return Diagnostic("W411", message, notes=tuple(notes), help="layers are matched by name: `netc weights FILE NET`")


def checked_copies(net: Net, copied: Mapping[str, CopyReport], strict: bool) -> list[Diagnostic]:
    """Warnings about files without any weights for a net, and layers without weights in any file.

    `copied` has the result of each file. Raises NetcError E306 in place of warnings if `strict`.
    """
    found = [warning for file, report in copied.items() if (warning := unused(report, file))]
    missing = [name for name, _ in named_blobs(net) if all(name in report.missing for report in copied.values())]
    if missing and not found and (strict or copied):
        message = f"no file has the weights of {counted(len(missing), 'layer')}: the initial values are kept"
        found.append(Diagnostic("W802", message, notes=(", ".join(f"`{name}`" for name in missing),)))
    if strict and found:
        raise NetcError(replace(one, code="E306") for one in found)
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:3]) + f" and {len(names) - 3} more" * (len(names) > 3)


CHUNK = 1 << 22
"""Values that are copied at a time."""


def copy_weights(
    net: Net,
    layers: Layers,
    source: str = "the file",
    allow_mismatch: bool = False,
    copied: Callable[[Array], None] = lambda part: None,
) -> CopyReport:
    """Copy blobs into the layers of the same name.

    Layers that only one side has are ignored, as in Caffe; of repeated names the k-th is copied to the k-th. A blob of
    an old file, which always has four extents, fits if it differs only in leading ones. Raises NetcError E306 for
    layers with other shapes or another number of blobs, unless `allow_mismatch`; the net is then unchanged. `copied` is
    called with each part of an array that was copied, so that the file's pages can be released.
    """
    targets = _by_name(net)
    layer_of = {node.key: node.layer for node in net.graph.nodes}
    copies: list[tuple[LayerBlob, Array]] = []
    loaded: dict[str, None] = {}
    skipped, mismatched, seen = [], [], dict.fromkeys(targets, 0)
    for name, arrays in layers:
        if name not in targets:
            skipped += [name] if arrays else []
            continue
        blobs = targets[name][min(seen[name], len(targets[name]) - 1)]
        seen[name] += 1
        layer = layer_of[blobs[0].key]
        arrays = layer.fitted(layer.in_file_order(arrays), tuple(blob.shape for blob in blobs))
        if fits(blobs, arrays):
            copies += [(blob, array) for blob, array in zip(blobs, arrays) if array is not None]
            loaded[name] = None
        elif arrays:
            shapes = tuple(None if array is None else tuple(array.shape) for array in arrays)
            note = layer.other_layer(len(arrays))
            mismatched.append(Mismatch(name, tuple(blob.shape for blob in blobs), shapes, note))
    if mismatched and not allow_mismatch:
        raise NetcError(_refused(mismatched, source))
    for blob, array in copies:
        _write(blob.tensor, array, copied)
    found = {*loaded, *(mismatch.layer for mismatch in mismatched)}
    missing = tuple(name for name in targets if name not in found)
    return CopyReport(tuple(loaded), tuple(skipped), missing, tuple(mismatched))


def named_blobs(net: Net) -> list[tuple[str, list[LayerBlob]]]:
    """The layers that have blobs, in order, with their blobs in Caffe's order."""
    layers: dict[str, tuple[str, list[LayerBlob]]] = {}
    for blob in net.blobs:
        layers.setdefault(blob.key, (blob.layer, []))[1].append(blob)
    return list(layers.values())


def array_of(tensor: Tensor, shape: Shape) -> Array:
    """A tensor's values as an array of Caffe's shape, which shares the memory of a contiguous tensor on the CPU."""
    array: Array = tensor.detach().cpu().contiguous().numpy().reshape(shape)
    return array


def gradients(net: Net) -> dict[str, Array]:
    """The gradient of each parameter in Caffe's shape, by name; zeros where it has none."""
    owners = [blob for blob in net.blobs if blob.is_owner]
    grads = ((blob, blob.tensor.grad) for blob in owners)
    return {b.parameter.name: array_of(torch.zeros(b.shape) if g is None else g, b.shape) for b, g in grads}


def fits(blobs: Sequence[LayerBlob], arrays: Sequence[Array | None]) -> bool:
    """Whether a file's blobs have the number and shapes of a layer's (`blob.cpp`, ShapeEquals)."""
    return len(blobs) == len(arrays) and all(
        array is None or same_shape(tuple(array.shape), blob.shape) for blob, array in zip(blobs, arrays)
    )


def same_shape(found: Shape, expected: Shape) -> bool:
    """Whether shapes are equal, apart from the leading ones of old files.

    >>> same_shape((1, 1, 10, 500), (10, 500)), same_shape((5, 2), (10,))
    (True, False)
    """
    extra = len(found) - len(expected)
    return found == expected or (len(found) >= 4 and extra > 0 and found == (1,) * extra + expected)


def _by_name(net: Net) -> dict[str, list[list[LayerBlob]]]:
    layers: dict[str, list[list[LayerBlob]]] = {}
    for name, blobs in named_blobs(net):
        layers.setdefault(name, []).append(blobs)
    return layers


def _refused(mismatched: Sequence[Mismatch], source: str) -> Iterator[Diagnostic]:
    for mismatch in mismatched:
        yield Diagnostic(
            "E306",
            f"the weights in `{source}` do not match layer {mismatch}",
            notes=(mismatch.note,) if mismatch.note else (),
            help="rename the layer to initialize it with its fillers",
        )


def _write(tensor: Tensor, array: Array, copied: Callable[[Array], None]) -> None:
    """Copy in parts, directly from the view of a file, which may be read-only and unaligned."""
    flat = array.reshape(-1)
    with torch.no_grad():
        target = tensor.detach().view(-1) if tensor.is_contiguous() else torch.empty(flat.size)
        direct = target.device.type == "cpu" and target.dtype in (torch.float16, torch.float32, torch.float64)
        for start in range(0, flat.size, CHUNK):
            part = flat[start : start + CHUNK]
            place = target[start : start + part.size]
            if direct:
                np.copyto(place.numpy(), part, casting="same_kind")
            else:
                place.copy_(torch.from_numpy(np.array(part, dtype=part.dtype.newbyteorder("="))))
            copied(part)
        if not tensor.is_contiguous():
            tensor.copy_(target.reshape(tensor.shape))
