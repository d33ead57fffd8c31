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
KEEPING: set[type[Layer]] = set()
"""Operators whose parameters are bottoms of the layer, as any other blob."""


def form(*classes: type[Layer], keeps_parameters: bool = False) -> Callable[[Form], Form]:
    """Decorator: this function says operators of these classes in Caffe's terms.

    With `keeps_parameters`, inputs that are parameters are bottoms of the layer; otherwise the form takes them as blobs
    or settings.
    """

    def add(function: Form) -> Form:
        KEEPING.update(classes if keeps_parameters else ())
        FORMS.update(dict.fromkeys(classes, function))
        return function

    return add


def stored(arrays: Sequence[Array | None]) -> tuple[Array, ...] | None:
    """The arrays if all of them are parameters of float32, else None."""
    found = tuple(array for array in arrays if array is not None and array.dtype == np.float32)
    return found if len(found) == len(arrays) else None
