"""Images and messages as arrays: Caffe's `caffe.io`, on OpenCV."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import NetcError
from netc.files import read_bytes, reason_of
from netc.ir.dims import text
from netc.pycaffe.proto import caffe_pb2
from netc.pycaffe.resize import resize_image
from netc.pycaffe.transformer import Transformer
from netc.schema import Message, caffe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from netc.pycaffe.files import Path

Array = NDArray[Any]

__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]

_LUMINANCE = np.array([0.2125, 0.7154, 0.0721], np.float32)
"""Weights of red, green and blue in gray (ITU-R BT.709)."""


def load_image(filename: Path, color: bool = True) -> NDArray[np.float32]:
    """An image file as float32 (h, w, 3), RGB from 0 to 1; with `color=False` as (h, w, 1), gray.

    The alpha channel is dropped. Raises NetcError E308, also an OSError, for a file that does not exist or that OpenCV
    cannot read.
    """
    name = os.fsdecode(filename)
    try:
        data = np.frombuffer(read_bytes(name), np.uint8)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise NetcError(f"cannot read `{name}`: {reason_of(error)}", code="E308", missing=missing) from None
    image: Array | None = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if image is None:
        raise NetcError(f"cannot read `{name}` as an image", code="E308")
    scale = np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1
    planes = np.atleast_3d(np.asarray(image, np.float32) / np.float32(scale))
    if planes.shape[2] == 1:
        return np.repeat(planes, 3, axis=2) if color else planes
    rgb = np.ascontiguousarray(planes[:, :, 2::-1], np.float32)
    return rgb if color else np.asarray(rgb @ _LUMINANCE, np.float32)[:, :, np.newaxis]


def oversample(images: Iterable[Array], crop_dims: Sequence[int]) -> NDArray[np.float32]:
    """Ten crops of each image (h, w, k): the four corners and the center, then the same mirrored.

    `crop_dims` is (height, width); the result is (10 n, height, width, k).
    """
    height, width = crop_dims
    crops = []
    for image in images:
        rows, columns = image.shape[0] - height, image.shape[1] - width
        corners = [(y, x) for y in (0, rows) for x in (0, columns)]
        five = [image[y : y + height, x : x + width] for y, x in [*corners, (rows // 2, columns // 2)]]
        crops += [*five, *(crop[:, ::-1] for crop in five)]
    return np.array(crops, np.float32)


# ---------------------------------------------------------------------- messages


def blobproto_to_array(blob: Message, return_diff: bool = False) -> Array:
    """The values of a BlobProto, or their gradient, in its shape (four extents, or those of `shape`)."""
    message: Any = blob
    values = np.array(message.diff if return_diff else message.data, np.float32)
    if (
        message.HasField("num")
        or message.HasField("channels")
        or message.HasField("height")
        or message.HasField("width")
    ):
        return values.reshape(message.num, message.channels, message.height, message.width)
    return values.reshape(tuple(message.shape.dim))


def array_to_blobproto(array: Array, diff: Array | None = None) -> caffe.BlobProto:
    """A BlobProto of an array of any number of axes, with its gradient if given.

    Raises NetcError E307 for a gradient of another shape.
    """
    blob = caffe.BlobProto()
    blob.shape.dim.extend(array.shape)
    blob.data.extend(array.astype(float).flat)
    if diff is not None:
        if diff.shape != array.shape:
            raise NetcError(f"expected a diff of shape {text(array.shape)}, got {text(diff.shape)}", code="E307")
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """The bytes of a BlobProtoVector of several arrays."""
    vector = caffe.BlobProtoVector()
    for array in arraylist:
        vector.blobs.add().CopyFrom(array_to_blobproto(array))
    return vector.SerializeToString()


def blobprotovector_str_to_arraylist(data: bytes) -> list[Array]:
    """The arrays in the bytes of a BlobProtoVector."""
    return [blobproto_to_array(blob) for blob in caffe.BlobProtoVector.FromString(data).blobs]


def array_to_datum(array: Array, label: int | None = None) -> caffe.Datum:
    """A Datum of an array (channels, height, width): uint8 as bytes, anything else as floats.

    Raises NetcError E307 for another number of axes.
    """
    if array.ndim != 3:
        raise NetcError(f"expected an array of 3 axes, got shape {text(array.shape)}", code="E307")
    datum = caffe.Datum(channels=array.shape[0], height=array.shape[1], width=array.shape[2])
    if array.dtype == np.uint8:
        datum.data = array.tobytes()
    else:
        datum.float_data.extend(array.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Message) -> Array:
    """The array (channels, height, width) of a Datum that is not encoded: uint8 from bytes, else float."""
    message: Any = datum
    if len(message.data):
        values: Array = np.frombuffer(message.data, np.uint8)
    else:
        values = np.array(message.float_data, float)
    return values.reshape(message.channels, message.height, message.width)
