"""The base class of layers that users write in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netc.pycaffe.mode import TEST
from netc.runtime.array_blobs import Blob, BlobVec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Layer:
    """A layer of a net, and the base of those written in Python.

    A subclass overrides `setup`, `reshape`, `forward` and `backward`, which take lists of blobs. `param_str` has its
    parameters, `phase` the phase, and `blobs` its weights.
    """

    type: str
    """The layer's type."""
    blobs: BlobVec
    """Its weights."""
    param_str: str
    """A Python layer's parameters: arbitrary text in the net file."""
    phase: int
    """TRAIN or TEST."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Layer:
        """Set the attributes that subclasses rely on, even if they do not call `__init__` of this class."""
        layer = super().__new__(cls)
        layer.type, layer.blobs, layer.param_str, layer.phase = "Python", BlobVec(), "", TEST
        return layer

    def __init__(self, parameter: Any = None) -> None:
        """`parameter` is the LayerParameter that Caffe passes."""

    @property
    def param_str_(self) -> str:
        """`param_str`, as layers written for Caffe before August 2015 call it."""
        return self.param_str

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Read `param_str`, check the bottoms, add weights. Nothing by default."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Set the shapes of the tops; run before each forward pass. Nothing by default."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Compute `data` of the tops. Raises NotImplementedError by default."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(bottom, top)")

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]) -> None:
        """Compute `diff` of the bottoms selected by `propagate_down`. Raises NotImplementedError by default."""
        raise NotImplementedError(f"{type(self).__name__} has no backward(top, propagate_down, bottom)")
