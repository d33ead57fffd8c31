#!/usr/bin/env python3
"""Write the prototxts of models/ (except models/lenet, which is written by hand) from their descriptions.

usage: generate_models.py [--check]

A net's deploy.prototxt and train_val.prototxt come from one description in tools/model_zoo, so that they agree.
With --check nothing is written, and the exit status is 1 if a file is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from model_zoo import alexnet, cifar, fcn, googlenet, inception, resnet, segnet, squeezenet, ssd300, ssd_shapes, vgg

MODELS = Path(__file__).parent.parent / "models"


def files() -> dict[str, str]:
    """Every file's text by its path under models/."""
    return {
        path: text
        for family in (alexnet, cifar, fcn, googlenet, inception, resnet, segnet, squeezenet, ssd300, ssd_shapes, vgg)
        for path, text in family.files().items()
    }


def stale() -> list[str]:
    """Paths of files that are missing or differ."""
    return [
        path for path, text in files().items() if not (MODELS / path).exists() or (MODELS / path).read_text() != text
    ]


def main(arguments: list[str]) -> int:
    """Run the command line."""
    old = stale()
    for path in old:
        print(f"stale: models/{path}" if "--check" in arguments else f"models/{path}")
        if "--check" not in arguments:
            (MODELS / path).parent.mkdir(parents=True, exist_ok=True)
            (MODELS / path).write_text(files()[path])
    return int("--check" in arguments and bool(old))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
