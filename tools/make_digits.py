#!/usr/bin/env python3
"""Create models/lenet/{train,test}_lmdb: scikit-learn's 1797 handwritten digits, in the format of Caffe's MNIST.

usage: make_digits.py [FOLDER]

The digits (UCI Optical Recognition of Handwritten Digits, test part, CC BY 4.0) are 8x8 with 17 gray levels; they are
enlarged to 28x28 bytes. A fixed shuffle selects 1437 for training and 360 for tests. The output is reproducible.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from sklearn.datasets import load_digits

from netc.data.tools.mnist_and_cifar import write_image_lmdb

TRAIN = 1437


def enlarged(digit: np.ndarray) -> np.ndarray:
    """8x8 of 0 to 16 as one plane of 28x28 of 0 to 255."""
    smooth = cv2.resize(digit.astype(np.float32), (28, 28), interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(smooth * (255 / 16)), 0, 255).astype(np.uint8)[None]


def main(folder: Path) -> None:
    digits = load_digits()
    order = np.random.Generator(np.random.Philox(1797)).permutation(len(digits.images))
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in (("train_lmdb", order[:TRAIN]), ("test_lmdb", order[TRAIN:])):
        count = write_image_lmdb(folder / name, ((enlarged(digits.images[i]), int(digits.target[i])) for i in part))
        print(f"{folder / name}: {count} records, {(folder / name / 'data.mdb').stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "models" / "lenet"))
