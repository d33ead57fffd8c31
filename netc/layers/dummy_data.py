"""DummyData: tops produced by fillers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from netc.diagnostics import counted
from netc.ir.dims import Shape
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Constant, Cost, DataLayer, Mode, Shapes, fail
from netc.ir.traits import FedBy
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


@register("DummyData", field="dummy_data_param", v1="DUMMY_DATA")
@dataclass(frozen=True)
class DummyData(DataLayer):
    """Fills tops by `data_filler`: once if it is `constant`, otherwise in each pass.

    Shapes: to `shape`, or (num, channels, height, width) in the older spelling; a single one applies to all tops.

    >>> layer = DummyData(shape=((2, 3), (2,)), data_filler=(Filler("gaussian", std=0.1),))
    >>> layer.batch(None, 2), layer.refill(2)
    (((2, 3), (2,)), (True, True))

    Reference: `dummy_data_layer.cpp`.
    """

    shape: tuple[Shape, ...] = ()
    """One shape for all tops, or one per top."""
    data_filler: tuple[Filler, ...] = ()
    """One filler for all tops, or one per top; empty fills zeros."""
    num: tuple[int, ...] = ()
    """The older spelling: extents of axis 0, one for all tops or one per top; excludes `shape`."""
    channels: tuple[int, ...] = ()
    """The older spelling: extents of axis 1."""
    height: tuple[int, ...] = ()
    """The older spelling: extents of axis 2."""
    width: tuple[int, ...] = ()
    """The older spelling: extents of axis 3."""

    LEGACY: ClassVar[tuple[str, ...]] = ("num", "channels", "height", "width")
    fed_by: ClassVar[FedBy] = "fillers"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `dummy_data_param`.

        Raises NetcError E101 if both spellings are used and for the filler `file`, E103 for an invalid filler.
        """
        p = layer.message("dummy_data_param")
        result = cls(
            shape=tuple(tuple(shape.get("dim", ())) for shape in p.get("shape", ())),
            data_filler=tuple(
                Filler.read(Fields({"data_filler": one}), "data_filler") for one in p.get("data_filler", ())
            ),
            num=tuple(p.get("num", ())),
            channels=tuple(p.get("channels", ())),
            height=tuple(p.get("height", ())),
            width=tuple(p.get("width", ())),
        )
        if any(filler.type == "file" for filler in result.data_filler):
            fail("filler `file` is supported for weights only", code="E101", field="data_filler")
        if result.shape and result._is_legacy:
            fail("`shape` and `num`, `channels`, `height`, `width` exclude each other", code="E101", field="shape")
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, shapes as BlobShapes."""
        values = super().to_caffe()
        if self.shape:
            values["shape"] = [{"dim": list(shape)} for shape in self.shape]
        return {name: list(value) for name, value in values.items()}

    @property
    def _is_legacy(self) -> bool:
        return any(getattr(self, name) for name in self.LEGACY)

    def shapes(self, tops: int) -> Shapes:
        """Return the shape of each top. Raises NetcError E101 unless their number is 1 or `tops`."""
        if not self._is_legacy:
            return _each(self.shape, tops, "shape")
        return tuple(zip(*(_each(getattr(self, name), tops, name) for name in self.LEGACY)))

    def fillers(self, tops: int) -> tuple[Filler, ...]:
        """Return the filler of each top. Raises NetcError E101 unless their number is 0, 1 or `tops`."""
        return _each(self.data_filler or (Filler(),), tops, "data_filler")

    def refill(self, tops: int) -> tuple[bool, ...]:
        """Return, for each top, whether every pass fills it again; constants are filled once."""
        return tuple(filler.type != "constant" for filler in self.fillers(tops))

    def part(self, tops: int, chosen: Sequence[int]) -> DummyData:
        """Return the layer of some of its `tops`, those with indices `chosen`."""
        shapes, fillers = self.shapes(tops), self.fillers(tops)
        return DummyData(tuple(shapes[i] for i in chosen), tuple(fillers[i] for i in chosen))

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """`shapes`: they do not depend on a record. Raises NetcError E101."""
        self.fillers(tops)
        return self.shapes(tops)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the tops are filled outside the net."""
        return Cost()


@dataclass(frozen=True)
class ConstantData(DummyData):
    """Constant tops of a DummyData layer in a net without data layers: filled by the net itself."""

    is_data: ClassVar[bool] = False
    fed_by: ClassVar[FedBy] = ""

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """`shapes`."""
        return self.shapes(tops)

    def constants(self, bottoms: int) -> tuple[Constant, ...]:
        """The values of the fillers; their device and precision are those of the tops."""
        return (Constant("values", values=tuple(filler.value for filler in self.data_filler or (Filler(),))),)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """Returns new tensors: a caller may change them."""
        import torch

        values = mode.constants["values"]
        values = values.expand(mode.tops) if len(values) == 1 else values
        return tuple(torch.clone(one.expand(shape)) for one, shape in zip(values, self.shapes(mode.tops)))


def _each(values: tuple[T, ...], tops: int, name: str) -> tuple[T, ...]:
    """Return one value per top. Raises NetcError E101 unless there is one, or one per top."""
    if len(values) not in (1, tops):
        fail(
            f"expected 1 value of `{name}`, or one for each of {counted(tops, 'top')}, got {len(values)}",
            code="E101",
            field=name,
        )
    return values * tops if len(values) == 1 else values
