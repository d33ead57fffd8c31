"""InnerDistance: the distances of vectors to the learned vectors of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from netc.ir.dims import Shape, differ, product, text
from netc.ir.fields import Fields
from netc.ir.filler import Filler
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, Weight, Weights, fail
from netc.ir.traits import Sees
from netc.layers._axes import axis_of
from netc.layers._labels import indices
from netc.layers._registry import register
from netc.layers._windows import positive
from netc.layers.metric_learning.margin_inner_product import unit_rows

if TYPE_CHECKING:
    from torch import Tensor


@register("InnerDistance", dialect="happynear", field="inner_distance_param")
@dataclass(frozen=True)
class InnerDistance(Layer):
    """The squared Euclidean distance, or the sum of absolute differences, of each vector to each class's vector.

    The classes' vectors are a blob, or the second bottom. With `update_center_only` a class's vector gets its gradient
    from the vectors whose label, in the third bottom, is this class.

    Shapes: (n, ...), optionally (classes, ...) and labels (n), to (n, classes); the axes before `axis` are kept.

    >>> InnerDistance(num_output=4).infer(((7, 6),), 1)
    ((7, 4),)

    Reference: `inner_distance_layer.cpp` of happynear's Caffe; Wang et al., NormFace: L2 Hypersphere Embedding for
    Face Verification, 2017. With `normalize` each pass divides the rows of the blob by their length, as there.
    """

    num_output: int = 0
    """Number of classes; not read with a second bottom."""
    weight_filler: Filler = field(default_factory=Filler)
    """How the vectors of the classes are initialized."""
    axis: int = 1
    """First axis of a vector."""
    distance_type: Literal["L2", "L1"] = "L2"
    """Squared differences or absolute ones."""
    normalize: bool = False
    """Whether the classes' vectors are normalized; no effect on a second bottom."""
    update_center_only: bool = False
    """Whether the label's class alone gets a gradient; needs three bottoms."""

    bottom_count: ClassVar[Count] = Count(1, 3)
    rearranges: ClassVar[bool] = True
    no_gradient: ClassVar[tuple[int, ...]] = (2,)
    indices: ClassVar[tuple[int, ...]] = (2,)
    sees: ClassVar[Sees] = "all"

    @property
    def overwritable(self) -> bool:  # type: ignore[override]
        """Unless torch keeps the distances for the gradient."""
        return self.distance_type == "L2" or self.update_center_only

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E103 for an unknown distance, E106 for what the fork does not compute either."""
        p, result = layer.message("inner_distance_param"), super().from_caffe(layer)
        if result.distance_type not in ("L1", "L2"):
            found = f"unknown `distance_type` `{result.distance_type}`: expected `L1` or `L2`"
            fail(found, code="E103", field="distance_type")
        for name in ("transpose", "bias_term"):
            if p.get(name, False):
                fail(f"`{name}` is not supported", code="E106", field=f"inner_distance_param.{name}")
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 without labels for `update_center_only`, E102 if the vectors have different sizes."""
        x = bottoms[0]
        axis = axis_of(self.axis, x)
        if self.update_center_only and len(bottoms) < 3:
            fail(
                "`update_center_only` needs three bottoms: vectors, those of the classes, and labels",
                code="E101",
                field="inner_distance_param.update_center_only",
            )
        if len(bottoms) == 1:
            positive((self.num_output,), "num_output")
            return ((*x[:axis], self.num_output),)
        self._check_second(bottoms, axis)
        return ((*x[:axis], bottoms[1][0]),)

    def _check_second(self, bottoms: Shapes, axis: int) -> None:
        x, classes = bottoms[:2]
        if not classes or differ(product(classes[1:]), product(x[axis:])):
            fail(f"vectors of classes {text(classes)} for vectors {text(x)}", field="bottom")
        if self.update_center_only and differ(product(bottoms[2]), product(x[:axis])):
            fail(f"labels {text(bottoms[2])} for vectors {text(x)}", field="bottom")

    def label_classes(self, scores: Shape) -> int | None:
        """None: the second bottom is not of labels."""
        return None

    def weights(self, bottoms: Shapes) -> Weights:
        """`weight`, one row for each class, unless they are the second bottom."""
        if len(bottoms) > 1:
            return ()
        axis = axis_of(self.axis, bottoms[0])
        return (Weight("weight", (self.num_output, product(bottoms[0][axis:])), self.weight_filler),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Three operations per element of a vector and class."""
        return Cost(operations=3 * product(bottoms[0]) * tops[0][-1])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The gradient is the derivative, for a blob with respect to its normalized rows."""
        x = bottoms[0]
        axis = axis_of(self.axis, tuple(x.shape))
        vectors = x.flatten(axis).reshape(-1, x.shape[axis:].numel())
        if len(bottoms) > 1:
            classes = bottoms[1].reshape(bottoms[1].shape[0], -1)
        else:
            classes = unit_rows(weights[0]) if self.normalize else weights[0]
        if self.update_center_only:
            labels = indices(bottoms[2].detach().flatten(), len(classes), mode)
            distances = self._distances(vectors, classes.detach()) + self._own(vectors, classes, labels)
        else:
            distances = self._distances(vectors, classes)
        return distances.reshape(*x.shape[:axis], -1)

    def _distances(self, vectors: Tensor, classes: Tensor) -> Tensor:
        import torch

        if self.distance_type == "L1":
            return torch.cdist(vectors, classes, p=1.0)
        return torch.cdist(vectors, classes, compute_mode="donot_use_mm_for_euclid_dist").square()

    def _own(self, vectors: Tensor, classes: Tensor, labels: Tensor) -> Tensor:
        """Zeros, with the gradient of each vector's distance to its own class with respect to the class."""
        import torch

        difference = vectors.detach() - classes.index_select(0, labels)
        own = (difference.abs() if self.distance_type == "L1" else difference.square()).sum(1, keepdim=True)
        zeros = torch.zeros(len(vectors), len(classes), dtype=own.dtype, device=own.device)
        return zeros.scatter(1, labels.unsqueeze(1), own - own.detach())
