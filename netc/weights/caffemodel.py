""".caffemodel: a NetParameter; only names, types and blobs are read.

Forks of Caffe use other numbers of LayerParameter for different fields, so parsing whole messages misreads or rejects
their files. These fields are the same in all forks:

    net       name=1   layers=2 (V1, V0)   layer=100 (V2)
    V2 layer  name=1   type=2              blobs=7
    V1 layer  name=4   type=5 (a number)   blobs=6     layer=1 (V0 inside)
    V0 layer  name=1   type=2              blobs=50

Files are written as V2, byte for byte as Caffe's Net::ToProto and protobuf's C++ library write the same net.
"""

from __future__ import annotations

import os
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError, counted
from netc.weights.blobproto import Piece, decode_blob, encode_blob, nested, size_of, write_pieces
from netc.weights.blobs import BlobArray, LayerBlobs, Weights
from netc.weights.file_type import expect, map_file
from netc.weights.wire import LENGTH, VARINT, Wire, WireField, delimited

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_BYTES = 2**31 - 1
"""What protobuf can hold in one message."""
V1_TYPES = (
    "None Accuracy BNLL Concat Convolution Data Dropout EuclideanLoss Flatten HDF5Data HDF5Output Im2col ImageData "
    "InfogainLoss InnerProduct LRN MultinomialLogisticLoss Pooling ReLU Sigmoid Softmax SoftmaxWithLoss Split TanH "
    "WindowData Eltwise Power SigmoidCrossEntropyLoss HingeLoss MemoryData ArgMax Threshold DummyData Slice MVN AbsVal "
    "Silence ContrastiveLoss Exp Deconvolution"
).split()
"""V2's names for V1's numbers (caffe.proto, V1LayerParameter.LayerType)."""


def read_caffemodel(path: str | os.PathLike[str]) -> Weights:
    """The names, types and blobs of a binary .caffemodel. The blobs are views: only headers are read.

    Of a file with both V1 and V2 layers the V1 ones are returned, as in Caffe (upgrade_proto.cpp, UpgradeV1Net).
    Raises NetcError E401 to E406 (see netc.weights).
    """
    data, name = map_file(path), os.fspath(path)
    expect(data, name, "caffemodel")
    wire = Wire(data, name)
    net, known = "", True
    old: list[LayerBlobs] = []
    new: list[LayerBlobs] = []
    for field in wire.fields(0, len(data)):
        if field.number in (1, 2, 100) and field.wire != LENGTH:
            wire.fail(
                "E403", f"field {field.number} at byte {field.start} is not a string or message, as it is in a net"
            )
        if field.number == 1:
            net = wire.text(field)
        elif field.number == 2:
            old.append(_v1_layer(wire, field))
        elif field.number == 100:
            new.append(_layer(wire, field, 1, 2, 7))
        known = known and field.number <= 8
    if not (old or new or known):
        raise NetcError(f"`{name}` contains no layers: it is not a Caffe weight file", code="E402")
    return Weights(tuple(old or new), net)


def write_caffemodel(path: str | os.PathLike[str], weights: Weights, net: bytes | None = None) -> None:
    """Write a binary .caffemodel, atomically.

    `net` is a serialized caffe.NetParameter (V2): everything in it is written, with the blobs of `weights` in the
    layers of the same name (of equal names, in order). Blobs that it contains itself are omitted.
    Without it the file has only names, types and blobs, which is all that Caffe needs to load it.
    Raises NetcError E406 for blobs that are not floats, E407 for more than protobuf's 2 GB, E408 if the file cannot
    be written, E409 if `weights` does not match `net` or lacks a blob.
    """
    pieces = _bare(weights) if net is None else _merged(weights, net)
    total = sum(map(size_of, pieces))
    if total > MAX_BYTES:
        raise NetcError(
            f"the weights need {total} bytes, but a .caffemodel can hold only {MAX_BYTES}",
            code="E407",
            help="write HDF5 (`.caffemodel.h5`; in a solver `snapshot_format: HDF5`)",
        )
    write_pieces(path, pieces)


def text_bytes(text: str) -> bytes:
    """The bytes of a string in the file: the inverse of `Wire.text`."""
    return text.encode("utf-8", "surrogateescape")


def _v1_layer(wire: Wire, layer: WireField) -> LayerBlobs:
    inner = [f for f in wire.fields(layer.at, layer.end) if f.number == 1 and f.wire == LENGTH]
    return _layer(wire, inner[-1], 1, 2, 50) if inner else _layer(wire, layer, 4, 5, 6)


def _layer(wire: Wire, layer: WireField, name_field: int, type_field: int, blobs_field: int) -> LayerBlobs:
    """The layer in a field, whose name, type and blobs have the given field numbers."""
    wire.keep()
    name = kind = ""
    blobs: list[WireField] = []
    for field in wire.fields(layer.at, layer.end):
        if field.number == name_field:
            name = wire.text(_is(wire, field, "a layer's name"))
        elif field.number == type_field:
            number = field.wire == VARINT and type_field == 5
            kind = _v1_type(field.value) if number else wire.text(_is(wire, field, "a layer's type"))
        elif field.number == blobs_field:
            wire.keep()
            blobs.append(_is(wire, field, "a blob"))
    return LayerBlobs(name, kind, tuple(_blob(wire, field, name, i) for i, field in enumerate(blobs)))


def _blob(wire: Wire, field: WireField, layer: str, index: int) -> BlobArray:
    try:
        return decode_blob(wire, field.at, field.end)
    except NetcError as error:
        raise error.at(None, f"in blob {index} of layer `{layer}`") from None


def _is(wire: Wire, field: WireField, what: str) -> WireField:
    if field.wire != LENGTH:
        wire.fail("E403", f"field {field.number} at byte {field.start} has wire type {field.wire}, not that of {what}")
    return field


def _v1_type(number: int) -> str:
    if number == 0:
        return ""
    return V1_TYPES[number] if number < len(V1_TYPES) else str(number)


def _bare(weights: Weights) -> list[Piece]:
    pieces: list[Piece] = [delimited(1, text_bytes(weights.name))] if weights.name else []
    for layer in weights.layers:
        kind = delimited(2, text_bytes(layer.type)) if layer.type else b""
        pieces += nested(100, [delimited(1, text_bytes(layer.name)), kind, *_blobs_of(layer)])
    return pieces


def _blobs_of(layer: LayerBlobs) -> Iterator[Piece]:
    for index, blob in enumerate(layer.blobs):
        if blob is None:
            raise NetcError(
                f"blob {index} of layer `{layer.name}` is missing: it shares another layer's weights",
                code="E409",
                help="a .caffemodel contains every blob: fill in the shared ones before writing",
            )
        yield from nested(7, encode_blob(blob))


def _merged(weights: Weights, net: bytes) -> list[Piece]:
    """The bytes of the net with the blobs inserted, in the order of the field numbers."""
    wire = Wire(memoryview(net), "the net to write")
    take = _LayersByName(weights.layers)
    pieces: list[Piece] = []
    for field in wire.fields(0, len(net)):
        if field.number == 2:
            raise NetcError("the net to write has V1 layers: upgrade it first", code="E409")
        if field.number == 100:
            pieces += nested(100, _merged_layer(wire, field, take))
        else:
            pieces.append(net[field.start : field.end])
    if left := take.rest():
        names = ", ".join(f"`{name}`" for name in left[:5])
        raise NetcError(f"the net to write lacks {counted(len(left), 'layer')} with blobs: {names}", code="E409")
    return pieces


def _merged_layer(wire: Wire, layer: WireField, take: _LayersByName) -> list[Piece]:
    name, before, after = "", bytearray(), bytearray()
    for field in wire.fields(layer.at, layer.end):
        if field.number == 1:
            name = wire.text(field)
        if field.number != 7:
            (before if field.number < 7 else after).extend(wire.data[field.start : field.end])
    found = take(name)
    return [bytes(before), *(_blobs_of(found) if found else ()), bytes(after)]


class _LayersByName:
    """Returns layers by name, each once; layers of equal names in order."""

    def __init__(self, layers: Sequence[LayerBlobs]) -> None:
        self._remaining: defaultdict[str, deque[LayerBlobs]] = defaultdict(deque)
        for layer in layers:
            self._remaining[layer.name].append(layer)

    def __call__(self, name: str) -> LayerBlobs | None:
        remaining = self._remaining[name]
        return remaining.popleft() if remaining else None

    def rest(self) -> list[str]:
        """The names of layers with blobs that were not requested."""
        return [layer.name for remaining in self._remaining.values() for layer in remaining if layer.blobs]
