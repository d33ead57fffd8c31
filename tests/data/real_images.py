"""Image files to make databases of: scikit-learn's two photographs, cut up, and its digits."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np


@functools.cache
def photographs() -> dict[str, np.ndarray]:
    """The two as blue, green, red."""
    from sklearn import datasets

    folder = Path(datasets.__file__).parent / "images"
    return {name: cv2.imread(str(folder / f"{name}.jpg")) for name in ("china", "flower")}


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """60 images (n, 8, 8) of 0 to 16 times 15, and what they show."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images[:60] * 15).astype(np.uint8), found.target[:60]


def write_class_folders(folder: Path) -> list[tuple[str, int, np.ndarray]]:
    """`china/` and `flower/` with images of several sizes and kinds; paths, labels and what PNGs hold."""
    written = []
    for label, (name, photograph) in enumerate(photographs().items()):
        (folder / name).mkdir(parents=True)
        for i in range(5):
            part = np.ascontiguousarray(photograph[30 * i : 130 + 37 * i, 50 * i : 170 + 61 * i])
            path = f"{name}/{i}.{'png' if i % 2 else 'jpg'}"
            assert cv2.imwrite(str(folder / path), part)
            written.append((path, label, part))
    return written


def write_list(path: Path, entries: list[tuple[str, int, np.ndarray]]) -> Path:
    path.write_text("".join(f"{name} {label}\n" for name, label, _ in entries))
    return path
