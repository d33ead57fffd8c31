"""What a layer does, measured on its case without asking its traits; tests/layers/test_traits.py compares the two."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import torch
from torch import Tensor, nn

from netc.ir.graph import Node
from netc.ir.layer import Count
from netc.runtime.modules import module_for, overwrite
from tests.layers.case import Case, bottoms, fixed, listed
from tests.layers.harness import module_of

STEPS = (3.0, -3.0)
"""Perturbations that pass every threshold of the cases."""


@dataclass(frozen=True)
class Behavior:
    """Runs of one case's layer; tensors are float64."""

    case: Case

    def module(self, training: bool = False, stock: bool = True) -> nn.Module:
        """A fresh module, its learned weights of both signs."""
        made = module_of(self.case.layer, self.case.first, self.tops, stock).double().train(training)
        for parameter in made.parameters():
            sign = torch.tensor([-1.0, 1.0]).repeat(parameter.numel())[: parameter.numel()]
            parameter.data *= sign.reshape(parameter.shape)
        return made

    @property
    def tops(self) -> int:
        return 0 if self.case.layer.top_count == Count(0) else self.case.tops

    @cached_property
    def bottoms(self) -> list[Tensor]:
        return bottoms(self.case, self.case.first, 0)

    def run(self, given: list[Tensor] | None = None, training: bool = False) -> list[Tensor]:
        """The tops of a fresh module, without a graph of gradients."""
        torch.manual_seed(5)
        with torch.no_grad():
            return listed(self.module(training)(*(self.bottoms if given is None else given)))

    # ------------------------------------------------------------------ shapes and places

    @cached_property
    def top(self) -> Tensor | None:
        tops = self.run()
        return tops[0] if tops else None

    @property
    def is_scalar(self) -> bool:
        return self.top is not None and self.top.shape == () and bool(self.bottoms)

    @cached_property
    def influence(self) -> Tensor:
        """Whether each element of the first bottom (rows) changes each of the first top (columns), outside training."""
        before = self.run()[0].flatten()
        rows = []
        for index in range(self.bottoms[0].numel()):
            changed = torch.zeros_like(before, dtype=torch.bool)
            for step in STEPS:
                given = [bottom.clone() for bottom in self.bottoms]
                self._change(given[0].view(-1), index, step)
                after = self.run(given)[0].flatten()
                changed |= (after != before) if after.shape == before.shape else torch.ones_like(changed)
            rows.append(changed)
        return torch.stack(rows)

    def _change(self, elements: Tensor, index: int, step: float) -> None:
        if 0 in self.case.integers:
            elements[index] = (elements[index] + 1) % self.case.below
        else:
            elements[index] += step

    @property
    def keeps_shape(self) -> bool:
        return self.top is not None and bool(self.bottoms) and self.top.shape == self.bottoms[0].shape

    @cached_property
    def is_elementwise(self) -> bool:
        """Whether each element of the first top depends on the first bottom at its own place only."""
        return self.keeps_shape and not (self.influence & ~torch.eye(len(self.influence), dtype=torch.bool)).any()

    @property
    def rearranges(self) -> bool | None:
        """Whether elements go to other places; None where the shape stays and several places are joined."""
        if self.top is None or not self.bottoms or self.is_scalar or self.shares_memory:
            return False
        if [e for e in self.top.shape if e != 1] != [e for e in self.bottoms[0].shape if e != 1]:
            return True
        size = len(self.influence)
        return None if (self.influence & ~torch.eye(size, dtype=torch.bool)).any() else False

    # ------------------------------------------------------------------ memory

    @property
    def shares_memory(self) -> bool:
        """Whether the top is all of the bottom's memory, in another shape and the same order."""
        if self.top is None or not self.bottoms:
            return False
        top = self.run()[0]
        same = top.data_ptr() == self.bottoms[0].data_ptr() and top.numel() == self.bottoms[0].numel()
        return same and top.shape != self.bottoms[0].shape and top.is_contiguous()

    @cached_property
    def is_overwritable(self) -> bool:
        """Whether the first top is memory of its own, and overwriting it changes no gradient."""
        modes = itertools.product((False, True), (False, True))
        return (
            self.top is not None
            and not self.overwrites
            and all(self._survives(training, stock) for training, stock in modes)
        )

    def _survives(self, training: bool, stock: bool) -> bool:
        torch.manual_seed(5)
        module = self.module(training, stock)
        given = [bottom.clone().requires_grad_() for bottom in self.bottoms]
        top = listed(module(*given))[0]
        owned = (*given, *module.parameters(), *module.buffers())
        if any(top.untyped_storage().data_ptr() == one.untyped_storage().data_ptr() for one in owned):
            return False
        if not top.requires_grad:
            return True
        inputs = [tensor for tensor in owned if tensor.requires_grad]
        try:
            found = torch.autograd.grad(top.mul_(2).sum(), inputs, allow_unused=True)
        except RuntimeError:  # autograd keeps the top, or it is a view of several
            return False
        return all(one is None or one.isfinite().all() for one in found)

    @cached_property
    def overwrites(self) -> bool:
        """Whether the module computes in its bottom's memory when it is told to, with the same gradient."""
        if len(self.bottoms) != 1 or self.top is None or self.tops != 1:
            return False
        layer, shapes = self.case.layer, self.case.first
        node = Node("layer", "layer", layer, ("bottom",), ("top",))
        x = self.bottoms[0].clone().requires_grad_()
        y = x * 1
        plain = module_for(node, shapes, layer.weights(shapes)).double()
        try:
            top = overwrite(plain, y, nn.Identity())
            in_place = top.data_ptr() == y.data_ptr() and bool((y.detach() != x.detach()).any())
            (gradient,) = torch.autograd.grad(top.sum(), x)
        except RuntimeError:
            return False
        (expected,) = torch.autograd.grad(plain(x).sum(), x)
        return in_place and torch.equal(gradient, expected)

    @property
    def carries_state(self) -> bool:
        """Whether a second pass over the same bottoms, outside training, gives other tops."""
        module, tops = self.module(), []
        most = min(1, self.case.below - 1)
        given = [torch.full_like(b, most) if i in self.case.integers else b for i, b in enumerate(self.bottoms)]
        for _ in range(2):
            torch.manual_seed(5)
            with torch.no_grad():
                tops.append(listed(module(*given)))
        first, second = tops
        return any(not torch.equal(a, b) for a, b in zip(first, second))

    @property
    def top_is_blob(self) -> bool:
        """Whether the top is the layer's own blob."""
        parameters = list(self.module().parameters())
        return not self.bottoms and len(parameters) == 1 and torch.equal(self.run()[0], parameters[0])

    @property
    def is_identity(self) -> bool:
        """Whether every top equals the only bottom, or its own of several, outside training."""
        count = len(self.bottoms)
        if self.top is None or count not in (1, self.tops):
            return False
        sources = self.bottoms * self.tops if count == 1 else self.bottoms
        return all(map(torch.equal, self.run(), sources))

    # ------------------------------------------------------------------ arithmetic

    @cached_property
    def gradients(self) -> tuple[bool, ...]:
        """For each bottom, whether a gradient reaches it."""
        torch.manual_seed(5)
        given = [bottom.clone().requires_grad_() for bottom in self.bottoms]
        tops = [top for top in listed(self.module()(*given)) if top.requires_grad]
        if not tops or not given:
            return (False,) * len(given)
        total = sum((top * torch.arange(1, top.numel() + 1).reshape(top.shape)).sum() for top in tops)
        return tuple(g is not None for g in torch.autograd.grad(total, given, allow_unused=True))

    @cached_property
    def keeps_sign(self) -> bool:
        """Whether, where a gradient passes, each top element is positive exactly where its bottom element is."""
        if not self.is_elementwise or not self.gradients[0]:
            return False
        return all(self._same_sign(factor, training) for factor in (0.1, 1.0, 4.0) for training in (False, True))

    def _same_sign(self, factor: float, training: bool) -> bool:
        torch.manual_seed(5)
        given = [b if i in self.case.integers else b * factor for i, b in enumerate(self.bottoms)]
        given[0].requires_grad_()
        top = listed(self.module(training)(*given))[0]
        (gradient,) = torch.autograd.grad(top.sum(), given[0])
        return bool(gradient.any()) and bool((((top > 0) == (given[0] > 0)) | (gradient == 0)).all())

    @cached_property
    def elements(self) -> str:
        """Where the elements of the tops come from, in training and outside: see `netc.ir.traits.Elements`."""
        if self.top is None or not self.bottoms or 0 in self.case.integers:
            return "computed"
        if all(self._moves(training) for training in (False, True)):
            return "moved"
        if len(self.bottoms) > 1 or not self.is_elementwise or self.module().state_dict():
            return "computed"
        alike = all(self._is_linear(training, alike=True) for training in (True, False))
        return "scaled" if alike else "computed"

    def _moves(self, training: bool) -> bool:
        chosen = [i for i in range(len(self.bottoms)) if i not in fixed(self.case)]
        negated = [-bottom if i in chosen else bottom for i, bottom in enumerate(self.bottoms)]
        tops, opposite = self.run(training=training), self.run(negated, training=training)
        values = torch.cat([self.bottoms[i].flatten() for i in chosen])
        return all(torch.equal(-a, b) and torch.isin(a, values).all() for a, b in zip(tops, opposite))

    @cached_property
    def is_affine(self) -> bool:
        """Whether learned weights multiply or shift each element of the bottom."""
        if not self.is_elementwise or not list(self.module().parameters()):
            return False
        return self._is_linear(training=False) and listed(self.module()(*self.bottoms))[0].requires_grad

    def _is_linear(self, training: bool, alike: bool = False) -> bool:
        """Whether each top element is an affine function, not constant, of its bottom element; if `alike`, the same."""
        tops = {
            x: self.run([torch.full_like(self.bottoms[0], x), *self.bottoms[1:]], training)[0] for x in (0, 1, 2, -3)
        }
        slope = tops[1] - tops[0]
        if not slope.any() or (alike and not torch.allclose(slope, slope.flatten()[0])):
            return False
        return all(torch.allclose(top, tops[0] + x * slope) for x, top in tops.items())

    @cached_property
    def mixes_items(self) -> bool:
        """Whether in training an item's top depends on other items of the batch, at places that stay."""
        return self._mixes_items(training=True)

    @cached_property
    def mixes_items_in_test(self) -> bool:
        """The same in test."""
        return self._mixes_items(training=False)

    def _mixes_items(self, training: bool) -> bool:
        if not self.bottoms or len(self.bottoms[0]) < 2 or (self.case.source and self.case.source.time_first):
            return False
        buffers = any(not weight.learnable for weight in self.case.layer.weights(self.case.first))
        if not self.keeps_shape and not buffers:
            return False
        given = [bottom.clone() for bottom in self.bottoms]
        given[0][0] += torch.arange(given[0][0].numel()).reshape(given[0][0].shape)
        return not torch.equal(self.run(training=training)[0][1:], self.run(given, training)[0][1:])

    def buffers_after_training(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The blobs that no solver changes, before and after a training pass."""
        module = self.module(training=True)
        before = [buffer.clone() for buffer in module.buffers()]
        with torch.no_grad():
            module(*self.bottoms)
        return zip(before, module.buffers())

    # ------------------------------------------------------------------ receptive field

    @cached_property
    def field(self) -> tuple[tuple[int, float | None], ...] | None:
        """For each spatial axis the size that top elements see, and the jump; None where places are not kept.

        The jump is None where every element sees the same.
        """
        places, positions = self.bottoms[0].shape[2:], self.top.shape[2:]
        if set(positions[len(places) :]) == {1}:  # MVN fills up to four axes
            positions = positions[: len(places)]
        if len(places) != len(positions):
            return None
        n, m = (tensor.shape[:2].numel() for tensor in (self.bottoms[0], self.top))
        seen = self.influence.reshape(n, *places, m, *positions)
        seen = seen.any(0).any(len(places))
        return tuple(self._along(seen, axis, len(places)) for axis in range(len(places)))

    def _along(self, seen: Tensor, axis: int, axes: int) -> tuple[int, float | None]:
        others = [a for a in range(axes) if a != axis]
        flat = seen
        for other in sorted((*others, *(axes + a for a in others)), reverse=True):
            flat = flat.any(other)
        spans = [(int(p.nonzero().min()), int(p.nonzero().max())) if p.any() else None for p in flat.t()]
        size = max(high - low + 1 for low, high in filter(None, spans))
        if size == flat.shape[0]:
            return size, None
        inner = [(i, sum(s) / 2) for i, s in enumerate(spans) if s and s[1] - s[0] + 1 == size]
        if len(inner) < 2:
            return size, None
        (first, low), (last, high) = inner[0], inner[-1]
        return size, (high - low) / (last - first)


@cache
def behavior(case: Case) -> Behavior:
    """The behavior of a case, measured once."""
    return Behavior(case)


def on_planes(case: Case) -> Case:
    """The case with a first bottom large enough for windows, where its only bottom has planes."""
    if len(case.first) == 1 and len(case.first[0]) == 4:
        larger = (1, case.first[0][1], 12, 11)
        return replace(case, first=(larger,)) if accepts(case.layer, larger) else case
    return case


def accepts(layer: Any, *shapes: tuple[int, ...]) -> bool:
    """Whether the layer takes bottoms of these shapes."""
    from netc.diagnostics import NetcError

    try:
        layer.infer(shapes, 1)
    except (NetcError, IndexError, ValueError):
        return False
    return True
