"""Decoding, reading, resizing and copying images with OpenCV, as Caffe does (`io.cpp`), so that pixels agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from netc.data.image_header import check_declared, check_size
from netc.diagnostics import NetcError
from netc.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Image = npt.NDArray[Any]
"""Planes (c, h, w) in B, G, R order, uint8 or float32; any strides."""

IMREAD_UNCHANGED, IMREAD_GRAYSCALE, IMREAD_COLOR = -1, 0, 1
"""OpenCV's flags under its names, so that a query for the shape of a record need not import it."""
LARGEST = 1 << 30
"""Bytes of the largest image file."""


def flags(color: bool, gray: bool) -> int:
    """The flag for decoding. Raises NetcError E505 if both are set."""
    if color and gray:
        raise NetcError(
            "`force_color` and `force_gray` exclude each other", code="E505", field="transform_param.force_gray"
        )
    return IMREAD_COLOR if color else IMREAD_GRAYSCALE if gray else IMREAD_UNCHANGED


def decode(data: memoryview, flag: int) -> Image:
    """The planes of a compressed image (JPEG, PNG, ...).

    Raises ValueError for bytes that OpenCV cannot decode, an image that ends early (OpenCV would fill the rest
    with gray), one of more pixels than the limit, and one of more than 8 bits per channel, which Caffe refuses.
    """
    image = _decoded(data, flag)
    if image.dtype != np.uint8:
        raise ValueError(f"the image has {image.dtype} pixels, not 8 bits a channel")
    return planes(image)


def decode_deep(data: memoryview) -> Image:
    """The plane (1, h, w) of a gray image of 8 or 16 bits, such as depths. Raises ValueError as `decode` does."""
    image = planes(_decoded(data, IMREAD_UNCHANGED))
    if len(image) > 1 or image.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"the image has {len(image)} channels of {image.dtype}, expected gray of 8 or 16 bits")
    return image


def _decoded(data: memoryview, flag: int) -> Image:
    """OpenCV's image."""
    import cv2

    if not data:
        raise ValueError("cannot decode an image of 0 bytes")
    check_declared(data)
    if truncated(data):
        raise ValueError(f"the image of {len(data)} bytes ends early")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot decode the image of {len(data)} bytes: {error.err}") from None
    except MemoryError:
        raise ValueError(f"decoding the image of {len(data)} bytes takes more memory than there is") from None
    if image is None:
        raise ValueError(f"OpenCV cannot decode the image of {len(data)} bytes")
    return image


def encode(image: Image, kind: str) -> bytes:
    """Compress planes as `png`, `jpg`, ... with OpenCV's default settings. Raises ValueError if that fails."""
    import cv2

    try:
        done, packed = cv2.imencode(f".{kind}", image.transpose(1, 2, 0))
    except cv2.error as error:
        raise ValueError(f"OpenCV cannot compress it as `{kind}`: {error.err}") from None
    if not done:
        raise ValueError(f"OpenCV cannot compress it as `{kind}`")
    return bytes(packed)


def read(paths: Iterable[Path]) -> bytes:
    """The bytes of the first of these files that exists. Raises OSError if none can be read."""
    missing: OSError | None = None
    for path in paths:
        try:
            return read_bytes(path, LARGEST)
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = missing or error
    assert missing is not None
    raise missing


def resize(image: Image, size: tuple[int, int] | None, cubic: bool = False) -> Image:
    """Resize bilinearly, or bicubically, to (height, width); None keeps the size (`io.cpp`, ReadImageToCVMat).

    Raises ValueError for a size beyond the limit.
    """
    import cv2

    if size is None or image.shape[1:] == size:
        return image
    check_size(*size)
    mode = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return planes(cv2.resize(image.transpose(1, 2, 0), (size[1], size[0]), interpolation=mode))


def planes(image: Image) -> Image:
    """OpenCV's (h, w) or (h, w, c) as a view (c, h, w)."""
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def copy(target: Image, image: Image, mirror: bool = False) -> None:
    """Copy planes into contiguous ones of the same type, optionally flipped horizontally.

    Interleaved images are split by OpenCV, which is many times faster than a strided copy.
    """
    if interleaved(image) and len(image) == 3:
        import cv2

        cv2.split(image.transpose(1, 2, 0), [target[0], target[1], target[2]])
    else:
        np.copyto(target, image)
    if mirror:
        flip(target)


def flip(image: Image) -> None:
    """Flip contiguous planes horizontally, in place."""
    import cv2

    rows = image.reshape(-1, image.shape[2])
    cv2.flip(rows, 1, rows)


def interleaved(image: Image) -> bool:
    """Whether the channels of a pixel are adjacent in memory, as in OpenCV."""
    return len(image) > 1 and image.strides[0] == image.itemsize and image.shape[2] > 1


def truncated(data: Any) -> bool:
    """Whether a JPEG or PNG lacks its end.

    An end marker inside the headers (a thumbnail's) does not count; in the entropy-coded part 0xff is always escaped.
    """
    if data[:2] == b"\xff\xd8":
        return data[-2:] != b"\xff\xd9" and bytes(data).rfind(b"\xff\xd9") < _scan(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return b"IEND" not in bytes(data[-64:]) and b"IEND" not in bytes(data)
    return False


def _scan(data: Any) -> int:
    """The offset of a JPEG's first scan; the size of the data if it has none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:
            return at
        at += 2 + (data[at + 2] << 8 | data[at + 3])
    return len(data)
