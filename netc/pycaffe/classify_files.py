"""Scores of the images in a file or a folder, as Caffe's classify.py computes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netc.diagnostics import NetcError
from netc.files import is_folder
from netc.ir.dims import text
from netc.pycaffe.classifier import Classifier
from netc.pycaffe.io import load_image
from netc.weights.numpy_file import read_npy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[Any]

IMAGES_DIM = (256, 256)
RAW_SCALE = 255.0
CHANNEL_SWAP = (2, 1, 0)
EXTENSION = "jpg"
"""Defaults of classify.py."""


def classify_files(
    input_file: str,
    model: str,
    weights: Sequence[str],
    *,
    images_dim: Sequence[int] = IMAGES_DIM,
    mean: Array | None = None,
    input_scale: float | None = None,
    raw_scale: float = RAW_SCALE,
    channel_swap: Sequence[int] | None = CHANNEL_SWAP,
    ext: str = EXTENSION,
    center_only: bool = False,
) -> Array:
    """Return the scores (images, classes) of an image, of the images in a folder, or of those in a .npy file.

    Images are resized to `images_dim`, and the scores are the mean over ten crops, or those of the center crop. `mean`,
    `input_scale`, `raw_scale` and `channel_swap` are those of `Transformer`, with a mean image reduced to the mean of
    each channel. Images in a .npy file are (n, h, w, channels), RGB from 0 to 1. Those in a folder are sorted by name.
    Raises NetcError E308 for images that cannot be read, E307 for settings that do not match the net's input, and as
    `Classifier` and `read_npy` do.

    Reference: `python/classify.py` of BVLC's Caffe.
    """
    images = _images(str(Path(input_file).expanduser()), ext)
    first, *rest = weights or (model,)
    means = None if mean is None else mean.reshape(len(mean), -1).mean(1)
    classifier = Classifier(model, first, images_dim, means, input_scale, raw_scale, channel_swap)
    for file in rest:
        classifier.copy_from(file)
    return classifier.predict(images, oversample=not center_only)


def images_in(folder: str | Path, ext: str) -> list[str]:
    """The files in a folder with an extension, sorted. Raises NetcError E308 if there is none."""
    suffix = "." + ext.removeprefix(".")
    found = sorted(str(file) for file in Path(folder).iterdir() if file.name.endswith(suffix))
    if not found:
        raise NetcError(f"no file in `{folder}` ends in `{suffix}`", code="E308", help="`--ext` names the extension")
    return found


def _images(input_file: str, ext: str) -> Sequence[Array]:
    if input_file.endswith("npy"):
        arrays: Array = read_npy(input_file)
        if arrays.ndim != 4:
            shape = text(arrays.shape)
            raise NetcError(
                f"expected images (n, h, w, k) in `{input_file}`, got an array of shape {shape}", code="E308"
            )
        return list(np.asarray(arrays, np.float32))
    files = images_in(input_file, ext) if is_folder(input_file) else [input_file]
    return [load_image(file) for file in files]
