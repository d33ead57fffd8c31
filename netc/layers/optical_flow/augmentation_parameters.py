"""GenerateAugmentationParameters: coefficients of augmentation, drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from netc.ir.dims import Shape, agree
from netc.ir.layer import Cost, Count, Mode, Shapes, StateEntry, fail
from netc.layers._registry import register
from netc.layers.optical_flow import _coefficients as coefficients
from netc.layers.optical_flow._augmentation import RandomAugmentation
from netc.layers.optical_flow._coefficients import (
    CHROMATIC_NUMBERS,
    COUNT,
    EFFECT_NUMBERS,
    EIGEN_NUMBERS,
    NAMES,
    SPATIAL,
    SPATIAL_NUMBERS,
    check_coefficients,
)
from netc.layers.optical_flow._planes import planes

if TYPE_CHECKING:
    from torch import Tensor

Size = tuple[int, int]


@register("GenerateAugmentationParameters", dialect="flownet2", field="augmentation_param")
@dataclass(frozen=True)
class GenerateAugmentationParameters(RandomAugmentation):
    """Coefficients of augmentation for a batch, alone or together with those of another layer (`mode`).

    Bottoms are coefficients, the image before its augmentation and after it, whose sizes decide which transformations
    fit; or one bottom: an image, or coefficients, whose sizes are then parameters. In training, and in tests with
    `augment_during_test`, a transformation is drawn until the crop lies within the image, 49 times at most, after which
    there is none. Outside training the coefficients of the bottom are passed on. DataAugmentation describes the numbers
    and what they change.

    Shapes: (n, ...), or (n, 42, 1, 1), (n, c, h, w) and (n, c, oh, ow), to (n, 42, 1, 1).

    >>> GenerateAugmentationParameters(crop_width=4, crop_height=3).infer(((2, 3, 8, 9),), 1)
    ((2, 42, 1, 1),)

    Reference: `generate_augmentation_parameters_layer.cu`, `augmentation_layer_base.cpp` of FlowNet2
    (lmb-freiburg/flownet2).
    """

    mode: Literal["add", "replace", "regenerate"] = "add"
    """Whether coefficients are added to those of the bottom, replace those that are drawn, or replace all; with an
    image as the only bottom, they replace all."""
    bottomwidth: int = 0
    """Width of the image, with coefficients as the only bottom."""
    bottomheight: int = 0
    """Height of the image, with coefficients as the only bottom."""

    bottom_count: ClassVar[Count] = Count(1, 3)
    no_gradient: ClassVar[tuple[int, ...]] = (0, 1, 2)
    overwritable: ClassVar[bool] = True

    @property
    def indices(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of the images only the shapes are read."""
        return (0, 1, 2) if self.mode == "regenerate" else (1, 2)

    @property
    def carries_state(self) -> bool:  # type: ignore[override]
        """Where spreads change from pass to pass, outside training too."""
        return self.is_scheduled and self.augment_during_test

    def check(self) -> None:
        """Raises NetcError E103 for another mode than FlowNet2's."""
        super().check()
        if self.mode not in ("add", "replace", "regenerate"):
            known_modes = "`add`, `replace` or `regenerate`"
            fail(f"`mode` is `{self.mode}`: expected {known_modes}", code="E103", field="augmentation_param.mode")

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 for sizes that are not known, E102 for bottoms that do not fit."""
        if len(bottoms) == 2:
            fail(
                f"`{self.type}` expects 1 bottom, or 3: coefficients, the image, and the augmented image",
                field="bottom",
            )
        items = bottoms[0][0] if bottoms[0] else 1
        if self.mode != "regenerate" and not self._is_image(bottoms):
            check_coefficients(self.type, bottoms[0], items)
        planes(self.type, bottoms if len(bottoms) > 1 else ())
        self._sizes(bottoms)
        return ((items, COUNT, 1, 1),)

    def _is_image(self, bottoms: Shapes) -> bool:
        """Whether the only bottom is an image, so that coefficients are drawn anew; True if that is unknown."""
        return len(bottoms) == 1 and len(bottoms[0]) == 4 and not all(agree(e, 1) for e in bottoms[0][2:])

    def _sizes(self, bottoms: Shapes) -> tuple[Size, Size]:
        """Height and width of the crop and of the image."""
        if len(bottoms) == 3:
            return _plane(bottoms[2]), _plane(bottoms[1])
        if self.crop is None:
            fail(
                f"`{self.type}` with one bottom needs `crop_width` and `crop_height`",
                code="E101",
                field="augmentation_param",
            )
        if self._is_image(bottoms):
            return self.crop, _plane(bottoms[0])
        if not (self.bottomwidth and self.bottomheight):
            fail(
                f"`{self.type}` with coefficients as its only bottom needs `bottomwidth` and `bottomheight`",
                code="E101",
                field="augmentation_param",
            )
        return self.crop, (self.bottomheight, self.bottomwidth)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: some numbers per item."""
        return Cost()

    def state_entries(self, bottoms: Shapes) -> tuple[StateEntry, ...]:
        """The number of passes, where spreads change."""
        return (StateEntry("passes", ()),) if self.is_scheduled else ()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """The coefficients of all items are drawn at once."""
        import torch

        with torch.no_grad():
            return self._coefficients(bottoms, mode).reshape(-1, COUNT, 1, 1)

    def _coefficients(self, bottoms: Sequence[Tensor], mode: Mode) -> Tensor:
        """Return an array (n, 42)."""
        import torch

        shapes = tuple(tuple(bottom.shape) for bottom in bottoms)
        items = len(bottoms[0])
        real = bottoms[0].dtype if bottoms[0].is_floating_point() else torch.float32
        like = bottoms[0].new_zeros((), dtype=real)
        anew = self.mode == "regenerate" or self._is_image(shapes)
        before = like.new_zeros((items, COUNT)) if anew else bottoms[0].reshape(items, COUNT).clone()
        discount = self.discount(self._passes(like, mode))
        columns = list(before.unbind(1))
        if self.draws(mode.training, SPATIAL_NUMBERS):
            start = torch.zeros_like(before[:, : len(SPATIAL)]) if self.mode == "replace" else before[:, : len(SPATIAL)]
            columns[: len(SPATIAL)] = coefficients.spatial(self.numbers, start, discount, *self._sizes(shapes)).unbind(
                1
            )
        groups: tuple[tuple[tuple[str, ...], Callable[..., dict[str, Tensor]]], ...] = (
            (CHROMATIC_NUMBERS, coefficients.chromatic),
            (EIGEN_NUMBERS, coefficients.eigen),
            (EFFECT_NUMBERS, coefficients.effects),
        )
        for names, draw in groups:
            if not self.draws(mode.training, names):
                continue
            found = draw(self.numbers, items, like, discount)
            drawn = coefficients.encoded(found, (items,), like, tuple(found)).unbind(1)
            for name, column in zip(found, drawn):
                index = NAMES.index(name)
                columns[index] = columns[index] + column if self.mode == "add" else column
        return torch.stack(columns, 1)

    def _passes(self, like: Tensor, mode: Mode) -> Tensor:
        """The number of this pass, from 1 on; counted where spreads change."""
        import torch

        kept = mode.kept("passes")
        passes = torch.ones((), device=like.device) if kept is None else kept + 1
        if self.is_scheduled:
            mode.keep("passes", passes)
        return passes


def _plane(shape: Shape) -> Size:
    return shape[2], shape[3]
