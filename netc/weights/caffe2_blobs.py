"""Files of Caffe2's tensors: minidb databases, and the messages TensorProtos, TensorProto and BlobProto.

A database has a record of the key `name#%<number>` for each chunk of a tensor, or of its name alone; the value is a
BlobProto:

    1 name   2 type ("Tensor", "std::string")   3 tensor   4 content   5 qtensor

Nothing tells parameters from other blobs: each is returned as a layer of its name with one blob. Strings are left out.
Source: `load_save_op.h`, `blob_serialization.cc`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from netc.diagnostics import NetcError
from netc.weights.blobs import BlobArray, LayerBlobs, Weights
from netc.weights.file_type import map_file
from netc.weights.minidb import META, records
from netc.weights.tensor_proto import Segment, decode_segment, joined
from netc.weights.wire import LENGTH, Wire, WireField

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK = "#%"
"""What separates the name of a tensor from the number of the chunk."""


def read_caffe2_blobs(path: str | os.PathLike[str], kind: str) -> Weights:
    """The tensors of a file whose content (`file_type.content`) is `kind`.

    Floats are views of the file, except those of tensors in chunks. Raises NetcError E401, E403 to E406.
    """
    wire = Wire(map_file(path), os.fspath(path))
    found: dict[str, list[Segment]] = {}
    for name, segment in _segments(wire, kind):
        wire.keep()
        found.setdefault(name, []).append(segment)
    arrays = ((name, joined(wire, name, segments)) for name, segments in found.items())
    return Weights(tuple(LayerBlobs(name, "Tensor", (BlobArray(array),)) for name, array in arrays))


def _segments(wire: Wire, kind: str) -> Iterator[tuple[str, Segment]]:
    """The segments of tensors in a file, each with the name of its tensor."""
    if kind == "minidb":
        for record in records(wire):
            segment = None if record.key == META else _blob(wire, record.at, record.end, record.key)
            if segment is not None:
                yield record.key.split(CHUNK, 1)[0], segment
        return
    size = len(wire.data)
    for start, end in _messages(wire) if kind == "tensors" else ((0, size),):
        if kind == "tensor_blob":
            name = _name(wire)
            found = _blob(wire, start, end, name)
        else:
            found = decode_segment(wire, start, end)
            name = found.name if found else ""
        if found is not None:
            yield name, found


def _messages(wire: Wire) -> Iterator[tuple[int, int]]:
    for field in wire.fields(0, len(wire.data)):
        if field.number == 1:
            _is(wire, field)
            yield field.at, field.end


def _blob(wire: Wire, start: int, end: int, key: str) -> Segment | None:
    """The tensor in a BlobProto; None for a string. Raises NetcError E406 for a quantized tensor."""
    tensor: WireField | None = None
    kind = ""
    for field in wire.fields(start, end):
        if field.number == 2:
            kind = wire.text(_is(wire, field))
        elif field.number == 3:
            tensor = _is(wire, field)
        elif field.number == 5:
            wire.fail("E406", f"the blob `{key}` at byte {start} is a quantized tensor, which netc does not read")
    if tensor is None:
        return None
    try:
        return decode_segment(wire, tensor.at, tensor.end)
    except NetcError as error:
        raise error.at(None, f"in the blob `{key}` of type `{kind}`") from None


def _name(wire: Wire) -> str:
    """The name of the only blob of a file."""
    names = [wire.text(field) for field in wire.fields(0, len(wire.data)) if field[:2] == (1, LENGTH)]
    return names[-1] if names else ""


def _is(wire: Wire, field: WireField) -> WireField:
    if field.wire != LENGTH:
        wire.fail("E403", f"field {field.number} at byte {field.start} is not a message, as it is in a Caffe2 file")
    return field
