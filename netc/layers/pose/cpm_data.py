"""CPMData of CMU's pose estimation: images around people, with maps of their joints and limbs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from netc.ir.dims import Shape
from netc.ir.layer import Cost, Count, DataLayer, Shapes, fail
from netc.ir.skeleton import SKELETONS, Skeleton
from netc.ir.traits import FedBy
from netc.ir.transform import MAX_PIXELS
from netc.layers._registry import register
from netc.layers._several_messages import SeveralMessages

PLANES = 6
"""Planes of a record, and of the first top."""
OWN = ("source", "batch_size", "backend", "rand_skip", "prefetch")
"""Parameters in `data_param`; the others are in `cpm_transform_param`."""


@register("CPMData", dialect="rtpose")
@dataclass(frozen=True)
class CPMData(SeveralMessages, DataLayer):
    """Images around a person, and maps of the joints and limbs of all people in them.

    A record of the database is a Datum of six planes of bytes: blue, green, red, the annotation, the mask of pixels
    whose people are annotated, and another mask. In training an image is scaled so that the person is `target_dist`
    times 368 pixels high, times a random factor, rotated, cropped around the person and mirrored; in testing it is
    scaled and cropped only (the original layer has no masks then, and fails). Values are (v - 128) / 256; the fourth
    plane is a Gaussian around the person, the last two are 0.

    The label has twice `num_parts` + 1 maps: weights, from the mask, and the maps, of limbs first (the x and y
    components of the unit vector along the limb, 0 elsewhere), of joints (Gaussians), and of the background.
    `num_parts` chooses the skeleton: 56 that of COCO, 43 that of MPII, 68 COCO's with feet.

    Shapes: to (batch_size, 6, crop_size_y, crop_size_x) and (batch_size, 2 (num_parts + 1), crop_size_y / stride,
    crop_size_x / stride).

    >>> CPMData(source="lmdb_trainVal", batch_size=10, stride=8, num_parts=56, np_in_lmdb=17).batch(None, 2)
    ((10, 6, 368, 368), (10, 114, 46, 46))

    Reference: `cpm_data_layer.cpp`, `cpm_data_transformer.cpp` of CMU-Perceptual-Computing-Lab; Cao et al., "Realtime
    Multi-Person 2D Pose Estimation using Part Affinity Fields", 2017.
    """

    source: str = ""
    """Path of the database."""
    batch_size: int = 0
    """Number of images per batch."""
    backend: Literal["LEVELDB", "LMDB"] = "LEVELDB"
    """Format of the database."""
    rand_skip: int = 0
    """Skip a random number of records, up to this, at the start."""
    prefetch: int = 4
    """Number of batches to prefetch."""
    stride: int = 4
    """Pixels of the image per pixel of the maps."""
    crop_size_x: int = 368
    """Width of the image."""
    crop_size_y: int = 368
    """Height of the image."""
    target_dist: float = 1.0
    """Height of a person in the image, as a fraction of 368 pixels."""
    scale_prob: float = 0.5
    """Probability of a random factor of the scale."""
    scale_min: float = 0.9
    """The smallest factor."""
    scale_max: float = 1.1
    """The largest factor."""
    max_rotate_degree: float = 5.0
    """The largest angle, in both directions."""
    center_perterb_max: float = 10.0
    """The largest distance of the person from the center, in pixels per axis."""
    flip_prob: float = 0.5
    """Probability of mirroring."""
    sigma: float = 7.0
    """Standard deviation of the Gaussians of joints, in pixels of the image."""
    sigma_center: float = 21.0
    """Standard deviation of the Gaussian of the person."""
    do_clahe: bool = False
    """Whether the contrast is equalized."""
    clahe_tile_size: int = 8
    """Tiles per axis whose contrast is equalized."""
    clahe_clip_limit: float = 4.0
    """Limit of the contrast."""
    gray: int = 0
    """Whether, with 1, images are made gray."""
    num_parts: int = 14
    """Number of maps of limbs and joints."""
    np_in_lmdb: int = 16
    """Number of joints of a person in the database."""
    transform_body_joint: bool = True
    """Whether the joints in the database are those of the data set; otherwise they are the skeleton's, and mirrored
    images do not exchange left and right."""
    aug_way: str = "rand"
    """How random numbers are chosen: `rand`; `table`, from files, is not supported."""

    top_count: ClassVar[Count] = Count(2)
    fed_by: ClassVar[FedBy] = "poses"

    @staticmethod
    def message_of(parameter: str) -> str:
        """`data_param` or `cpm_transform_param`."""
        return "data_param" if parameter in OWN else "cpm_transform_param"

    def _check(self) -> None:
        for name in ("source", "batch_size"):
            if not getattr(self, name):
                fail(f"`{name}` is missing", code="E101", field=f"data_param.{name}")
        for name in ("stride", "crop_size_x", "crop_size_y", "clahe_tile_size", "prefetch"):
            if getattr(self, name) < 1:
                fail(f"`{name}` must be positive", code="E103", field=f"{self.message_of(name)}.{name}")
        for name in ("target_dist", "sigma", "sigma_center", "scale_min"):
            if not getattr(self, name) > 0:
                fail(f"`{name}` must be positive", code="E103", field=f"cpm_transform_param.{name}")
        if self.crop_size_x * self.crop_size_y > MAX_PIXELS:
            fail("crops are larger than the limit", code="E104", field="cpm_transform_param.crop_size_x")
        self._check_skeleton()

    def _check_skeleton(self) -> None:
        if self.aug_way != "rand":
            text = f"`aug_way` `{self.aug_way}` is not supported: random numbers are drawn"
            fail(text, code="E101", field="cpm_transform_param.aug_way")
        if self.num_parts not in SKELETONS:
            known = ", ".join(map(str, sorted(SKELETONS)))
            text = f"`num_parts` is {self.num_parts}: the skeletons have {known} maps"
            fail(text, code="E103", field="cpm_transform_param.num_parts")
        skeleton = self.skeleton
        least = skeleton.joints_in_database if self.transform_body_joint else skeleton.joints
        if self.np_in_lmdb < least:
            text = f"`np_in_lmdb` is {self.np_in_lmdb}: this skeleton requires {least} joints"
            fail(text, code="E103", field="cpm_transform_param.np_in_lmdb")

    @property
    def skeleton(self) -> Skeleton:
        """The joints and limbs."""
        return SKELETONS[self.num_parts]

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the maps."""
        return self.crop_size_y // self.stride, self.crop_size_x // self.stride

    def batch(self, record: Shapes | None, tops: int) -> tuple[Shape | None, ...]:
        """Shapes do not depend on the records."""
        image = (self.batch_size, PLANES, self.crop_size_y, self.crop_size_x)
        return image, (self.batch_size, 2 * (self.num_parts + 1), *self.grid)

    def random_fields(self, train: bool) -> tuple[str, ...]:
        """In training, those that differ from no change."""
        if not train:
            return ()
        names = ("max_rotate_degree", "center_perterb_max", "flip_prob", "scale_prob")
        return tuple(name for name in names if getattr(self, name) > 0)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: the images are produced outside the net."""
        return Cost()
