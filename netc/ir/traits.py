"""The traits of a layer type: what the rest of netc asks of it, beside its shapes and its arithmetic.

Every layer class sets those that differ from the cautious defaults here; tests/layers/test_traits.py proves each of
them by behavior. A trait may be a property where it depends on the layer's parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from netc.ir.dims import Shape
from netc.ir.receptive_field import ReceptiveFields, all_places, largest

if TYPE_CHECKING:
    from typing import Self

Role = Literal["", "metric", "score", "sink", "opaque", "inner"]
"""What a layer's tops are for: `metric` compares scores with labels; `score` is a result for the user; `sink` discards
its bottoms; `opaque` is computed by code that cannot be inspected; `inner` is rarely the last layer of a net."""
TopRead = Literal["", "sign", "values"]
"""What a backward pass reads of the layer's own top: nothing, where it is positive, or its values."""
Elements = Literal["computed", "moved", "scaled"]
"""Where top elements come from: computed; bottom elements at fixed other places; one constant affine function of the
bottom element at the same place."""
Sees = Literal["unknown", "place", "all"]
"""Which places of the bottoms a top element depends on: its own (across all channels), or all of them."""
FedBy = Literal["", "database", "image list", "windows", "hdf5", "fillers", "memory", "input"]
"""Where a data layer's tops come from: `memory` is arrays that a program passes, `input` the caller of the net."""


class Traits:
    """What a layer type is like."""

    role: ClassVar[Role] = ""
    is_loss: ClassVar[bool] = False
    """The first top counts into the loss with weight 1 unless `loss_weight` says otherwise, and gets a
    name of its own where the file has none (`layer.cpp`, AutoTopBlobs)."""
    is_data: ClassVar[bool] = False
    """The tops come from outside the net: a database, a list, memory. See DataLayer."""
    fed_by: ClassVar[FedBy] = ""
    """Where the tops of a data layer come from."""

    no_gradient: ClassVar[tuple[int, ...]] = ()
    """Bottoms that never get a gradient, by index (labels)."""
    indices: ClassVar[tuple[int, ...]] = ()
    """Bottoms, by index, whose elements are never computed with: they select something (labels, ids), each cut off to a
    whole number, or only their shape counts. Integers may stay integers there."""
    in_place: ClassVar[bool] = False
    """Caffe's backward pass is right if the top overwrote the bottom: it needs nothing of the bottom, or keeps it."""
    shares_memory: ClassVar[bool] = False
    """In Caffe the top is the bottom's memory in another shape: Caffe refuses to run the layer in place."""
    rearranges: ClassVar[bool] = False
    """The forward pass writes elements to other places than it reads them from: in place, Caffe's values are wrong."""
    keeps_sign: ClassVar[bool] = False
    """Where a gradient passes, the top is positive exactly where the bottom is."""

    overwritable: ClassVar[bool] = False
    """The top is memory of its own that autograd does not keep: the layer after it may overwrite it."""
    overwrites: ClassVar[bool] = False
    """The module can compute in the memory of its bottom."""
    carries_state: ClassVar[bool] = False
    """Keeps tensors from one pass to the next that change what it computes."""
    top_is_blob: ClassVar[bool] = False
    """The top is the layer's own blob, in Caffe the same memory: a pass overwrites the gradient of the pass before."""
    is_identity_in_test: ClassVar[bool] = False
    """Outside training every top equals the bottom."""

    elements: ClassVar[Elements] = "computed"
    sees: ClassVar[Sees] = "unknown"
    affine: ClassVar[bool] = False
    """Multiplies each channel by a learned factor, or adds a learned number to it."""
    batch_statistics: ClassVar[bool] = False
    """In training an item's top depends on the other items of the batch, through moments that its blobs gather."""

    def reads_top(self, in_place: bool) -> TopRead:
        """What Caffe's backward pass reads of the layer's own top, which overwrote the bottom if `in_place`."""
        return ""

    def frozen(self) -> Self:
        """The layer with statistics that training does not change."""
        return self

    def label_shape(self, scores: Shape) -> Shape | None:
        """The shape in which labels agree with scores place by place; None where labels are per item, or none exist."""
        return None

    def receptive_field(
        self, fields: Sequence[ReceptiveFields], bottoms: Sequence[Shape], top: Shape
    ) -> ReceptiveFields | None:
        """The fields of a top's elements, given those of the bottoms that have any; None where it is unknown."""
        if self.sees == "place":
            return largest(fields)
        return all_places(fields[0], bottoms[0]) if self.sees == "all" else None


def without_axis(shape: Shape, axis: int) -> Shape | None:
    """The shape without one axis; None where it has no such axis.

    >>> without_axis((4, 5, 3), 1), without_axis((4,), 1)
    ((4, 3), None)
    """
    if not -len(shape) <= axis < len(shape):
        return None
    axis %= len(shape)
    return (*shape[:axis], *shape[axis + 1 :])
