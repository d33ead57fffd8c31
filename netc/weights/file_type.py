"""Determines the type of a file from its content, not from its name."""

from __future__ import annotations

import mmap
import os

from netc.diagnostics import NetcError
from netc.files import open_regular, reason_of
from netc.weights.caffe2_type import caffe2_message
from netc.weights.minidb import is_minidb
from netc.weights.wire import FIXED32, LENGTH, VARINT, Wire

MAGIC = {
    b"\x89HDF\r\n\x1a\n": "hdf5",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gzip",
    b"BZh": "archive",
    b"\xfd7zXZ\x00": "archive",
    b"7z\xbc\xaf\x27\x1c": "archive",
    b"\x28\xb5\x2f\xfd": "archive",
    b"version https://git-lfs.github.com/spec/": "lfs",
    b"\x93NUMPY": "npy",
    b"\x80\x02": "pickle",
    b"\x80\x03": "pickle",
    b"\x80\x04": "pickle",
    b"\x80\x05": "pickle",
}
NAMES = {
    "hdf5": "an HDF5 file",
    "zip": "a zip archive",
    "gzip": "a gzip archive",
    "archive": "a compressed archive",
    "npy": "a NumPy array",
    "npz": "a .npz file of NumPy arrays",
    "torch": "a PyTorch file",
    "pickle": "a Python pickle",
    "safetensors": "a safetensors file",
    "onnx": "an ONNX model",
    "html": "an HTML or XML page",
    "lfs": "a Git LFS pointer",
    "text": "a text file",
    "prototxt": "a prototxt",
    "caffemodel": "a Caffe weight file",
    "solverstate": "a Caffe solver state",
    "blob": "a single blob, such as a mean file",
    "caffe2": "a Caffe2 net",
    "caffe2_plan": "a Caffe2 plan",
    "meta_net": "a Caffe2 MetaNetDef",
    "minidb": "a Caffe2 minidb database",
    "tensor_blob": "a Caffe2 blob",
    "tensors": "a file of Caffe2 tensors",
    "tensor": "a Caffe2 tensor",
}
HELP = {
    "zip": "unpack it, or convert it with the program that wrote it",
    "gzip": "unpack it with gunzip",
    "archive": "unpack it",
    "html": "the server returned a page, such as an error or a login: download the file itself",
    "lfs": "fetch the file with `git lfs pull`",
    "text": "a prototxt contains no weights: pass the .caffemodel",
    "solverstate": "the weights are in the .caffemodel of the same snapshot",
}
CAFFE2_BLOBS = ("minidb", "tensor_blob", "tensors", "tensor")
"""Files of Caffe2's named tensors; a minidb may contain nets too."""
STATE_DICTS = ("safetensors", "torch", "npz", "pickle")
"""Files of named tensors."""
_PAGE = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")
_NET = {(1, LENGTH), (3, LENGTH), (4, VARINT), (5, VARINT), (6, LENGTH), (7, VARINT), (8, LENGTH)}
"""NetParameter's fields other than layers, with their wire types."""
_EXAMINED = 64
"""Number of fields at the start of a file that determine its type."""


def map_file(path: str | os.PathLike[str]) -> memoryview:
    """The bytes of a file as a memory map: pages are read on first access.

    Raises NetcError E401 for a file that does not exist, cannot be opened, or is empty.
    """
    name = os.fspath(path)
    try:
        with open_regular(name) as file:
            if not os.fstat(file.fileno()).st_size:
                raise OSError(0, "the file is empty")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:  # ValueError: mmap's, if it has just become empty
        missing = isinstance(error, FileNotFoundError)
        raise NetcError(f"cannot read `{name}`: {reason_of(error)}", code="E401", missing=missing) from error


def content(data: memoryview) -> str:
    """The type of the content: a key of NAMES, or `unknown`."""
    for magic, name in MAGIC.items():
        if data[: len(magic)] == magic:
            return _archive(data) if name == "zip" else name
    head = bytes(data[:1024]).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(_PAGE):
        return "html"
    if _is_safetensors(data):
        return "safetensors"
    if is_minidb(data):
        return "minidb"
    seen, whole = _top_level(data)
    if not (whole and seen <= _NET) and _is_text(data):
        return "text"
    return _message(data, seen) or ("caffemodel" if whole and seen <= _NET else "unknown")


def expect(data: memoryview, name: str, *wanted: str) -> str:
    """The type of the content: one of `wanted`, or `unknown`. Raises NetcError E402 for any other type."""
    found = content(data)
    if found in wanted or found == "unknown":
        return found
    raise wrong_type(name, found, wanted[0])


def wrong_type(name: str, found: str, wanted: str) -> NetcError:
    """The error E402 for a file of another type."""
    return NetcError(f"`{name}` is {NAMES[found]}, not {NAMES[wanted]}", code="E402", help=HELP.get(found))


def _is_safetensors(data: memoryview) -> bool:
    """Whether a JSON object of the length in the first 8 bytes follows; the file may be truncated."""
    length, rest = int.from_bytes(data[:8], "little"), len(data) - 8
    if rest < 2 or data[8] != ord("{"):
        return False
    return length <= rest or (length < 1 << 27 and data[9] == ord('"'))


def _archive(data: memoryview) -> str:
    """The program that wrote a zip archive, by the name of its first file."""
    length = int.from_bytes(data[26:28], "little") if len(data) > 30 else 0
    name = bytes(data[30 : 30 + length])
    return "torch" if name.endswith(b"data.pkl") else "npz" if name.endswith(b".npy") else "zip"


def _top_level(data: memoryview) -> tuple[set[tuple[int, int]], bool]:
    """Number and wire type of the first fields, and whether all of these are valid."""
    seen: set[tuple[int, int]] = set()
    try:
        for count, field in enumerate(Wire(data, "").fields(0, len(data))):
            seen.add((field.number, field.wire))
            if count >= _EXAMINED:
                break
    except NetcError:
        return seen, False
    return seen, True


def _message(data: memoryview, seen: set[tuple[int, int]]) -> str | None:
    if (100, LENGTH) in seen:
        return "caffemodel"
    if {(1, VARINT), (7, LENGTH), (8, LENGTH)} <= seen:
        return "onnx"
    if found := caffe2_message(data, seen):
        return found
    if (1, VARINT) in seen and seen & {(2, LENGTH), (3, LENGTH)}:
        return "solverstate"
    if (5, LENGTH) in seen or (5, FIXED32) in seen or {(1, VARINT), (2, VARINT)} <= seen:
        return "blob"
    if (1, VARINT) in seen:
        return "solverstate" if (4, VARINT) in seen else None
    if (2, LENGTH) in seen:
        return "caffemodel"
    return None


def _is_text(data: memoryview) -> bool:
    """Whether the first 4096 bytes are UTF-8 without control characters other than white space."""
    head = bytes(data[:4096])
    for cut in range(4):  # the last character may be cut
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return all(character.isprintable() or character in "\t\n\r\f\ufeff" for character in text)
    return False
