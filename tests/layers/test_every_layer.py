"""Every registered layer type: its gradient in float64, and one module at two sizes. A type that is forgotten fails."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from netc.ir.layer import Count, Layer
from netc.layers import registry
from tests.layers.harness import all_fit, distinct, module_of

TYPES = registry()


@dataclass(frozen=True)
class Case:
    """A layer and its bottoms' shapes, twice."""

    layer: Layer
    first: tuple[tuple[int, ...], ...]
    second: tuple[tuple[int, ...], ...]
    tops: int = 1
    below: int = 2
    """Bottoms without a gradient hold integers from 0 to one less."""
    held: tuple[int, ...] = ()
    """Bottoms that get none in this case, beside those that never do."""
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
    Case(made("Accuracy", 2), *ROWS),
    Case(made("BatchReindex"), ((4, 3, 2), (5,)), ((3, 5), (2,)), below=3),
    Case(made("Concat"), ((2, 3, 4), (2, 1, 4)), ((3, 2, 5), (3, 4, 5))),
    Case(made("ContrastiveLoss", 2.0), ((6, 4), (6, 4), (6,)), ((3, 5), (3, 5), (3,))),
    Case(made("Convolution", 4, (3, 2), (2, 1), (1, 0), group=2), *PLANES),
    Case(made("Crop", offset=(1, 0)), ((2, 3, 5, 6), (1, 1, 3, 4)), ((1, 2, 4, 5), (1, 1, 3, 2))),
    Case(made("Deconvolution", 4, (3, 2), (2, 1), (1, 0), group=2), *PLANES),
    Case(made("Eltwise", "SUM", (0.5, -2.0, 1.0)), ((2, 3, 4),) * 3, ((5, 2),) * 3),
    Case(made("Embed", 3, 5), ((4,),), ((2, 3),), below=5),
    Case(made("EuclideanLoss"), ((4, 3, 2), (4, 6)), ((3, 2), (3, 2))),
    Case(made("Filter"), ((5, 3), (5, 2, 2), (5,)), ((4, 2), (4, 3), (4,)), tops=2),
    Case(made("HingeLoss", "L2"), *ROWS, below=5),
    Case(made("Im2col", (3, 2), (2, 1), (1, 0)), *PLANES),
    Case(made("InfogainLoss"), (*LABELLED[0], (5, 5)), (*LABELLED[1], (5, 5)), below=5),
    Case(made("InnerProduct", 3), ((2, 4, 3),), ((5, 12),)),
    Case(made("LRN", 3, 0.7), *PLANES),
    Case(made("LSTM", 2, True), SEQUENCE[0], SEQUENCE[1], tops=3, held=(2, 3)),
    Case(made("LSTMUnit"), ((1, 3, 2), (1, 3, 8), (1, 3)), ((1, 2, 3), (1, 2, 12), (1, 2)), tops=2),
    Case(made("MultinomialLogisticLoss"), *ROWS, below=5, positive=True),
    Case(made("Parameter", (2, 3)), (), ()),
    Case(made("Pooling", "MAX", (3, 2), (2, 2), (1, 1)), *PLANES),
    Case(made("Pooling", "AVE", (3, 2), (2, 2), (1, 1)), *PLANES),
    Case(made("Pooling", "STOCHASTIC", (3, 2), (2, 2)), *PLANES, positive=True),
    Case(made("RNN", 2, True), SEQUENCE[0][:3], SEQUENCE[1][:3], tops=2, held=(2,)),
    Case(made("SPP", 2), *PLANES),
    Case(made("SigmoidCrossEntropyLoss"), ((4, 5), (4, 5)), ((2, 3, 2), (2, 3, 2))),
    Case(made("Slice"), ((2, 4, 3),), ((3, 6),), tops=2),
    Case(made("SoftmaxWithLoss"), *LABELLED, below=5),
]
OWN = {"Python": "computes what its user's class says", "HDF5Output": "writes files", "Parameter": "has no bottom"}
"""Types whose own tests do what cannot be asked here, and why."""


def has_gradient(cls: type[Layer]) -> bool:
    """Whether a bottom or a blob of the type can have one."""
    if cls.is_data or cls.top_count == Count(0) or cls.type in ("Python", "HDF5Output"):
        return False
    own = cls.weights is not Layer.weights
    return own or cls.bottom_count.most(9) > len(cls.no_gradient)


def fixed(case: Case, count: int) -> set[int]:
    return {index % count for index in case.layer.no_gradient} | set(case.held) if count else set()


def bottoms(case: Case, shapes, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    integers = fixed(case, len(shapes)) - set(case.held)
    tensors = [
        torch.randint(case.below, shape, generator=generator).double() if i in integers else distinct(shape, generator)
        for i, shape in enumerate(shapes)
    ]
    return [t if i in integers or not case.positive else (t + 1.1) / 3 for i, t in enumerate(tensors)]


def listed(tops) -> list[Tensor]:
    return [tops] if isinstance(tops, Tensor) else list(tops)


def test_no_type_is_forgotten():
    asked = {case.layer.type for case in CASES}
    assert {name for name, cls in TYPES.items() if not cls.is_data} - asked <= set(OWN)
    assert {name for name, cls in TYPES.items() if has_gradient(cls)} <= asked


@pytest.mark.parametrize("case", [case for case in CASES if has_gradient(type(case.layer))], ids=str)
def test_gradient_at_two_sizes(case):
    module = module_of(case.layer, case.first, case.tops).double().eval()
    names = [name for name, _ in module.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in module.parameters()]
    for seed, shapes in enumerate((case.first, case.second)):
        given = bottoms(case, shapes, seed)
        free = [i for i in range(len(shapes)) if i not in fixed(case, len(shapes))]

        def function(*inputs, given=given, free=free):
            blobs = list(given)
            for i, tensor in zip(free, inputs):
                blobs[i] = tensor
            parameters = dict(zip(names, inputs[len(free) :]))
            return torch.func.functional_call(module, parameters, tuple(blobs))

        assert torch.autograd.gradcheck(function, (*(given[i].requires_grad_() for i in free), *values), atol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if case.first], ids=str)
def test_one_module_at_two_sizes(case):
    tops = 0 if case.layer.top_count == Count(0) else case.tops
    assert case.first != case.second
    module = module_of(case.layer, case.first, tops).double().eval()
    with torch.no_grad():
        for seed, shapes in enumerate((case.first, case.second, case.first)):
            fresh = module_of(case.layer, shapes, tops).double().eval()
            given = bottoms(case, shapes, seed)
            found = listed(module(*given))
            torch.testing.assert_close(found, listed(fresh(*given)), rtol=0, atol=0)
            inferred = case.layer.infer(shapes, tops)[:tops]
            assert all_fit(found, inferred)
