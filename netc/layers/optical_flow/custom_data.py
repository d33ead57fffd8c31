"""CustomData of FlowNet: images, flows and masks that a database stores as the channels of one record."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self

from netc.diagnostics import counted
from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, DataLayer, Shapes, fail
from netc.ir.traits import FedBy
from netc.layers._registry import register

Encoding = Literal["UINT8", "UINT16FLOW", "BOOL1"]
OWN = """
    limit_samples preselection_file range_start range_end rand_permute slice_point encoding subtract permute_every_iter
"""


@register("CustomData", dialect="flownet2", field="data_param")
@dataclass(frozen=True)
class CustomData(DataLayer):
    """The channels of each record of an LMDB, cut at `slice_point` into one top each.

    A slice is stored as bytes (`UINT8`), as flow in 1/32 of a pixel in two bytes (`UINT16FLOW`, 32767 is NaN), or as
    bits (`BOOL1`, one channel). (value - mean) scale is computed for each value. Without `slice_point` a second top is
    the label. A range of the records is read, in the order of their keys or permuted.

    Shapes: to (batch_size, channels of the slice, h, w) for each slice; the label (batch_size, 1, 1, 1).

    >>> layer = CustomData(source="chairs_lmdb", batch_size=8, slice_point=(3, 6), encoding=("UINT8", "UINT8",
    ...                    "UINT16FLOW"))
    >>> layer.batch(((3, 384, 512), (3, 384, 512), (2, 384, 512)), 3)
    ((8, 3, 384, 512), (8, 3, 384, 512), (8, 2, 384, 512))

    Reference: `custom_data_layer.cpp` of FlowNet2 (lmb-freiburg/flownet2).
    """

    source: str = ""
    """Path of the database."""
    batch_size: int = 0
    """Number of records per batch."""
    slice_point: tuple[int, ...] = ()
    """The first channel of each top after the first."""
    encoding: tuple[Encoding, ...] = ()
    """How each slice is stored; those not listed are `UINT8`."""
    scale: float = 1.0
    """Factor of each value after the mean is subtracted."""
    mean_file: str = ""
    """Path of a .binaryproto file with the mean of all channels."""
    subtract: tuple[float, ...] = ()
    """The mean of each channel, from the first on, without a mean file."""
    range_start: int = 0
    """The first record."""
    range_end: int = -1
    """The last record; -1 for that of the database."""
    rand_permute: bool = False
    """Whether the records are permuted, once, before or after the range is taken."""
    rand_permute_order: Literal["FIRST_PERMUTE_THEN_RANGE", "FIRST_RANGE_THEN_PERMUTE"] = "FIRST_PERMUTE_THEN_RANGE"
    """Whether the range is a part of the permuted records or of those in order."""
    rand_permute_seed: int = 0
    """Seed of the permutation, whose order is netc's own; 0 uses that of the net."""
    permute_every_iter: int = 0
    """The range is permuted again after this many batches; 0 for never."""
    block_size: int = 0
    """Records are permuted within blocks of this size, whose last record stays; 0 permutes all."""
    preselection_file: str = ""
    """Path of a file with a number per record, to select records by."""
    preselection_label: int = 0
    """The number of the records that are selected."""
    prefetch: int = 4
    """Number of batches to prefetch."""

    backend: ClassVar[str] = "LMDB"
    """Format of the database: the only one that FlowNet2 supports."""
    top_count: ClassVar[Count] = Count(1, None)
    fed_by: ClassVar[FedBy] = "flow database"
    fork_fields: ClassVar[frozenset[str]] = frozenset(f"DataParameter.{name}" for name in OWN.split())

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for a missing source, E103 for what FlowNet2 rejects."""
        p = layer.message("data_param")
        for name in ("crop_size", "mirror", "rand_skip"):
            if p.get(name, 0):
                fail(f"`CustomData` does not support `{name}`", code="E103", field=name)
        if p["backend"] != cls.backend:
            fail("`CustomData` reads LMDB only: set `backend: LMDB`", code="E103", field="backend")
        result = super().from_caffe(layer)
        result._check("preselection_label" in p)
        return result

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with the only `backend`."""
        return {**super().to_caffe(), "backend": self.backend}

    def _check(self, has_label: bool) -> None:
        if not self.source:
            fail("`source` is missing", code="E101", field="source")
        if self.batch_size < 1:
            fail("`batch_size` is required and must be positive", code="E103", field="batch_size")
        if any(one >= other for one, other in pairwise((0, *self.slice_point))):
            fail("`slice_point` must be positive and increase", code="E103", field="slice_point")
        if self.preselection_file and not has_label:
            fail("`preselection_file` without `preselection_label`", code="E101", field="preselection_file")
        if self.prefetch < 1:
            fail("`prefetch` must be positive", code="E103", field="prefetch")

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """Raises NetcError E102 for another number of tops than slices; a label only without slices."""
        slices = len(self.slice_point) + 1
        if tops != slices and not (slices == 1 and tops == 2):
            points = counted(len(self.slice_point), "value")
            tops_text = "1 top or 2, the second for the label" if slices == 1 else counted(slices, "top")
            fail(f"`CustomData` with {points} of `slice_point` has {tops_text}, got {tops}", field="top")
        if record is not None:
            shapes = tuple((self.batch_size, *shape) for shape in record[:slices])
        else:
            counts = [b - a for a, b in pairwise((0, *self.slice_point))]
            shapes = tuple((self.batch_size, count, UNKNOWN, UNKNOWN) for count in (*counts, UNKNOWN))
        return (*shapes, (self.batch_size, 1, 1, 1))[:tops]

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """`rand_permute`."""
        return ("rand_permute",) * self.rand_permute

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the records are read outside the net."""
        return Cost()
