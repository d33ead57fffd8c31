"""Optimizer operators: against element by element transcriptions, and by hand."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.ir.layer import Mode
from netc.ir.operator import Operator
from netc.layers import operator_class
from tests.layers.operators import optimizers as reference

RNG = np.random.default_rng(7)
P, G, M, H, D = (RNG.normal(size=(3, 4)).astype(np.float32) for _ in range(5))
H, D = abs(H), abs(D)
LR = np.array([-0.3], np.float32)
INDICES = np.array([2, 0, 2], np.int64)
ROWS = RNG.normal(size=(3, 4)).astype(np.float32)


def arguments(values: dict[str, float | int]) -> dict[str, dict[str, float | int]]:
    return {name: {"i" if isinstance(value, int) else "f": value} for name, value in values.items()}


def run(type: str, inputs: list[np.ndarray], tops: int, in_place: dict[int, int] | None = None, **values) -> list:
    """Compute an operator; `in_place` says which input each output overwrites, the default is the same number."""
    names = [f"i{index}" for index in range(len(inputs))]
    sources = {index: index for index in range(tops)} if in_place is None else in_place
    outputs = [names[sources[i]] if i in sources and sources[i] < len(names) else f"o{i}" for i in range(tops)]
    cls = operator_class(type)
    assert cls is not None
    layer = cls.from_caffe2(Operator(type, arguments(values), names, outputs))
    shapes = layer.infer(tuple(a.shape for a in inputs), tops)
    dtypes = layer.dtypes(tuple(a.dtype.name for a in inputs), tops)
    found = layer.forward([torch.from_numpy(a.copy()) for a in inputs], (), Mode(True, tops, check=check))
    found = [found] if isinstance(found, torch.Tensor) else list(found)[:tops]
    assert [tuple(t.shape) for t in found] == list(shapes[:tops])
    assert [str(t.dtype) for t in found] == [f"torch.{dtype}" for dtype in dtypes]
    return [t.numpy() for t in found]


def check(values: torch.Tensor, bad: torch.Tensor, what: str) -> None:
    if bool(bad.any()):
        raise NetcError(what, code="E301")


def close(found, expected) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_allclose(one, np.asarray(other).reshape(one.shape), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("nesterov", [0, 1])
def test_momentum_sgd(nesterov):
    update = partial(reference.momentum_sgd, lr=-0.3, momentum=0.9, nesterov=nesterov)
    g, m = reference.each(update, G, M)
    values = {"momentum": 0.9, "nesterov": nesterov}
    close(run("MomentumSGD", [G, M, LR], 2, **values), (g, m))
    close(run("MomentumSGDUpdate", [G, M, LR, P], 3, {0: 0, 1: 1, 2: 3}, **values), (g, m, P - g))


def test_momentum_sgd_without_arguments_is_plain():
    close(run("MomentumSGD", [G, M, LR], 2), (-0.3 * G, -0.3 * G))


def test_sizes_count_not_shapes():
    g, m = run("MomentumSGD", [G, M.reshape(12), LR.reshape(())], 2)
    assert g.shape == (3, 4)
    assert m.shape == (12,)


def test_adagrad():
    expected = reference.each(partial(reference.adagrad, lr=-0.3, epsilon=1e-5, decay=1.0), P, H, G)
    close(run("Adagrad", [P, H, G, LR], 4), expected)
    expected = reference.each(partial(reference.adagrad, lr=-0.3, epsilon=1e-2, decay=0.7), P, H, G)
    close(run("Adagrad", [P, H, G, LR], 2, epsilon=1e-2, decay=0.7), expected[:2])


def test_adagrad_with_weight_decay():
    expected = reference.each(partial(reference.adagrad, lr=-0.3, epsilon=1e-5, decay=1.0), P, H, G + 0.5 * P)
    close(run("Adagrad", [P, H, G, LR], 2, weight_decay=0.5), expected[:2])


@pytest.mark.parametrize("iteration", [0, 10])
def test_adam(iteration):
    update = partial(reference.adam, lr=-0.3, iteration=iteration, beta1=0.8, beta2=0.99, epsilon=1e-3)
    step = np.array([iteration], np.int64)
    found = run("Adam", [P, M, H, G, LR, step], 4, {0: 0, 1: 1, 2: 2}, beta1=0.8, beta2=0.99, epsilon=1e-3)
    close(found, reference.each(update, P, M, H, G))


def test_rms_prop():
    update = partial(reference.rms_prop, lr=-0.3, decay=0.9, momentum=0.5, epsilon=1e-5)
    close(run("RmsProp", [G, H, M, LR], 3, momentum=0.5), reference.each(update, G, H, M))


def test_adadelta():
    update = partial(reference.adadelta, lr=-0.3, epsilon=1e-5, decay=0.95)
    close(run("Adadelta", [P, H, D, G, LR], 3), reference.each(update, P, H, D, G))


@pytest.mark.parametrize("alpha_is_input", [False, True])
def test_ftrl(alpha_is_input):
    update = partial(reference.ftrl, alpha=0.25, beta=1.0, lambda1=0.5, lambda2=0.001)
    w, n, z = reference.each(update, P, H, M, G)
    assert (w == 0).any()
    assert (w != 0).any()
    inputs = [P, np.stack([H, M], -1), G]
    if alpha_is_input:
        found = run("Ftrl", [*inputs, np.array([0.25], np.float32)], 2, lambda1=0.5)
    else:
        found = run("Ftrl", inputs, 2, alpha=0.25, lambda1=0.5)
    close(found, (w, np.stack([n, z], -1)))


def test_wngrad():
    total = np.array([2.0], np.float32)
    rate = -0.3 / (2 + 1e-5)
    found = run("Wngrad", [P, total, G, LR], 4)
    close(found, (P + rate * G, total + (G.astype(np.float64) ** 2).sum() / (2 + 1e-5), [rate], rate * G))


def test_lars():
    one = [np.array([x], np.float32) for x in (0.1, 2.0, 10.0)]
    w, g = np.linalg.norm(P.astype(np.float64)), np.linalg.norm(G.astype(np.float64))
    close(run("Lars", [P, G, *one], 1, {}), [[2 / (g / w + 0.1 + 0.5)]])
    low = [one[0], one[1], np.array([0.2], np.float32)]
    close(run("Lars", [P, G, *low], 1, {}), [[0.2]])
    close(run("Lars", [P, 1e6 * G, *one], 1, {}), [[0.02]])
    close(run("Lars", [0 * P, G, *one], 1, {}), [[1.0]])


def test_learning_rate_adaption():
    product = (G.astype(np.float64) * M).sum()
    norms = np.linalg.norm(G.astype(np.float64)) * np.linalg.norm(M.astype(np.float64))
    close(run("LearningRateAdaption", [LR, G, M], 1), [[-0.3 * (1 - 0.01 * product / norms)]])
    found = run("LearningRateAdaption", [LR, G, M], 1, lr_alpha=0.1, normalized_lr_adaption=0)
    close(found, [[-0.3 - 0.1 * product]])


def test_clip_tensor_by_scaling():
    norm = np.array([4.0], np.float32)
    close(run("ClipTensorByScaling", [G, norm], 1, threshold=1.0), [G / 4])
    close(run("ClipTensorByScaling", [G, norm, np.array([3.0], np.float32)], 1, threshold=1.0), [G * 0.75])
    close(run("ClipTensorByScaling", [G, norm], 1, threshold=5.0), [G])


def adagrad_row(p, states, g):
    return reference.each(partial(reference.adagrad, lr=-0.3, epsilon=1e-5, decay=1.0), p, states[0], g)[:2]


def adagrad_row_wise(p, states, g):
    total = states[0] + (g.astype(np.float64) ** 2).mean()
    return p - 0.3 * g / (np.sqrt(total) + 1e-5), total


def adam_row(p, states, g):
    update = partial(reference.adam, lr=-0.3, iteration=3, beta1=0.9, beta2=0.999, epsilon=1e-5)
    return reference.each(update, p, states[0], states[1], g)[:3]


def adam_row_wise(p, states, g):
    m = states[0] * 0.9 + g * 0.1
    v = states[1] * 0.999 + (g.astype(np.float64) ** 2).mean() * (1 - 0.999)
    factor = np.sqrt(1 - 0.999**4) / (1 - 0.9**4)
    return p - 0.3 * factor * m / (np.sqrt(v) + 1e-5), m, v


STEP = np.array([3], np.int64)


def test_sparse_updates_process_repeated_indices_in_order():
    close(run("SparseAdagrad", [P, H, INDICES, ROWS, LR], 2), reference.sparse(P, [H], INDICES, ROWS, adagrad_row))
    close(
        run("RowWiseSparseAdagrad", [P, H[:, 0], INDICES, ROWS, LR], 2),
        reference.sparse(P, [H[:, 0]], INDICES, ROWS, adagrad_row_wise),
    )
    close(
        run("SparseAdam", [P, M, H, INDICES, ROWS, LR, STEP], 3),
        reference.sparse(P, [M, H], INDICES, ROWS, adam_row),
    )
    close(
        run("RowWiseSparseAdam", [P, M, H[:, 0], INDICES, ROWS, LR, STEP], 3),
        reference.sparse(P, [M, H[:, 0]], INDICES, ROWS, adam_row_wise),
    )


def adadelta_row(p, states, g):
    update = partial(reference.adadelta, lr=-0.3, epsilon=1e-5, decay=0.95)
    return reference.each(update, p, states[0], states[1], g)


def test_sparse_adadelta():
    found = run("SparseAdadelta", [P, H, D, INDICES, ROWS, LR], 3)
    close(found, reference.sparse(P, [H, D], INDICES, ROWS, adadelta_row))


@pytest.mark.parametrize("alpha_is_input", [False, True])
def test_sparse_ftrl(alpha_is_input):
    def update(p, states, g):
        w, n, z = reference.each(
            partial(reference.ftrl, alpha=0.25, beta=1.0, lambda1=0.5, lambda2=0.001), p, states[0], states[1], g
        )
        return w, n, z

    inputs, values = [P, np.stack([H, M], -1), INDICES, ROWS], {"lambda1": 0.5, "alpha": 0.25}
    if alpha_is_input:
        inputs, values = [*inputs, np.array([values.pop("alpha")], np.float32)], values
    w, n, z = reference.sparse(P, [H, M], INDICES, ROWS, update)
    close(run("SparseFtrl", inputs, 2, **values), (w, np.stack([n, z], -1)))


def test_sparse_wngrad():
    total = np.array([2.0], np.float32)
    expected = P.astype(np.float64)
    for index, row in zip(INDICES, ROWS):
        expected[index] += -0.3 / (2 + 1e-5) * row
    found = run("SparseWngrad", [P, total, INDICES, ROWS, LR], 2)
    close(found, (expected, total + (ROWS.astype(np.float64) ** 2).sum() / 2))
    close(run("SparseWngrad", [P, total, INDICES[:0], ROWS[:0], LR], 2), (P, total))


def test_sparse_momentum():
    def update(p, states, g):
        new, m = reference.each(partial(reference.momentum_sgd, lr=-0.3, momentum=0.9, nesterov=1), g, states[0])
        return p - new, m

    pairs = {0: 0, 1: 1, 2: 3}
    found = run("SparseMomentumSGDUpdate", [ROWS, M, LR, P, INDICES], 3, pairs, momentum=0.9, nesterov=1)
    p, m = reference.sparse(P, [M], INDICES, ROWS, update)
    close(found[1:], (m, p))


def test_sparse_updates_of_no_rows_change_nothing():
    found = run("SparseAdagrad", [P, H, INDICES[:0], ROWS[:0], LR], 2)
    close(found, (P, H))


def test_the_fourth_output_of_sparse_adam_is_the_change():
    found = run("SparseAdam", [P, 0 * M, 0 * H, INDICES[:1], ROWS[:1], LR, STEP], 4, {0: 0, 1: 1, 2: 2})
    close([found[0][2]], [P[2] - 0.3 * found[3][0]])


@pytest.mark.parametrize(
    ("type", "inputs", "tops", "values", "code"),
    [
        ("MomentumSGD", [G, M[:2], LR], 2, {}, "E102"),
        ("MomentumSGD", [G, M, M], 2, {}, "E102"),
        ("Adam", [P, M, H, G, LR, LR], 3, {}, "E107"),
        ("Adam", [P, M, H, G, LR, STEP], 3, {"enableRAdam": 1}, "E106"),
        ("Adadelta", [P, H, D, G, LR], 3, {"decay": 1.0}, "E103"),
        ("Adadelta", [P, H, D, G, LR], 3, {"epsilon": -1.0}, "E103"),
        ("Ftrl", [P, H, G], 2, {}, "E102"),
        ("Ftrl", [P, np.stack([H, M], -1), G, LR], 2, {"alpha": 0.1}, "E101"),
        ("Lars", [P, G, LR, LR, LR], 1, {"offset": -1.0}, "E103"),
        ("ClipTensorByScaling", [G, LR], 1, {}, "E103"),
        ("ClipTensorByScaling", [G[:0], LR], 1, {"threshold": 1.0}, "E102"),
        ("SparseAdagrad", [P, H, INDICES, ROWS[:, :2], LR], 2, {}, "E102"),
        ("SparseAdadelta", [P, H, D, INDICES, ROWS, LR], 3, {"decay": 0.0}, "E103"),
        ("SparseFtrl", [P, H, INDICES, ROWS], 2, {}, "E102"),
        ("SparseFtrl", [P, np.stack([H, M], -1), INDICES, ROWS, LR], 2, {"alpha": 0.1}, "E101"),
        ("SparseWngrad", [P, H, INDICES, ROWS, LR], 2, {}, "E102"),
        ("SparseAdagrad", [P, H, INDICES, ROWS[:2], LR], 2, {}, "E102"),
        ("SparseAdagrad", [P, H, INDICES + 1, ROWS, LR], 2, {}, "E301"),
        ("RowWiseSparseAdagrad", [P, H, INDICES, ROWS, LR], 2, {}, "E102"),
    ],
)
def test_what_caffe2_refuses(type, inputs, tops, values, code):
    with pytest.raises(NetcError) as caught:
        run(type, inputs, tops, **values)
    assert caught.value.diagnostics[0].code == code


@pytest.mark.parametrize(
    ("type", "inputs", "outputs"),
    [
        ("MomentumSGDUpdate", "G M LR P", "G M P2"),
        ("SparseAdagrad", "P H I G LR", "P H2"),
        ("SparseAdam", "P M V I G LR T", "P2 M V"),
        ("SparseAdadelta", "P H D I G LR", "P H2 D"),
        ("SparseFtrl", "W NZ I G", "W NZ2"),
        ("SparseWngrad", "P B I G LR", "P B2"),
        ("Iter", "i", "j"),
        ("AtomicIter", "mutex i", "j"),
    ],
)
def test_updates_that_must_be_in_place(type, inputs, outputs):
    cls = operator_class(type)
    assert cls is not None
    with pytest.raises(NetcError, match="must be the blob of input") as caught:
        cls.from_caffe2(Operator(type, {}, inputs.split(), outputs.split()))
    assert caught.value.diagnostics[0].code == "E023"
