"""Inputs and outputs of a net: Input, Parameter, Silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import Shape, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, DataLayer, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.traits import FedBy, Role
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


def _checked(shape: Shape) -> None:
    if any(extent < 0 for extent in shape):
        fail(f"`shape` {text(shape)} has a negative extent", code="E103", field="shape")


@register("Input", field="input_param")
@dataclass(frozen=True)
class Input(DataLayer):
    """Inputs of the net, of the declared shapes: one for all tops, or one for each.

    Shapes: as declared; unknown if none is declared.

    >>> Input(shape=((1, 3, 224, 224),)).batch(None, 2)
    ((1, 3, 224, 224), (1, 3, 224, 224))
    >>> Input().batch(None, 1)
    (None,)

    Reference: `input_layer.cpp`.
    """

    shape: tuple[Shape, ...] = ()
    """Shapes of the tops: one for all, or one per top; empty if they are unknown."""

    fed_by: ClassVar[FedBy] = "input"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for a negative extent."""
        shapes = layer.message("input_param").get("shape", ())
        return cls(tuple(tuple(shape.get("dim", ())) for shape in shapes))

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with each shape as a message."""
        return {"shape": [{"dim": list(shape)} for shape in self.shape]} if self.shape else {}

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a negative extent."""
        for shape in self.shape:
            _checked(shape)

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """The declared shapes. Raises NetcError E101 unless their number is 0, 1 or that of the tops."""
        if not self.shape:
            return (None,) * tops
        if len(self.shape) not in (1, tops):
            fail(
                f"{counted(len(self.shape), 'value')} of `shape` for {counted(tops, 'top')}", code="E101", field="shape"
            )
        return self.shape if len(self.shape) == tops else self.shape * tops

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """None."""
        return Cost()


@register("Parameter", field="parameter_param")
@dataclass(frozen=True)
class ParameterLayer(Layer):
    """Returns a learned blob as its top.

    Shapes: as declared; initially zeros, because Caffe has no filler for it.

    >>> ParameterLayer(shape=(2, 3)).infer((), 1)
    ((2, 3),)

    Reference: `parameter_layer.hpp`.
    """

    shape: Shape = ()
    """Shape of the blob."""

    bottom_count: ClassVar[Count] = Count(0)
    overwritable: ClassVar[bool] = True
    top_is_blob: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for a negative extent."""
        return cls(tuple(layer.message("parameter_param").message("shape").get("dim", ())))

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with `shape` as a message."""
        return {"shape": {"dim": list(self.shape)}} if self.shape else {}

    def __post_init__(self) -> None:
        """Raises NetcError E103 for a negative extent."""
        _checked(self.shape)

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Computed as described in the class docstring."""
        return (self.shape,)

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`: the top itself."""
        return (Weight("weight", self.shape),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: nothing is computed."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Returns a copy: a view of a parameter requires a gradient even if none is recorded."""
        return weights[0].clone()


@register("Silence", v1="SILENCE")
@dataclass(frozen=True)
class Silence(Layer):
    """Reads any bottoms and has no top, so that blobs without other readers are not outputs of the net.

    Shapes: any to nothing.

    >>> Silence().infer(((2, 3), (5,)), 0)
    ()

    Reference: `silence_layer.cpp`.
    """

    bottom_count: ClassVar[Count] = Count(1, None)
    top_count: ClassVar[Count] = Count(0)
    role: ClassVar[Role] = "sink"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Computed as described in the class docstring."""
        return ()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Computed as described in the class docstring."""
        return ()
