"""Every registered layer type: its gradient in float64, and one module at two sizes. A type that is forgotten fails."""

from __future__ import annotations

import pytest
import torch

from netc.ir.layer import Count, Layer
from netc.layers import layer_classes
from tests.layers.case import TYPES, bottoms, fixed, listed
from tests.layers.cases import CASES, OWN
from tests.layers.harness import all_fit, module_of


def has_gradient(cls: type[Layer]) -> bool:
    """Whether a bottom or a blob of the type can have one."""
    if cls.is_data or cls.top_count == Count(0) or cls.type in ("Python", "HDF5Output"):
        return False
    own = cls.weights is not Layer.weights
    if isinstance(cls.no_gradient, property):  # depends on parameters
        return True
    return own or cls.bottom_count.most(9) > len(cls.no_gradient)


def test_no_type_is_forgotten():
    asked = {type(case.layer) for case in CASES}
    classes = {cls for name in TYPES for cls in layer_classes(name)}
    assert {cls.type for cls in classes - asked if not cls.is_data} <= set(OWN)
    assert {cls for cls in classes if has_gradient(cls)} <= asked


DERIVED = [case for case in CASES if has_gradient(type(case.layer)) and not (case.source and case.source.own_gradient)]


@pytest.mark.parametrize("case", DERIVED, ids=str)
def test_gradient_at_two_sizes(case):
    module = module_of(case.layer, case.first, case.tops).double().eval()
    names = [name for name, _ in module.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in module.parameters()]
    for seed, shapes in enumerate((case.first, case.second)):
        given = bottoms(case, shapes, seed)
        free = [i for i in range(len(shapes)) if i not in fixed(case)]

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
