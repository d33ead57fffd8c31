"""Makes databases as Caffe's tools do: the same keys and the same records, so that Caffe reads them too."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import lmdb
import numpy as np
import numpy.typing as npt

from netc.diagnostics import NetcError
from netc.schema import caffe

Bytes = npt.NDArray[np.uint8]
LIMIT = 1 << 31
"""Bytes that an IDX file may hold once unpacked: MNIST has 47 million, EMNIST 640 million."""
COMMIT = 1000
"""Records a transaction, as in `convert_mnist_data.cpp`."""


def mnist(images_idx: Path | str, labels_idx: Path | str, out_lmdb: Path | str) -> int:
    """Make an LMDB of a pair of IDX files (Yann LeCun's MNIST format), gzipped or not; gives the number of records.

    Keys are eight digits, records are one plane of bytes with a label (`convert_mnist_data.cpp`). The database appears
    whole or not at all. Raises NetcError E510 for files that are no such pair or do not belong together, E511 where the
    output exists or cannot be written.
    """
    pictures, labels = read_idx(images_idx, 3), read_idx(labels_idx, 1)
    if len(pictures) != len(labels):
        raise NetcError(
            f"`{images_idx}` holds {len(pictures)} images, `{labels_idx}` {len(labels)} labels", code="E510"
        )
    write_lmdb(out_lmdb, zip(pictures[:, None], labels.tolist()))
    return len(pictures)


def read_idx(path: Path | str, axes: int) -> Bytes:
    """The bytes of an IDX file of `axes` axes. Raises NetcError E510, E501 where it cannot be read."""
    try:
        with _unpacked(Path(path)) as file:
            return _read_idx(file, str(path), axes)
    except (OSError, EOFError, zlib.error) as error:
        raise NetcError(f"`{path}` cannot be read: {_reason(error)}", code="E501") from None


def _read_idx(file: BinaryIO, name: str, axes: int) -> Bytes:
    magic = 0x800 + axes  # 8 is unsigned bytes; the low byte is the number of axes
    head = file.read(4 + 4 * axes)
    found = int.from_bytes(head[:4], "big")
    if len(head) < 4 + 4 * axes or found != magic:
        kind = "images" if axes == 3 else "labels"
        raise NetcError(f"`{name}` is no IDX file of {kind}: magic number {found}, expected {magic}", code="E510")
    shape = struct.unpack(f">{axes}I", head[4:])
    size = math.prod(shape)
    if size > LIMIT:
        raise NetcError(f"`{name}` claims {size} bytes: more than {LIMIT}", code="E510")
    data = file.read(size + 1)
    if len(data) != size:
        more = "more" if len(data) > size else f"{len(data)}"
        raise NetcError(f"`{name}` claims {size} bytes and holds {more}", code="E510")
    return np.frombuffer(data, np.uint8).reshape(shape)


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not zipped:
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield unpacked


def write_lmdb(out: Path | str, records: Iterable[tuple[Bytes, int]]) -> int:
    """Write planes (c, h, w) of bytes and labels under keys of eight digits, compactly; gives their number.

    The folder `out` appears when all is written. Raises NetcError E511 where it exists or cannot be written.
    """
    out = Path(out)
    if out.exists():
        raise NetcError(f"`{out}` exists", code="E511", help="remove it, or choose another name")
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise NetcError(f"`{out}` cannot be written: {_reason(error)}", code="E511") from None
    try:
        count = _write(work / "loose", records)
        _compact(work / "loose", work / "compact")
        os.rename(work / "compact", out)
    except (OSError, lmdb.Error) as error:
        raise NetcError(f"`{out}` cannot be written: {_reason(error)}", code="E511") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return count


def datum(image: Bytes, label: int) -> bytes:
    """One record: planes (c, h, w) and a label."""
    channels, height, width = image.shape
    message = caffe.Datum(channels=channels, height=height, width=width, data=image.tobytes(), label=label)
    return message.SerializeToString(deterministic=True)


def _write(path: Path, records: Iterable[tuple[Bytes, int]]) -> int:
    count, batch = 0, []
    with lmdb.open(str(path), map_size=1 << 40, sync=False, metasync=False) as environment:
        for image, label in records:
            batch.append((b"%08d" % count, datum(image, label)))
            count += 1
            if len(batch) == COMMIT:
                _put(environment, batch)
                batch = []
        _put(environment, batch)
        environment.sync(True)
    return count


def _put(environment: Any, batch: list[tuple[bytes, bytes]]) -> None:
    with environment.begin(write=True) as transaction:
        for key, value in batch:
            transaction.put(key, value, append=True)


def _compact(source: Path, target: Path) -> None:
    """Copy without free pages, and without the lock file."""
    target.mkdir(mode=0o755)
    with lmdb.open(str(source), readonly=True, lock=False) as environment:
        environment.copy(str(target), compact=True)


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
