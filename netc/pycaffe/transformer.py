"""Converts images from the layout of Python programs to the input of a net, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netc.diagnostics import NetcError, counted
from netc.ir.dims import text
from netc.pycaffe.resize import resize_image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array = NDArray[Any]


class Transformer:
    """Converts images to the layout of a net's inputs.

    In this order: float32; resized to the input's height and width; axes transposed (`set_transpose`), channels
    swapped (`set_channel_swap`), times `raw_scale`, minus `mean`, times `input_scale`. Unset steps are skipped.
    `inputs` are shapes (n, c, h, w) by blob: `{"data": net.blobs["data"].shape}`. Raises NetcError E307 for a blob
    that is not among them and for settings that do not match its shape.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, tuple[int, ...]] = {}
        self.channel_swap: dict[str, tuple[int, ...]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: Array) -> NDArray[np.float32]:
        """An image (h, w, k) as one item of input `in_`; `data` is not changed."""
        height_width = self._shape(in_)[2:]
        image = np.array(data, np.float32)
        if image.shape[:2] != height_width:
            image = resize_image(image, height_width)
        if in_ in self.transpose:
            image = image.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            image = image[list(self.channel_swap[in_])]
        image = image * np.float32(self.raw_scale.get(in_, 1))
        if in_ in self.mean:
            image = image - self.mean[in_]
        return np.asarray(image * np.float32(self.input_scale.get(in_, 1)), np.float32)

    def deprocess(self, in_: str, data: Array) -> Array:
        """An item of input `in_` as an image: the inverse of `preprocess`, in the input's size."""
        self._shape(in_)
        image: Array = np.array(data, np.float32).squeeze()
        image = image / np.float32(self.input_scale.get(in_, 1))
        if in_ in self.mean:
            image = image + self.mean[in_]
        image = image / np.float32(self.raw_scale.get(in_, 1))
        if in_ in self.channel_swap:
            image = image[np.argsort(self.channel_swap[in_])]
        if in_ in self.transpose:
            image = np.transpose(image, np.argsort(self.transpose[in_]))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of an image's axes in the net: (2, 0, 1) turns (h, w, k) into (k, h, w)."""
        if len(order) != len(self._shape(in_)) - 1:
            raise NetcError(f"expected {len(self.inputs[in_]) - 1} axes for `{in_}`, got {len(order)}", code="E307")
        self.transpose[in_] = tuple(order)

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the channels in the net, after `set_transpose`: (2, 1, 0) turns RGB into BGR."""
        if len(order) != self._shape(in_)[1]:
            raise NetcError(
                f"expected {counted(self.inputs[in_][1], 'channel')} for `{in_}`, got {len(order)}", code="E307"
            )
        self.channel_swap[in_] = tuple(order)

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before the mean is subtracted: 255 for a net of values up to 255, where Python has 0 to 1."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """Set the mean to subtract: one value per channel, or an item (c, h, w), resized to the input's size."""
        shape = self._shape(in_)
        if mean.ndim == 1:
            if len(mean) != shape[1]:
                raise NetcError(
                    f"expected one mean value per channel of `{in_}` ({shape[1]}), got {len(mean)}", code="E307"
                )
            mean = mean[:, np.newaxis, np.newaxis]
        elif mean.ndim == 3 and mean.shape[0] == shape[1] and mean.shape != shape[1:]:
            mean = resize_image(mean.transpose(1, 2, 0), shape[2:]).transpose(2, 0, 1)
        elif mean.ndim not in (2, 3) or (1, *mean.shape)[-3:] != shape[1:]:
            raise NetcError(
                f"expected a mean of shape {text(shape[1:])} for `{in_}`, got {text(mean.shape)}", code="E307"
            )
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after the mean is subtracted."""
        self._shape(in_)
        self.input_scale[in_] = scale

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise NetcError(
                f"unknown input `{in_}`: the inputs are {', '.join(f'`{name}`' for name in self.inputs)}", code="E307"
            )
        return self.inputs[in_]
