"""A tree of classes, as YOLO9000 has: classes with the same parent exclude each other and form a group.

A file has a line for each class, with its name and the number of its parent, -1 for none; a parent comes before its
children, and the children of a parent are next to each other. The probability of a class is the product of those along
the path from the root to it.

Reference: `tree.cpp` of yolo9000's Caffe, `tree.c` of darknet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netc.diagnostics import counted
from netc.ir.layer import Constant, Mode, fail

if TYPE_CHECKING:
    from torch import Tensor

PARENTS = "parents"
"""The constant with the parents."""


def tree_constant(file: str) -> Constant:
    """The constant with the parent of each class of a file."""
    return Constant(PARENTS, file, is_text=True, column=1)


@dataclass(frozen=True)
class ClassTree:
    """The parents of classes, and their groups; each (classes), of integers."""

    parents: Tensor
    groups: Tensor

    @classmethod
    def of(cls, classes: int, mode: Mode, field: str) -> ClassTree:
        """The tree in the layer's constants.

        Raises NetcError E102 for a tree of another number of classes, and E301 for a parent that is not before its
        children.
        """
        import torch

        found = mode.constants[PARENTS]
        if len(found) != classes:
            message = f"{counted(classes, 'class')}, but {len(found)} in the file of `{field}`"
            fail(message, field=field, help="each line has a name and the number of the parent, -1 for none")
        numbers = torch.arange(classes, device=found.device)
        if mode.check is not None:
            bad = (found >= numbers) | (found < -1)
            mode.check(found, bad, "parent of a class that is not before it")
        parents = torch.minimum(found.long(), numbers - 1).clamp(min=-1)
        starts = torch.ones_like(parents)
        starts[1:] = (parents[1:] != parents[:-1]).long()
        return cls(parents, starts.cumsum(0) - 1)

    def softmax(self, scores: Tensor, axis: int) -> Tensor:
        """The softmax over each group of an axis."""
        import torch

        values = scores.movedim(axis, -1)
        index = self.groups.expand_as(values)
        largest = torch.full_like(values, -torch.inf).scatter_reduce(-1, index, values, "amax")
        powers = (values - largest.gather(-1, index)).exp()
        sums = torch.zeros_like(values).scatter_add(-1, index, powers)
        return (powers / sums.gather(-1, index)).movedim(-1, axis)

    def path(self, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield classes (k) from `labels` up to the root, and whether there is one for each; a sync for each level."""
        import torch

        current = labels
        while bool((present := current >= 0).any()):
            yield current.clamp(min=0), present
            current = torch.where(present, self.parents[current.clamp(min=0)], -1)

    def wrong(self, classes: Tensor, labels: Tensor) -> Tensor:
        """The probabilities (k, classes) of the groups along the paths of `labels`, less 1 for the classes on them."""
        import torch

        result = torch.zeros_like(classes)
        for label, present in self.path(labels):
            inside = (self.groups == self.groups[label].unsqueeze(1)) & present.unsqueeze(1)
            is_label = torch.nn.functional.one_hot(label, classes.shape[1]).to(classes.dtype)
            result = torch.where(inside, classes - is_label, result)
        return result
