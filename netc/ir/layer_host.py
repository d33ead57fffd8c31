"""Layers whose code a net file names: the object that runs one, and the layer type that takes such an object.

A net file is data: nothing that it names is imported unless a program binds its layers to hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from netc.ir.layer import Layer, Shapes, Weights

if TYPE_CHECKING:
    from torch import Tensor


class LayerHost(Protocol):
    """Runs one object of a user's class."""

    layer: Any
    """The object."""

    def shapes(self, bottoms: Shapes, tops: int) -> Shapes:
        """Shapes of the tops."""

    def weights(self) -> Weights:
        """The object's blobs with their first values; to be asked for after `shapes`."""

    def run(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], tops: int) -> tuple[Tensor, ...]:
        """The tops, differentiable by autograd."""


@runtime_checkable
class PythonCode(Protocol):
    """A layer whose code is a Python class."""

    @property
    def module_name(self) -> str:
        """The module's name, as Python imports it."""

    @property
    def class_name(self) -> str:
        """The class in the module."""

    @property
    def param_str(self) -> str:
        """Text for the object."""

    def hosted(self, host: LayerHost) -> Layer:
        """The layer that `host` runs."""
