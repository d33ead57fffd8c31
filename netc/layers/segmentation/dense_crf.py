"""DenseCRF: scores refined by a fully connected conditional random field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from netc.ir.dims import differ, product, text
from netc.ir.fields import Fields
from netc.ir.layer import Cost, Count, Layer, Mode, Shapes, fail
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from netc.functions.permutohedral import PermutohedralLattice

SMALLEST = 1.17549435082229e-38
"""FLT_MIN, a bound of probabilities whose logarithm is computed."""
NEGLIGIBLE = -20.0
"""The fork's exponential is 0 below this number."""


@register("DenseCRF", dialect="pspnet", field="dense_crf_param", v1="DENSE_CRF")
@dataclass(frozen=True)
class DenseCRF(Layer):
    """Probabilities of classes that agree with those of near pixels, and of near pixels with a similar color.

    Mean-field inference with Potts potentials: softmax(scores + messages), `max_iter` times, where each message is a
    weight times the normalized Gaussian filter of the probabilities over positions (`pos_w`, `pos_xy_std`), or over
    positions and colors (`bi_w`, `bi_xy_std`, `bi_rgb_std`). The second bottom holds the height and width of the part
    of each image that is not padding; the top is 0 elsewhere. As in the fork, the colors are those of the first image
    for all images of the batch, and the layer has no gradient.

    Shapes: scores (n, c, h, w), sizes (n, 1, 1, 2) and images (n, 3, h, w) to (n, c, h, w).

    >>> DenseCRF(pos_xy_std=(3,), pos_w=(3,)).infer(((1, 21, 41, 41), (1, 1, 1, 2)), 1)
    ((1, 21, 41, 41),)

    Reference: `densecrf_layer.cpp` and `permutohedral.cpp` of DeepLab; Krähenbühl and Koltun, Efficient Inference in
    Fully Connected CRFs with Gaussian Edge Potentials, 2011.
    """

    max_iter: int = 10
    """Number of iterations."""
    pos_xy_std: tuple[float, ...] = ()
    """Standard deviation of each filter over positions."""
    pos_w: tuple[float, ...] = ()
    """Weight of each filter over positions."""
    bi_xy_std: tuple[float, ...] = ()
    """Standard deviation in positions of each filter over positions and colors."""
    bi_rgb_std: tuple[float, ...] = ()
    """Standard deviation in colors of each such filter."""
    bi_w: tuple[float, ...] = ()
    """Weight of each such filter."""
    output_probability: bool = True
    """Whether the top holds probabilities; otherwise their logarithms."""

    bottom_count: ClassVar[Count] = Count(2, 3)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)
    indices: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for lists of different lengths, E103 for a deviation that is not positive."""
        result = super().from_caffe(layer)
        for name, like in (("pos_xy_std", "pos_w"), ("bi_xy_std", "bi_w"), ("bi_rgb_std", "bi_w")):
            if len(getattr(result, name)) != len(getattr(result, like)):
                fail(f"`{name}` and `{like}` have different numbers of values", code="E101", field=name)
            for deviation in getattr(result, name):
                if not deviation > 0:
                    fail(f"`{name}` is {deviation:g}: it must be positive", code="E103", field=name)
        return result

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match, E101 for an image without parameters for colors."""
        scores, sizes = bottoms[:2]
        if len(scores) != 4:
            fail(f"expected scores with 4 axes, got {text(scores)}", field="bottom")
        if not sizes or differ(sizes[0], scores[0]) or differ(product(sizes[1:]), 2):
            fail(f"expected a height and a width for each image, got {text(sizes)}", field="bottom")
        if len(bottoms) > 2:
            if differ(bottoms[2], (scores[0], 3, *scores[2:])):
                fail(f"expected color images of the scores' size, got {text(bottoms[2])}", field="bottom")
            if not self.bi_w:
                fail("the image has no effect without `bi_w`", code="E101", field="bottom")
        return (scores,)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Splatting and slicing, and a softmax, per iteration; the number of lattice vertices is not known."""
        corners = 3 * len(self.pos_w) + (6 * len(self.bi_w) if len(bottoms) > 2 else 0)
        return Cost(operations=self.max_iter * product(tops[0]) * (4 * corners + 4))

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Image by image, since the sizes differ. Raises NetcError E301 for a negative size."""
        import torch

        scores = bottoms[0].detach()
        n, _, h, w = scores.shape
        self.infer(tuple(tuple(bottom.shape) for bottom in bottoms), 1)
        sizes = bottoms[1].detach().reshape(n, 2)
        mode.check_range(sizes, 0, 2**31, "size")
        image = bottoms[2][0].detach() if len(bottoms) > 2 else None
        top = torch.zeros_like(scores)
        lattices: dict[tuple[int, int], list[tuple[PermutohedralLattice, float]]] = {}
        for index, (height, width) in enumerate(sizes.long().tolist()):
            size = (h, w) if h <= height and w <= width else (min(height, h), min(width, w))
            if 0 in size:
                continue
            if size not in lattices:
                lattices[size] = self._lattices(size, image, scores)
            region = scores[index, :, : size[0], : size[1]]
            top[index, :, : size[0], : size[1]] = self._inferred(region, lattices[size])
        return top

    def _lattices(
        self, size: tuple[int, int], image: Tensor | None, like: Tensor
    ) -> list[tuple[PermutohedralLattice, float]]:
        """The lattice of each filter, with its weight."""
        import torch

        from netc.functions.permutohedral import PermutohedralLattice

        h, w = size
        rows, columns = torch.meshgrid(*(torch.arange(e, device=like.device) for e in size), indexing="ij")
        places = torch.stack([columns, rows], 2).reshape(-1, 2).float()
        made = [(PermutohedralLattice(places / std), weight) for std, weight in zip(self.pos_xy_std, self.pos_w)]
        if image is None:
            return made
        colors = image[:, :h, :w].reshape(3, -1).t().float()
        for std, color_std, weight in zip(self.bi_xy_std, self.bi_rgb_std, self.bi_w):
            made.append((PermutohedralLattice(torch.cat([places / std, colors / color_std], 1)), weight))
        return made

    def _inferred(self, scores: Tensor, lattices: list[tuple[PermutohedralLattice, float]]) -> Tensor:
        """The probabilities of one image, or their logarithms."""
        unary = scores.reshape(scores.shape[0], -1)
        ones = unary.new_ones(1, unary.shape[1])
        norms = [weight / (lattice.filter(ones) + 1e-20) for lattice, weight in lattices]
        current = _softmax(unary)
        for _ in range(self.max_iter):
            messages = (norm * lattice.filter(current) for norm, (lattice, _) in zip(norms, lattices))
            current = _softmax(sum(messages, unary))
        if not self.output_probability:
            current = current.clamp(min=SMALLEST).log()
        return current.view(scores.shape)


def _softmax(scores: Tensor) -> Tensor:
    """Probabilities along the first axis; those of negligible classes are 0."""
    import torch

    difference = scores - scores.amax(0)
    part = torch.where(difference < NEGLIGIBLE, 0, difference.exp())
    return part / part.sum(0)
