"""A case of every registered layer type: its parameters off their defaults, its bottoms at two sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from netc.ir.layer import Layer
from netc.layers import registry
from tests.layers.harness import distinct

TYPES = registry()


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


def made(type_name: str, *args, **kwargs) -> Layer:
    return TYPES[type_name](*args, **kwargs)


def alike(type_name: str, *args, **kwargs) -> Case:
    """A layer with one bottom of any shape."""
    return Case(made(type_name, *args, **kwargs), ((2, 3, 5),), ((4, 3, 2, 3),))


PLANES = ((2, 4, 5, 6),), ((3, 4, 7, 5),)
LABELLED = ((4, 5, 3), (4, 3)), ((2, 5, 4), (2, 4))
ROWS = ((4, 5), (4,)), ((7, 5), (7,))
SEQUENCE = ((4, 2, 3), (4, 2), (1, 2, 2), (1, 2, 2)), ((3, 5, 3), (3, 5), (1, 5, 2), (1, 5, 2))

CASES = [
    *(alike(name) for name in ("AbsVal", "BNLL", "ReLU", "Sigmoid", "TanH", "PReLU", "Split", "Softmax", "Threshold")),
    *(alike("Dropout", 0.3), alike("ELU", 1.7), alike("Swish", 2.5), alike("Clip", -0.5, 0.6), alike("Exp", 2.0, 0.5)),
    *(alike("Log", 10.0, 0.5, 3.0), alike("Power", 2.0, 0.5, 1.0), alike("Flatten"), alike("Tile", 3, 1)),
    *(alike("Reduction", "SUMSQ", 1), alike("Reshape", (0, -1)), alike("ArgMax", axis=1), alike("MVN")),
    *(alike("BatchNorm", eps=0.01), alike("Scale", 1, bias_term=True), alike("Bias"), alike("Silence")),
    Case(made("Accuracy", 2), *ROWS, integers=(1,)),
    Case(made("BatchReindex"), ((4, 3, 2), (5,)), ((3, 5), (2,)), integers=(1,), below=3),
    Case(made("Concat"), ((2, 3, 4), (2, 1, 4)), ((3, 2, 5), (3, 4, 5))),
    Case(made("ContrastiveLoss", 2.0), ((6, 4), (6, 4), (6,)), ((3, 5), (3, 5), (3,)), integers=(2,)),
    Case(made("Convolution", 4, (3, 2), (2, 1), (1, 0), group=2), *PLANES),
    Case(made("Crop", offset=(1, 0)), ((2, 3, 5, 6), (1, 1, 3, 4)), ((1, 2, 4, 5), (1, 1, 3, 2)), held=(1,)),
    Case(made("Deconvolution", 4, (3, 2), (2, 1), (1, 0), group=2), *PLANES),
    Case(made("Eltwise", "SUM", (0.5, -2.0, 1.0)), ((2, 3, 4),) * 3, ((5, 2),) * 3),
    Case(made("Embed", 3, 5), ((4,),), ((2, 3),), integers=(0,), below=5),
    Case(made("EuclideanLoss"), ((4, 3, 2), (4, 6)), ((3, 2), (3, 2))),
    Case(made("Filter"), ((5, 3), (5, 2, 2), (5,)), ((4, 2), (4, 3), (4,)), tops=2, integers=(2,)),
    Case(made("HingeLoss", "L2"), *ROWS, integers=(1,), below=5),
    Case(made("Im2col", (3, 2), (2, 1), (1, 0)), *PLANES),
    Case(made("InfogainLoss"), (*LABELLED[0], (5, 5)), (*LABELLED[1], (5, 5)), integers=(1,), below=5, held=(2,)),
    Case(made("InnerProduct", 3), ((2, 4, 3),), ((5, 12),)),
    Case(made("LRN", 3, 0.7), *PLANES),
    Case(made("LSTM", 2, True), SEQUENCE[0], SEQUENCE[1], tops=3, integers=(1,), held=(2, 3)),
    Case(made("LSTMUnit"), ((1, 3, 2), (1, 3, 8), (1, 3)), ((1, 2, 3), (1, 2, 12), (1, 2)), tops=2, integers=(2,)),
    Case(made("MultinomialLogisticLoss"), *ROWS, integers=(1,), below=5, positive=True),
    Case(made("Parameter", (2, 3)), (), ()),
    Case(made("Pooling", "MAX", (3, 2), (2, 2), (1, 1)), *PLANES),
    Case(made("Pooling", "AVE", (3, 2), (2, 2), (1, 1)), *PLANES),
    Case(made("Pooling", "STOCHASTIC", (3, 2), (2, 2)), *PLANES, positive=True),
    Case(made("RNN", 2, True), SEQUENCE[0][:3], SEQUENCE[1][:3], tops=2, integers=(1,), held=(2,)),
    Case(made("SPP", 2), *PLANES),
    Case(made("SigmoidCrossEntropyLoss"), ((4, 5), (4, 5)), ((2, 3, 2), (2, 3, 2)), held=(1,)),
    Case(made("Slice"), ((2, 4, 3),), ((3, 6),), tops=2),
    Case(made("SoftmaxWithLoss"), *LABELLED, integers=(1,), below=5),
]
OWN = {"Python": "computes what its user's class says", "HDF5Output": "writes files", "Parameter": "has no bottom"}
"""Types whose own tests do what cannot be asked here, and why."""


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
