"""Caffe's `Classifier`: a net with its preprocessing, for images as arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from netc.pycaffe.io import oversample as ten_crops
from netc.pycaffe.mode import TEST
from netc.pycaffe.net import Net
from netc.pycaffe.resize import resize_image
from netc.pycaffe.transformer import Transformer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from netc.pycaffe.files import Path

    Array = NDArray[Any]


class Classifier(Net):
    """A net in phase TEST that scores images (height, width, channels), as `Net` with a `transformer`.

    `image_dims` is (height, width) to which images are resized before they are cropped to the net's input; by default
    the size of the input. `mean`, `input_scale`, `raw_scale` and `channel_swap` are as for `Transformer`. Raises
    NetcError as `Net` does, and E307 for preprocessing that does not match the input.

    Reference: `python/caffe/classifier.py` of BVLC's Caffe.
    """

    def __init__(
        self,
        model_file: Path,
        pretrained_file: Path,
        image_dims: Sequence[int] | None = None,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        """Height and width of the net's input."""
        self.image_dims = self.crop_dims if image_dims is None else np.array(image_dims)
        """Height and width to which images are resized."""

    def predict(self, inputs: Sequence[Array], oversample: bool = True) -> Array:
        """Return scores (images, classes), the mean over ten crops, or those of the center crop.

        `inputs` are images (height, width, channels) of any size.
        """
        images = np.stack([resize_image(np.asarray(image), list(self.image_dims)) for image in inputs])
        crops = ten_crops(images, list(self.crop_dims)) if oversample else self._centers(images)
        blob = self.inputs[0]
        items = np.stack([self.transformer.preprocess(blob, crop) for crop in crops])
        scores = self.forward_all(None, **{blob: items})[self.outputs[0]]
        return scores.reshape(len(images), 10, -1).mean(1) if oversample else scores

    def _centers(self, images: Array) -> Array:
        start = ((self.image_dims - self.crop_dims) / 2).astype(int)
        height, width = self.crop_dims
        return images[:, start[0] : start[0] + height, start[1] : start[1] + width]


def transformer_of(
    net: Net,
    mean: Array | None,
    input_scale: float | None,
    raw_scale: float | None,
    channel_swap: Sequence[int] | None,
) -> Transformer:
    """Return the transformer of a net's first input for images (height, width, channels).

    Raises NetcError E307 for settings that do not match the input.
    """
    blob = net.inputs[0]
    shapes: Mapping[str, Sequence[int]] = {blob: net.blobs[blob].shape}
    transformer = Transformer(shapes)
    transformer.set_transpose(blob, (2, 0, 1))
    if mean is not None:
        transformer.set_mean(blob, mean)
    if input_scale is not None:
        transformer.set_input_scale(blob, input_scale)
    if raw_scale is not None:
        transformer.set_raw_scale(blob, raw_scale)
    if channel_swap is not None:
        transformer.set_channel_swap(blob, channel_swap)
    return transformer
