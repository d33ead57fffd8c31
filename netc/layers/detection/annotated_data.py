"""AnnotatedData: SSD's data layer of images with boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from netc.ir.box_sampling import BatchSampler
from netc.ir.dims import UNKNOWN, Shape
from netc.ir.fields import Fields
from netc.ir.layer import Shapes, fail
from netc.ir.traits import FedBy
from netc.layers._registry import register
from netc.layers.data import Data

BOX = 8
"""Columns of a row of the label: item_id, label, instance, xmin, ymin, xmax, ymax, difficult."""


@register("AnnotatedData", dialect="ssd")
@dataclass(frozen=True)
class AnnotatedData(Data):
    """Images and their boxes from a database of AnnotatedDatum records, in the order of their keys.

    The label has a row for each box of the batch: number of the image in the batch, label, instance, xmin, ymin, xmax,
    ymax in fractions of the image, and 1 for a difficult object. A batch without boxes is one row of -1. Boxes move
    with their image: expansion, random part, resize, crop, mirror. A database without annotations has labels as that of
    a Data layer.

    Shapes: to (batch_size, c, h, w), and (1, 1, ?, 8), or (batch_size) for a database without annotations.

    >>> layer = AnnotatedData(source="trainval_lmdb", batch_size=32)
    >>> layer.batch(((3, 300, 300), (1, 8)), 2)
    ((32, 3, 300, 300), (1, 1, ?, 8))

    Reference: `annotated_data_layer.cpp`, `data_transformer.cpp`, `sampler.cpp` of weiliu89/caffe; Liu et al.,
    "SSD: Single Shot MultiBox Detector", 2016.
    """

    batch_sampler: tuple[BatchSampler, ...] = ()
    """Random parts of the image, one of which replaces it."""
    label_map_file: str = ""
    """Path of the names of the labels; read by programs that draw boxes, not by the layer."""
    anno_type: str = ""
    """`BBOX`: every record has boxes, also if the record does not say so."""
    yolo_data_type: int = 0
    """1: a random part, of `yolo_data_jitter`, replaces each image; without effect with `batch_sampler`
    (MobileNet-YOLO)."""
    yolo_data_jitter: float = 0.3
    """Largest fraction of the image's width, and of its height, that is cut off."""

    message: ClassVar[str] = "data_param"
    fed_by: ClassVar[FedBy] = "annotated database"

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Reads `data_param`, `annotated_data_param` and `transform_param`. Raises NetcError E101, E103."""
        own = layer.message("annotated_data_param")
        result = super().from_caffe(layer)
        given = {name: own.get(name, getattr(result, name)) for name in ANNOTATED}
        given["batch_sampler"] = tuple(BatchSampler.read(one) for one in own.get("batch_sampler", ()))
        if not 0 <= given["yolo_data_jitter"] < 1:
            what = f"`yolo_data_jitter` must be from 0 to 1, got {given['yolo_data_jitter']:g}"
            fail(what, code="E103", field="annotated_data_param.yolo_data_jitter")
        return type(result)(**{**vars(result), **given})

    @property
    def jitter(self) -> float:
        """The largest fraction that is cut off at random; 0 if the image stays whole."""
        return self.yolo_data_jitter if self.yolo_data_type == 1 and not self.batch_sampler else 0.0

    @classmethod
    def fields_of(cls, parameter: str) -> tuple[str, ...]:
        """`annotated_data_param` for the layer's own fields."""
        if parameter in ANNOTATED:
            return (f"annotated_data_param.{parameter}",)
        return super().fields_of(parameter)

    def to_caffe(self) -> dict[str, Any]:
        """The three messages by name, without defaults."""
        result = super().to_caffe()
        own = {name: result["data_param"].pop(name) for name in ANNOTATED if name in result["data_param"]}
        if self.batch_sampler:
            own["batch_sampler"] = [sampler.to_caffe() for sampler in self.batch_sampler]
        return {**result, **({"annotated_data_param": own} if own else {})}

    def _check(self) -> None:
        super()._check()
        if self.transform.random_aspect_ratio_param is not None:
            fail(
                "`AnnotatedData` cannot move boxes by `random_aspect_ratio_param`",
                code="E101",
                field="transform_param.random_aspect_ratio_param",
                help="use `batch_sampler` in `annotated_data_param`",
            )

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """See ImageLayer; the number of boxes is unknown."""
        plain = record is not None and len(record) > 1 and not record[1]
        images = super().batch(record[:1] if record else None, 1)
        labels: Shape = (self.batch_size,) if plain else (1, 1, UNKNOWN, BOX)
        return (*images, labels, *(None,) * (tops - 2))[:tops]

    def _image_shape(self, record: Shape | None) -> Shape:
        if record is not None and (self.batch_sampler or self.jitter):
            record = (record[0], UNKNOWN, UNKNOWN)
        return super()._image_shape(record)

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """`batch_sampler`, `yolo_data_jitter`, `shuffle` and those of the transformation."""
        parts = (*("batch_sampler",) * bool(self.batch_sampler), *("yolo_data_jitter",) * bool(self.jitter))
        return (*parts, *super().random_fields(train))


@register("YoloAnnotatedData", dialect="mobilenet_yolo")
@dataclass(frozen=True)
class YoloAnnotatedData(AnnotatedData):
    """Images and their boxes from a database of AnnotatedDatum records, as AnnotatedData reads them.

    Shapes: to (batch_size, c, h, w), and (1, 1, ?, 8), or (batch_size) for a database without annotations.

    >>> layer = YoloAnnotatedData(source="trainval_lmdb", batch_size=6, yolo_data_type=1)
    >>> layer.batch(None, 2)[1], layer.jitter
    ((1, 1, ?, 8), 0.3)

    Reference: `annotated_data_layer.cpp`, `sampler.cpp` (GenerateJitterSamples) of MobileNet-YOLO and its copies.
    """


ANNOTATED = ("batch_sampler", "label_map_file", "anno_type", "yolo_data_type", "yolo_data_jitter")
"""Parameters in `annotated_data_param`."""
