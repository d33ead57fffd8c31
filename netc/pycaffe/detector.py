"""Caffe's `Detector`: scores of windows of images, as R-CNN's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from netc.diagnostics import NetcError
from netc.pycaffe.classifier import transformer_of
from netc.pycaffe.io import load_image
from netc.pycaffe.mode import TEST
from netc.pycaffe.net import Net
from netc.pycaffe.resize import resize_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from netc.pycaffe.files import Path

    Array = NDArray[Any]
    Windows = Sequence[Sequence[float]]


class Detector(Net):
    """A net in phase TEST that scores windows of images, each warped to the net's input.

    `context_pad` is the number of pixels on each side of the warped window that show its surroundings; where these are
    outside the image they are the mean. The other arguments are those of `Classifier`. Raises NetcError as `Net` does,
    and E307 for preprocessing that does not match the input.

    Reference: `python/caffe/detector.py` of BVLC's Caffe; Girshick et al., Rich Feature Hierarchies, 2014.
    """

    def __init__(
        self,
        model_file: Path,
        pretrained_file: Path,
        mean: Array | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = transformer_of(self, mean, input_scale, raw_scale, channel_swap)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[Path, Windows]]) -> list[dict[str, Any]]:
        """Score windows (ymin, xmin, ymax, xmax) of image files.

        Returns one dict per window, with `window`, `prediction` (classes) and `filename`.
        """
        named = [(window, file) for file, windows in images_windows for window in np.asarray(windows)]
        images = {file: load_image(file) for _, file in named}
        blob = self.inputs[0]
        items = [self.transformer.preprocess(blob, self.crop(images[file], window)) for window, file in named]
        scores = self.forward_all(None, **{blob: np.stack(items)})[self.outputs[0]] if items else ()
        return [
            {"window": window, "prediction": prediction, "filename": file}
            for (window, file), prediction in zip(named, scores)
        ]

    def detect_selective_search(self, image_fnames: Iterable[Path]) -> NoReturn:
        """Raises NetcError E309: the proposals of selective search come from a MATLAB program that is not included."""
        raise NetcError(
            "selective search is a MATLAB program, which is not included",
            code="E309",
            help="compute windows with another program and pass them to `detect_windows`",
        )

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context of windows, and the image that is shown outside an image: the mean, in the image's terms."""
        blob, settings = self.inputs[0], self.transformer
        channels, height, width = self.blobs[blob].shape[1:]
        self.context_pad = context_pad or 0
        self.crop_dims = np.array([height, width, channels])
        self.crop_mean = np.zeros((height, width, channels), np.float32)
        mean = settings.mean.get(blob)
        if self.context_pad and mean is not None:
            planes = np.broadcast_to(mean, (channels, height, width))
            if blob in settings.channel_swap:
                planes = planes[np.argsort(settings.channel_swap[blob])]
            self.crop_mean = np.asarray(planes.transpose(1, 2, 0) / settings.raw_scale.get(blob, 1), np.float32)

    def crop(self, im: Array, window: Array) -> Array:
        """Return a window of an image (height, width, channels), with its context, in the size of the net's input.

        Without context the window is returned in its own size.
        """
        ymin, xmin, ymax, xmax = (int(one) for one in window)
        if not self.context_pad:
            return im[ymin:ymax, xmin:xmax]
        size = self.crop_dims[:2]
        extents = np.array([ymax - ymin + 1, xmax - xmin + 1]) / 2
        grown = size / (size - 2 * self.context_pad) * extents
        center = np.array([ymin, xmin]) + extents
        low, high = np.rint(center - grown), np.rint(center + grown)
        scale = size / (high - low + 1)
        pad = np.rint(np.maximum(0, -low) * scale).astype(int)
        low, high = (np.clip(one, 0, im.shape[:2]).astype(int) for one in (low, high))
        shown = np.minimum(np.rint((high - low + 1) * scale).astype(int), size - pad)
        result = self.crop_mean.copy()
        part = resize_image(im[low[0] : high[0], low[1] : high[1]], list(shown))
        result[pad[0] : pad[0] + shown[0], pad[1] : pad[1] + shown[1]] = part
        return result
