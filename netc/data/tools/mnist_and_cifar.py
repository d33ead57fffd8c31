"""Creates databases from the files of MNIST and CIFAR-10, with the keys and records of Caffe's examples."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netc.data.sources.datum import write_datum
from netc.data.stores.writers import checked_target, new_database
from netc.data.tools.idx import Bytes, read_idx
from netc.data.tools.progress import Progress, no_progress
from netc.diagnostics import NetcError, counted
from netc.files import read_bytes, reason_of

if TYPE_CHECKING:
    from collections.abc import Iterable

CIFAR_SHAPE = (3, 32, 32)
CIFAR_RECORD = 1 + 3 * 32 * 32
"""Bytes of a label and an image (README of the binary version)."""
CIFAR_FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}


def mnist(
    images_idx: Path | str,
    labels_idx: Path | str,
    out: Path | str,
    backend: str = "lmdb",
    progress: Progress = no_progress,
) -> int:
    """Create a database from a pair of IDX files (the format of MNIST), gzipped or not; returns the number of records.

    Keys are eight digits, records are one plane of bytes with a label (`convert_mnist_data.cpp`). The database appears
    when it is complete. Raises NetcError E510 for files that are not such a pair or do not belong together, E511 if the
    output exists or cannot be written.
    """
    checked_target(out, backend)
    images, labels = read_idx(images_idx, 3), read_idx(labels_idx, 1)
    if len(images) != len(labels):
        raise NetcError(
            f"`{images_idx}` holds {counted(len(images), 'image')}, `{labels_idx}` {counted(len(labels), 'label')}",
            code="E510",
        )
    return write_image_database(
        out, zip(images[:, None], labels.tolist()), backend, progress=progress, total=len(labels)
    )


def cifar10(
    folder: Path | str, out_folder: Path | str, backend: str = "lmdb", progress: Progress = no_progress
) -> dict[str, int]:
    """Create `cifar10_train_lmdb` and `cifar10_test_lmdb` from CIFAR-10's binary version; returns their record counts.

    Keys are five digits, records are three planes of bytes, red first as in the files, with a label
    (`convert_cifar_data.cpp`). Raises NetcError E501 for a file that is missing, E510 for one with an incomplete
    record or a label outside 0 to 9, E511 if an output exists or cannot be written.
    """
    outputs = {part: Path(out_folder) / f"cifar10_{part}_{backend}" for part in CIFAR_FILES}
    for target in outputs.values():
        checked_target(target, backend)
    parts = {part: [_cifar_batch(Path(folder) / name) for name in names] for part, names in CIFAR_FILES.items()}
    counts = {}
    for part, batches in parts.items():
        rows = np.concatenate(batches)
        records = zip(rows[:, 1:].reshape(-1, *CIFAR_SHAPE), rows[:, 0].tolist())
        counts[part] = write_image_database(
            outputs[part], records, backend, digits=5, progress=progress, total=len(rows)
        )
    return counts


def _cifar_batch(path: Path) -> Bytes:
    """Records of one file (n, 3073)."""
    try:
        data = np.frombuffer(read_bytes(path), np.uint8)
    except OSError as error:
        raise NetcError(f"`{path}` cannot be read: {reason_of(error)}", code="E501") from None
    if not len(data) or len(data) % CIFAR_RECORD:
        raise NetcError(f"`{path}` holds {len(data)} bytes, not a multiple of {CIFAR_RECORD}", code="E510")
    rows = data.reshape(-1, CIFAR_RECORD)
    if rows[:, 0].max() > 9:
        bad = int(np.argmax(rows[:, 0] > 9))
        raise NetcError(f"record {bad} of `{path}` has label {rows[bad, 0]}: expected 0 to 9", code="E510")
    return rows


def write_image_lmdb(out: Path | str, records: Iterable[tuple[Bytes, int]]) -> int:
    """Write planes (c, h, w) of bytes and labels under keys of eight digits into an LMDB; returns their number.

    The directory `out` appears when it is complete. Raises NetcError E511 if it exists or cannot be written.
    """
    return write_image_database(out, records)


def write_image_database(
    out: Path | str,
    records: Iterable[tuple[Bytes, int]],
    backend: str = "lmdb",
    *,
    digits: int = 8,
    progress: Progress = no_progress,
    total: int = 0,
) -> int:
    """As `write_image_lmdb`, for any backend, with keys of `digits` digits."""
    count = 0
    with new_database(out, backend) as put:
        for image, label in records:
            channels, height, width = image.shape
            put(b"%0*d" % (digits, count), write_datum((channels, height, width), image.tobytes(), label))
            count += 1
            progress(count, total)
    return count
