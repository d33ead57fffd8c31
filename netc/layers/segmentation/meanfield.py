"""MultiStageMeanfield: a conditional random field as a recurrent network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from netc.diagnostics import counted
from netc.ir.dims import differ, known, product, text
from netc.ir.fields import Fields
from netc.ir.layer import CaffeFields, Cost, Count, Layer, Mode, Shapes, Weight, Weights, fail
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor

    from netc.functions.permutohedral import PermutohedralLattice

REQUIRED = ("theta_alpha", "theta_beta", "theta_gamma", "num_iterations")
SPATIAL, BILATERAL = 3.0, 5.0
"""The weights of both filters in the published nets."""
FLOAT_MAX = 3.4028234663852886e38


@register("MultiStageMeanfield", dialect="crfasrnn", field="multi_stage_meanfield_param", v1="MULTI_STAGE_MEANFIELD")
@dataclass(frozen=True)
class MultiStageMeanfield(Layer):
    """Scores refined by iterations of mean-field inference in a fully connected conditional random field.

    Each iteration computes U - C (S F(P) + B G(P)): U are the first bottom's scores, P is the softmax of the scores of
    the iteration before, at first of the second bottom, F and G are normalized Gaussian filters over positions, and
    over positions and the colors in the third bottom, and the matrices S, B and C are learned.

    Shapes: (n, c, h, w), (n, c, h, w) and images (n, k, h, w) to (n, c, h, w).

    >>> layer = MultiStageMeanfield(160.0, 3.0, 3.0, 5)
    >>> [w.shape for w in layer.weights(((1, 21, 50, 50), (1, 21, 50, 50), (1, 3, 50, 50)))]
    [(1, 1, 21, 21), (1, 1, 21, 21), (1, 1, 21, 21)]

    Reference: `multi_stage_meanfield.cpp` and `meanfield_iteration.cpp` of CRF-as-RNN; Zheng et al., Conditional Random
    Fields as Recurrent Neural Networks, 2015.
    """

    theta_alpha: float
    """Standard deviation in positions of the filter over positions and colors."""
    theta_beta: float
    """Standard deviation in colors of that filter."""
    theta_gamma: float
    """Standard deviation of the filter over positions."""
    num_iterations: int
    """Number of iterations, at least 2."""
    spatial_weights: tuple[float, ...] = (SPATIAL,)
    """Initial diagonal of S: one value for all classes, or one for each. The original code reads `spatial.par`."""
    bilateral_weights: tuple[float, ...] = (BILATERAL,)
    """Initial diagonal of B: one value for all classes, or one for each. The original code reads `bilateral.par`."""

    caffe_fields: ClassVar[CaffeFields] = {
        "spatial_weights": tuple(
            f"multi_stage_meanfield_param.spatial_filter_{name}" for name in ("weight", "weights_str")
        ),
        "bilateral_weights": tuple(
            f"multi_stage_meanfield_param.bilateral_filter_{name}" for name in ("weight", "weights_str")
        ),
    }
    bottom_count: ClassVar[Count] = Count(3)
    no_gradient: ClassVar[tuple[int, ...]] = (2,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True

    @classmethod
    def from_caffe(cls, layer: Fields) -> Self:
        """Raises NetcError E101 for a missing field, E103 for an invalid value."""
        p = layer.message("multi_stage_meanfield_param")
        for name in REQUIRED:
            if name not in p:
                fail(f"`{name}` is missing", code="E101", help=f"set `{name}` in `multi_stage_meanfield_param`")
            if not p[name] > (1 if name == "num_iterations" else 0):
                least = "greater than 1" if name == "num_iterations" else "positive"
                fail(f"`{name}` is {p[name]:g}: it must be {least}", code="E103", field=name)
        thetas = (p["theta_alpha"], p["theta_beta"], p["theta_gamma"])
        initial = (_diagonal(p, "spatial", SPATIAL), _diagonal(p, "bilateral", BILATERAL))
        return cls(*thetas, p["num_iterations"], *initial)

    def to_caffe(self) -> dict[str, Any]:
        """The parameter message, with initial weights as numbers or as text."""
        values: dict[str, Any] = {name: getattr(self, name) for name in REQUIRED}
        for name, weights in (("spatial", self.spatial_weights), ("bilateral", self.bilateral_weights)):
            if len(weights) == 1:
                values[f"{name}_filter_weight"] = weights[0]
            else:
                values[f"{name}_filter_weights_str"] = " ".join(f"{weight:.9g}" for weight in weights)
        return values

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if the bottoms do not match."""
        scores, start, image = bottoms
        if len(scores) != 4 or differ(start, scores):
            fail(f"expected scores and a start of the same 4 axes, got {text(scores)}, {text(start)}", field="bottom")
        if len(image) != 4 or differ((image[0], *image[2:]), (scores[0], *scores[2:])):
            fail(f"expected images of the scores' size, got {text(image)}", field="bottom")
        return (scores,)

    def weights(self, bottoms: Shapes) -> Weights:
        """`spatial`, `bilateral` and `compatibility`, at first diagonal, the last one -1. Raises NetcError E102."""
        self.infer(bottoms, 1)
        classes = bottoms[0][1]
        diagonals = {
            "spatial": self.spatial_weights, "bilateral": self.bilateral_weights, "compatibility": (-1.0,)
        }  # fmt: skip
        return tuple(_matrix(name, values, classes) for name, values in diagonals.items())

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """The products with three matrices, and splatting and slicing, per iteration."""
        scores, corners = product(tops[0]), 3 + bottoms[2][1] + 3
        return Cost(3 * self.num_iterations * scores * tops[0][1], 4 * self.num_iterations * scores * corners)

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Image by image, each with a lattice of its own."""
        import torch

        scores, start, image = bottoms
        self.infer(tuple(tuple(bottom.shape) for bottom in bottoms), 1)
        matrices = [weight.view(weight.shape[-2:]) for weight in weights]
        h, w = scores.shape[2:]
        rows, columns = torch.meshgrid(*(torch.arange(e, device=scores.device) for e in (h, w)), indexing="ij")
        places = torch.stack([columns, rows], 2).reshape(-1, 2).float()
        spatial = _Filter(places / self.theta_gamma, scores)
        tops = []
        for item, first, pixels in zip(scores, start, image):
            colors = pixels.detach().reshape(pixels.shape[0], -1).t().float()
            features = torch.cat([places / self.theta_alpha, colors / self.theta_beta], 1)
            both = (spatial, _Filter(features, scores))
            tops.append(self._inferred(item.flatten(1), first.flatten(1), both, matrices))
        return torch.stack(tops).view(scores.shape)

    def _inferred(
        self, unary: Tensor, current: Tensor, filters: tuple[_Filter, _Filter], matrices: Sequence[Tensor]
    ) -> Tensor:
        spatial, bilateral, compatibility = matrices
        for _ in range(self.num_iterations):
            probabilities = current.softmax(0)
            message = spatial @ filters[0](probabilities) + bilateral @ filters[1](probabilities)
            current = unary - compatibility @ message
        return current


class _Filter:
    """A normalized Gaussian filter of (classes, pixels)."""

    def __init__(self, features: Tensor, like: Tensor) -> None:
        from netc.functions.permutohedral import PermutohedralLattice

        self.lattice: PermutohedralLattice = PermutohedralLattice(features)
        self.norm = 1 / (self.lattice.filter(like.detach().new_ones(1, len(features))) + 1e-20)

    def __call__(self, values: Tensor) -> Tensor:
        return self.lattice.filter(values) * self.norm


def _diagonal(p: Fields, name: str, default: float) -> tuple[float, ...]:
    """Initial weights of a filter. Raises NetcError E103 for text that is not numbers."""
    words = p.get(f"{name}_filter_weights_str", "").split()
    try:
        return tuple(map(float, words)) or (p.get(f"{name}_filter_weight", default),)
    except ValueError:
        field = f"{name}_filter_weights_str"
        fail(f"`{field}` has a word that is not a number", code="E103", field=field)


def _matrix(name: str, diagonal: Sequence[float], classes: int) -> Weight:
    import numpy as np

    if not known(classes):
        return Weight(name, (1, 1, classes, classes))
    if len(diagonal) not in (1, classes):
        fail(f"{counted(len(diagonal), 'weight')} for {counted(classes, 'class')}", field=f"{name}_filter_weights_str")
    matrix = np.zeros((classes, classes), np.float32)
    np.fill_diagonal(matrix, np.asarray(diagonal, np.float64).clip(-FLOAT_MAX, FLOAT_MAX))
    return Weight(name, (1, 1, classes, classes), array=matrix.reshape(1, 1, classes, classes))
