"""One case of a layer type: its parameters off their defaults, its bottoms at two sizes.

Each test_<family>.py lists the cases of its layers as CASES; cases.py collects them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netc.ir.layer import Layer
from netc.ir.traits import Role, TopRead
from netc.layers import registry
from tests.layers.harness import distinct

TYPES = registry()


@dataclass(frozen=True)
class Source:
    """What only a fork's source tells about its layer; BVLC's layers have tables in test_traits.py."""

    in_place: bool = False
    """Backward needs nothing that a forward pass in place overwrites."""
    reads_top: TopRead = ""
    """What Backward reads from the top that did not overwrite the bottom."""
    reads_top_in_place: TopRead | None = None
    """The same for a top that did; None if it is the same."""
    role: Role = ""
    """Whether nets end in the layer ("score") or go on after it ("inner")."""
    places_lost: bool = False
    """Whether values, or a factor that depends on the extents, decide where an element comes from."""
    extents_of_data: bool = False
    """Whether values decide how many rows the tops have."""
    is_loss: bool = False
    """Whether the top is a loss although it has several numbers."""
    own_gradient: str = ""
    """Where Backward computes something else than the derivative of the top: what it is."""
    time_first: bool = False
    """Whether the first axis is that of time steps, not of items."""
    rounded: tuple[int, ...] = ()
    """Bottoms in which small changes have no effect on the tops of this case, although they are computed with."""


@dataclass(frozen=True)
class Case:
    """A layer and its bottoms' shapes, twice."""

    layer: Layer
    first: tuple[tuple[int, ...], ...]
    second: tuple[tuple[int, ...], ...]
    tops: int = 1
    integers: tuple[int, ...] = ()
    """Bottoms that hold integers (labels, indices), from 0 to one less than `below`."""
    below: int = 2
    held: tuple[int, ...] = ()
    """Further bottoms that get no gradient."""
    positive: bool = False
    source: Source | None = None
    """None for a layer of BVLC's."""

    def __str__(self) -> str:
        """A short name: a test with a long one takes longer to report than to run."""
        return f"{self.layer.type} {self.first}".replace(" ", "")


def made(type_name: str, *args, **kwargs) -> Layer:
    return TYPES[type_name](*args, **kwargs)


def alike(type_name: str, *args, source: Source | None = None, **kwargs) -> Case:
    """A layer with one bottom of any shape."""
    return Case(made(type_name, *args, **kwargs), ((2, 3, 5),), ((4, 3, 2, 3),), source=source)


PLANES = ((2, 4, 5, 6),), ((3, 4, 7, 5),)
LABELLED = ((4, 5, 3), (4, 3)), ((2, 5, 4), (2, 4))
ROWS = ((4, 5), (4,)), ((7, 5), (7,))
SEQUENCE = ((4, 2, 3), (4, 2), (1, 2, 2), (1, 2, 2)), ((3, 5, 3), (3, 5), (1, 5, 2), (1, 5, 2))


def fixed(case: Case) -> set[int]:
    """The bottoms that get no gradient."""
    return {*case.integers, *case.held}


def bottoms(case: Case, shapes, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tensors = [
        torch.randint(case.below, shape, generator=generator).double()
        if i in case.integers
        else distinct(shape, generator)
        for i, shape in enumerate(shapes)
    ]
    return [t if i in case.integers or not case.positive else (t + 1.1) / 3 for i, t in enumerate(tensors)]


def listed(tops) -> list[Tensor]:
    return [tops] if isinstance(tops, Tensor) else list(tops)
