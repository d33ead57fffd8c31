"""The traits of a layer type: properties that netc uses in addition to its shapes and its computation.

Every layer class sets those that differ from the conservative defaults here; tests/layers/test_traits.py verifies each
of them by behavior. A trait may be a property if it depends on the layer's parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from netc.ir.coordinate_map import CoordinateMap
from netc.ir.dims import Shape
from netc.ir.receptive_field import ReceptiveFields, all_places, largest

if TYPE_CHECKING:
    from typing import Self

Role = Literal["", "metric", "score", "sink", "opaque", "inner"]
"""The purpose of a layer's tops: `metric` compares scores with labels; `score` is a result for the user; `sink`
discards its bottoms; `opaque` is computed by code that cannot be inspected; `inner` is rarely the last layer."""
TopRead = Literal["", "sign", "values"]
"""What a backward pass reads from the layer's own top: nothing, whether elements are positive, or the values."""
Elements = Literal["computed", "moved", "scaled"]
"""Source of the top elements: computed; bottom elements moved to fixed positions; a constant affine function of the
bottom element at the same position."""
Sees = Literal["unknown", "place", "all"]
"""Positions of the bottoms that a top element depends on: its own (across all channels), or all of them."""
FedBy = Literal[
    "",
    "database",
    "annotated database",
    "compact database",
    "mat files",
    "boxes",
    "image list",
    "label maps",
    "folders",
    "windows",
    "regions",
    "instance masks",
    "video file",
    "clips",
    "hdf5",
    "flow database",
    "file",
    "disparities",
    "voxel truth",
    "object file",
    "poses",
    "fillers",
    "memory",
    "python",
    "input",
]
"""Source of a data layer's tops: `memory` means arrays passed by a program, `python` code that the net file names,
`input` the caller of the net."""


class Traits:
    """Properties of a layer type."""

    role: ClassVar[Role] = ""
    is_loss: ClassVar[bool] = False
    """The first top contributes to the loss, and gets a unique name if the file has none (`layer.cpp`,
    AutoTopBlobs)."""
    default_loss_weight: ClassVar[float] = 1.0
    """The weight of a loss whose `loss_weight` is not set."""
    is_data: ClassVar[bool] = False
    """The tops are supplied from outside the net: a database, a list, memory. See DataLayer."""
    fed_by: ClassVar[FedBy] = ""
    """The source of a data layer's tops."""

    no_gradient: ClassVar[tuple[int, ...]] = ()
    """Bottoms that never get a gradient, by index (labels)."""
    indices: ClassVar[tuple[int, ...]] = ()
    """Bottoms, by index, that are used only as indices (labels, ids), each truncated to an integer, or only for their
    shape. Integers are not converted to floating point there."""
    in_place: ClassVar[bool] = False
    """Caffe's backward pass is correct if the top overwrote the bottom: it does not need the bottom, or saves it."""
    shares_memory: ClassVar[bool] = False
    """In Caffe the top is the bottom's memory in another shape; Caffe rejects such a layer in place."""
    shares_values: ClassVar[bool] = False
    """Every top is the bottom's memory, with a gradient of its own (Split): the layer does not run forward."""
    rearranges: ClassVar[bool] = False
    """The forward pass writes elements to other positions than it reads from; in place, Caffe's values are wrong."""
    keeps_sign: ClassVar[bool] = False
    """Wherever the gradient is nonzero, the top is positive if and only if the bottom is."""

    overwritable: ClassVar[bool] = False
    """The top has its own memory and is not saved by autograd: the next layer may overwrite it."""
    overwrites: ClassVar[bool] = False
    """The module can compute in place, in the memory of its bottom."""
    carries_state: ClassVar[bool] = False
    """The layer keeps tensors from one pass to the next that affect its results."""
    writes_file: ClassVar[bool] = False
    """A pass writes a file, where the net's user allows it (`Mode.files`): in training and tests."""
    top_is_blob: ClassVar[bool] = False
    """The top is the layer's own blob, in Caffe the same memory: each pass overwrites the previous gradient."""
    top_is_weight: ClassVar[bool] = False
    """The top is the layer's `weight` itself, not a copy, and it has no bottom."""
    computes_asked_tops: ClassVar[bool] = False
    """The forward pass returns as many tops as `Mode.tops` says, and saves the computation of the others."""
    is_identity_in_test: ClassVar[bool] = False
    """Outside training every top equals the bottom, or of several bottoms its own."""

    elements: ClassVar[Elements] = "computed"
    sees: ClassVar[Sees] = "unknown"
    aligns_bottoms: ClassVar[bool] = False
    """The top is a region of the first bottom at `offset`, with the extents of the second."""
    affine: ClassVar[bool] = False
    """The layer multiplies each channel by a learned factor, or adds a learned value to it."""
    batch_statistics: ClassVar[bool] = False
    """In training an item's top depends on the other items of the batch, through moments accumulated in the blobs."""

    def reads_top(self, in_place: bool) -> TopRead:
        """What Caffe's backward pass reads from the layer's own top, which overwrote the bottom if `in_place`."""
        return ""

    def frozen(self) -> Self:
        """Return the layer with statistics that training does not change."""
        return self

    def label_shape(self, scores: Shape) -> Shape | None:
        """The shape of labels with one label per position; None if labels are per item, or there are none."""
        return None

    def label_classes(self, scores: Shape) -> int | None:
        """The number of classes, of which the second bottom holds the indices; None if it holds anything else.

        Valid labels are from 0 to this number, exclusive, and the layer's `ignore_label` if it has one.
        """
        return None

    def coordinate_map(self, axes: int) -> CoordinateMap | None:
        """How positions along `axes` spatial axes move from the first bottom to a top; None if it is unknown.

        A layer without a map that keeps all extents keeps all positions.
        """
        return None

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The receptive field of a top, given those of the bottoms that have one; None if it is unknown."""
        if self.sees == "place":
            return largest(fields)
        return all_places(fields[0], bottoms[0]) if self.sees == "all" else None


def without_axis(shape: Shape, axis: int) -> Shape | None:
    """The shape without one axis; None if it has no such axis.

    >>> without_axis((4, 5, 3), 1), without_axis((4,), 1)
    ((4, 3), None)
    """
    if not -len(shape) <= axis < len(shape):
        return None
    axis %= len(shape)
    return (*shape[:axis], *shape[axis + 1 :])
