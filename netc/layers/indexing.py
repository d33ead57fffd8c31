"""Selecting items of a batch: BatchReindex, Filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from netc.diagnostics import counted
from netc.ir.dims import UNKNOWN, differ, text
from netc.ir.layer import Cost, Count, DTypes, Layer, Mode, Shapes, fail
from netc.ir.traits import Elements, Sees
from netc.layers._registry import register

if TYPE_CHECKING:
    from torch import Tensor


@register("BatchReindex")
@dataclass(frozen=True)
class BatchReindex(Layer):
    """Selects items of the first bottom by the indices in the second, in their order; an index may repeat.

    Shapes: (n, ...) and (m) to (m, ...). Indices range from 0 to n - 1 and get no gradient.

    >>> BatchReindex().infer(((4, 3, 2), (5,)), 1)
    ((5, 3, 2),)

    Reference: `batch_reindex_layer.cpp`.
    """

    bottom_count: ClassVar[Count] = Count(2)
    no_gradient = (1,)
    indices: ClassVar[tuple[int, ...]] = (1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E102 if there is no batch axis, or the indices do not have exactly one axis."""
        items, indices = bottoms
        if not items:
            fail("bottom 0 has no axes: there is no batch to select from", field="bottom")
        if len(indices) != 1:
            fail(f"expected 1 axis of indices (bottom 1), got {len(indices)}", field="bottom")
        return ((*indices, *items[1:]),)

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """Zero: elements are only copied."""
        return Cost()

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> Tensor:
        """Raises NetcError E301 for an index outside the batch."""
        items, indices = bottoms
        count = items.shape[0]
        mode.check_range(indices, 0, count, "batch index")
        # on a GPU the check is read later, and an invalid index must not reach the kernel
        return items.index_select(0, indices.long().clamp(0, count - 1))


@register("Filter")
@dataclass(frozen=True)
class Filter(Layer):
    """Keeps the items of each bottom where the last bottom, the selector, is not 0; one top per other bottom.

    Shapes: (n, ...), ..., selector (n) or (n, 1, ...) to (?, ...), ...: the number of kept items depends on the data.

    >>> Filter().infer(((5, 3), (5, 2, 4), (5, 1)), 2)
    ((?, 3), (?, 2, 4))

    Reference: `filter_layer.cpp`.
    """

    bottom_count: ClassVar[Count] = Count(2, None)
    top_count: ClassVar[Count] = Count(1, None)
    no_gradient = (-1,)
    rearranges: ClassVar[bool] = True
    overwritable: ClassVar[bool] = True
    elements: ClassVar[Elements] = "moved"
    sees: ClassVar[Sees] = "place"

    def infer(self, bottoms: Shapes, tops: int) -> Shapes:
        """Raises NetcError E101 for a wrong number of tops, E102 if selector and bottoms do not match."""
        *items, selector = bottoms
        if tops != len(items):
            fail(
                f"expected {counted(len(items), 'top')} for {counted(len(bottoms), 'bottom')}, got {tops}",
                code="E101",
                field="top",
            )
        if not selector or any(differ(extent, 1) for extent in selector[1:]):
            fail(f"the selector {text(selector)} must have extents of 1 after the first axis", field="bottom")
        for index, bottom in enumerate(items):
            if not bottom or differ(bottom[0], selector[0]):
                fail(
                    f"bottom {index} is {text(bottom)}, but the selector has {counted(selector[0], 'item')}",
                    field="bottom",
                )
        return tuple((UNKNOWN, *bottom[1:]) for bottom in items)

    def dtypes(self, bottoms: DTypes, tops: int) -> DTypes:
        """Each top has the dtype of its bottom."""
        return bottoms[:tops]

    def cost(self, bottoms: Shapes, tops: Shapes) -> Cost:
        """One comparison per item."""
        return Cost(operations=bottoms[-1][0])

    def forward(self, bottoms: Sequence[Tensor], weights: Sequence[Tensor], mode: Mode) -> tuple[Tensor, ...]:
        """The number of kept items is read from the device."""
        *items, selector = bottoms
        kept = selector.flatten().nonzero().flatten()
        return tuple(bottom.index_select(0, kept) for bottom in items)
