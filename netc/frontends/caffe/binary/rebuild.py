"""A .caffemodel -> its prototxt, as far as the layer messages contain it."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, counted
from netc.frontends.caffe.binary.decode import Decoder, Parts
from netc.frontends.caffe.binary.dialects import Dialect, Evidence, guess, named
from netc.frontends.caffe.binary.prototxt_text import as_written, text_of
from netc.layers.nvidia_batch_norm import BLOBS
from netc.weights.file_type import expect, map_file
from netc.weights.wire import LENGTH, VARINT, Wire, WireField

if TYPE_CHECKING:
    from collections.abc import Mapping

_NET = {1: "name", 3: "input", 4: "input_dim", 5: "force_backward", 8: "input_shape"}
"""Fields of NetParameter other than layers, which are the same in all forks."""


@dataclass(frozen=True)
class Rebuilt:
    """A net read from a weights file."""

    text: str
    """Its prototxt, in the format (V0, V1 or V2) of the file."""
    dialect: str
    """The dialect that its field numbers were read in."""
    evidence: tuple[str, ...]
    """What identified the dialect, such as `field 152 in layers of type BN`; empty for BVLC's or a requested one."""
    skipped: int
    """Number of fields unknown to this dialect."""
    blobs: Mapping[str, int]
    """The number of blobs of each layer whose name is unique; V0 layers are left out."""


def rebuilt(path: str | os.PathLike[str], dialect: str | None = None) -> Rebuilt:
    """Return the net in a binary .caffemodel; `dialect` overrides the guess.

    Raises NetcError E401 to E405 for a file that is invalid or in another format, E806 for a file that contains only
    weights and for an unknown dialect.
    """
    data, name = map_file(path), os.fspath(path)
    if expect(data, name, "caffemodel", "hdf5") == "hdf5":
        raise _no_net(name, "an HDF5 file contains only the blobs of layers")
    wire = Wire(data, name)
    top = [field for field in wire.fields(0, len(data)) if field.wire == LENGTH or field.number in _NET]
    layers = [field for field in top if field.number == 2] or [field for field in top if field.number == 100]
    old = bool(layers) and layers[0].number == 2
    chosen, pairs = _dialect(wire, layers, old, dialect)
    evidence = tuple(_evidence(pair) for pair in pairs)
    if not evidence and dialect is None and not old and _has_nvidia_batch_norm(wire, layers):
        chosen, evidence = named("nvidia"), ("layers of type BatchNorm with 5 blobs",)
    decoder = Decoder(wire, chosen)
    net = _net(decoder, top)
    read = [_layer(decoder, layer, old) for layer in layers]
    if not any("bottom" in layer for layer in read):
        raise _no_net(name, f"none of its {counted(len(read), 'layer')} has a bottom")
    net["layers" if old else "layer"] = list(as_written(read))
    return Rebuilt(text_of(net), chosen.name, evidence, decoder.skipped, _blob_counts(wire, layers, old))


def _no_net(name: str, why: str) -> NetcError:
    return NetcError(f"`{name}` does not contain a net: {why}", code="E806", help="pass the prototxt of the net")


def _evidence(pair: tuple[str, int]) -> str:
    kind, number = pair
    return f"field {number} in layers of type {kind}"


def _net(decoder: Decoder, top: list[WireField]) -> Parts:
    """The fields of the net itself."""
    net: Parts = {}
    for field in top:
        if field.number in _NET:
            part = decoder.message(field.start, field.end, "NetParameter", _NET.get)
            for name, values in part.items():
                net.setdefault(name, []).extend(values)
    return {name: values if name.startswith("input") else values[-1:] for name, values in net.items()}


def _layer(decoder: Decoder, layer: WireField, old: bool) -> Parts:
    kind = _type(decoder.wire, layer, old)

    def name(number: int) -> str | None:
        return decoder.dialect.layer_field(number, kind, old)

    return decoder.message(layer.at, layer.end, "V1LayerParameter" if old else "LayerParameter", name)


def _blob_counts(wire: Wire, layers: list[WireField], old: bool) -> dict[str, int]:
    """The number of blobs of each uniquely named layer, without V0 layers, whose blobs are in an inner message."""
    name_field, blobs_field = (4, 6) if old else (1, 7)
    counts: list[tuple[str, int]] = []
    for layer in layers:
        fields = [field for field in wire.fields(layer.at, layer.end) if field.wire == LENGTH]
        names = [wire.text(field) for field in fields if field.number == name_field]
        if names:
            counts.append((names[-1], sum(field.number == blobs_field for field in fields)))
    uses = Counter(name for name, _ in counts)
    return {name: count for name, count in counts if uses[name] == 1}


def _has_nvidia_batch_norm(wire: Wire, layers: list[WireField]) -> bool:
    """Whether a BatchNorm has five blobs: only its parameters' numbers distinguish NVIDIA's files from BVLC's."""
    batch_norms = (layer for layer in layers if _type(wire, layer, old=False) == "BatchNorm")
    numbers = ([field.number for field in wire.fields(layer.at, layer.end)] for layer in batch_norms)
    return any(found.count(7) == BLOBS for found in numbers)


def _type(wire: Wire, layer: WireField, old: bool) -> str:
    """The type of a layer; in the V1 format, its number as text."""
    kind = ""
    for field in wire.fields(layer.at, layer.end):
        if old and field.number == 5 and field.wire == VARINT:
            kind = str(field.value)
        elif not old and field.number == 2 and field.wire == LENGTH:
            kind = wire.text(field)
    return kind


def _dialect(
    wire: Wire, layers: list[WireField], old: bool, requested: str | None
) -> tuple[Dialect, tuple[tuple[str, int], ...]]:
    if requested is not None:
        return named(requested), ()
    found = Evidence()
    for layer in layers:
        kind = _type(wire, layer, old)
        found.update((kind, field.number) for field in wire.fields(layer.at, layer.end) if field.wire == LENGTH)
    return guess(found, old)
