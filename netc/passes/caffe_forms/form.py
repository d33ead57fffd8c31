"""What a form is, and the registry of forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from netc.ir.layer import Layer, Shapes

    Array = NDArray[Any]


class Use(NamedTuple):
    """How a net uses an operator."""

    shapes: Shapes
    """Of the inputs."""
    top_shapes: Shapes
    arrays: tuple[Array | None, ...]
    """The values of inputs that are parameters, None for the others."""


class ChainLayer(NamedTuple):
    """One layer of a form, with its blobs in Caffe's order."""

    layer: Layer
    blobs: tuple[Array, ...] = ()


Parts = Sequence[ChainLayer] | None
Form = Callable[[Any, Use], Parts]
FORMS: dict[type[Layer], Form] = {}


def form(*classes: type[Layer]) -> Callable[[Form], Form]:
    """Decorator: this function says operators of these classes in Caffe's terms."""

    def add(function: Form) -> Form:
        FORMS.update(dict.fromkeys(classes, function))
        return function

    return add


def stored(arrays: Sequence[Array | None]) -> tuple[Array, ...] | None:
    """The arrays if all of them are parameters of float32, else None."""
    found = tuple(array for array in arrays if array is not None and array.dtype == np.float32)
    return found if len(found) == len(arrays) else None
