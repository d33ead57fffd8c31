#!/usr/bin/env python3
"""Create models/finetune/{train,test}_lmdb from the digits of models/lenet, labeled even (0) or odd (1).

usage: make_parity.py [FOLDER]

There are only 100 training images, so that starting from a net trained on digits is worthwhile. The test images are
those of models/lenet, which that net was not trained on either.
"""

import sys
from contextlib import closing
from pathlib import Path

from netc.data.sources.database import DatumRecords
from netc.data.stores.lmdb import LmdbStore
from netc.data.tools.mnist_and_cifar import write_image_lmdb

MODELS = Path(__file__).parent.parent / "models"
TRAIN = 100


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train_lmdb", "test_lmdb"):
        source = MODELS / "lenet" / name
        with closing(DatumRecords(LmdbStore(source, str(source)))) as digits, digits.reading() as read:
            indices = range(TRAIN if name == "train_lmdb" else len(digits))
            records = ((record.image.copy(), record.label % 2) for record in map(read, indices))
            print(f"{folder / name}: {write_image_lmdb(folder / name, records)} records")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else MODELS / "finetune"))
