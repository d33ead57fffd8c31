import numpy as np
import pytest
import torch

from netc.ir.dims import UNKNOWN
from netc.layers.spatial_transformer import LocLoss, SpatialTransformer, STLoss
from tests.layers.case import Case, Source, made
from tests.layers.contract import raises, resizes, round_trip, traces, values
from tests.layers.harness import layer_of, module_of, run, shapes_of

REQUIRED = {
    "STLoss": "output_H: 2 output_W: 3",
    "LocLoss": "threshold: 0.5",
}
KINKS = "the derivative, which differs to either side of an element's center"
CASES = [
    Case(
        made("SpatialTransformer", 3, 4),
        ((2, 3, 5, 6), (2, 6)),
        ((3, 2, 4, 5), (3, 6)),
        source=Source(own_gradient=KINKS, places_lost=True),
    ),
    Case(
        made("SpatialTransformer", to_compute_du=False, theta_1_2=0.1, theta_2_1=0.2),
        ((2, 3, 5, 6), (2, 4)),
        ((3, 2, 4, 5), (3, 4)),
        source=Source(own_gradient=KINKS, places_lost=True),
    ),
    Case(made("STLoss", 3, 4), ((2, 6),), ((3, 6),), source=Source()),
    Case(made("LocLoss", 0.25), ((2, 6),), ((3, 4, 2),), source=Source()),
]


def sampled(image, x, y):
    """The element at a fractional position, 0 outside."""
    total = 0.0
    for m in (int(np.floor(x)), int(np.floor(x)) + 1):
        for n in (int(np.floor(y)), int(np.floor(y)) + 1):
            if 0 <= m < image.shape[0] and 0 <= n < image.shape[1]:
                total += (1 - abs(x - m)) * (1 - abs(y - n)) * image[m, n]
    return total


def transformed(images, matrices, height, width):
    n, c, h, w = images.shape
    top = np.zeros((n, c, height, width))
    for i, j, s, t in np.ndindex(top.shape):
        px, py = matrices[i] @ [s / height * 2 - 1, t / width * 2 - 1, 1]
        top[i, j, s, t] = sampled(images[i, j], (px + 1) / 2 * h, (py + 1) / 2 * w)
    return top


def test_forward():
    images, theta = values(2, 3, 5, 7).numpy(), values(2, 6, seed=8).numpy() * 0.6
    for height, width in ((4, 3), (5, 7)):
        (found,) = run(SpatialTransformer(height, width), images, theta)
        expected = transformed(images, theta.reshape(2, 2, 3), height, width)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    identity = np.array([[1.0, 0, 0, 0, 1, 0]] * 2)
    np.testing.assert_allclose(run(SpatialTransformer(), images, identity)[0], images, rtol=1e-9, atol=1e-12)


def test_fixed_elements():
    images, theta = values(2, 3, 5, 7).numpy(), values(2, 3, seed=8).numpy() * 0.5
    layer = SpatialTransformer(4, 6, theta_1_1=0.5, theta_2_1=-0.25, theta_2_3=0.125)
    matrices = np.empty((2, 6))
    matrices[:, [0, 3, 5]] = 0.5, -0.25, 0.125
    matrices[:, [1, 2, 4]] = theta
    (found,) = run(layer, images, theta)
    np.testing.assert_allclose(found, transformed(images, matrices.reshape(2, 2, 3), 4, 6), rtol=1e-9, atol=1e-12)


def test_gradient():
    images, theta = values(2, 2, 4, 5).requires_grad_(), (values(2, 6, seed=3) * 0.31).requires_grad_()
    module = module_of(SpatialTransformer(2, 3), shapes_of((images, theta))).double()
    assert torch.autograd.gradcheck(module, (images, theta), eps=1e-7)


def test_images_without_a_gradient():
    images, theta = values(1, 1, 4, 4).requires_grad_(), values(1, 6).requires_grad_()
    module_of(SpatialTransformer(to_compute_du=False), shapes_of((images, theta)))(images, theta).sum().backward()
    assert images.grad is None
    assert theta.grad is not None


def test_losses():
    theta = values(2, 6).numpy() * 1.5
    total = 0.0
    for matrix in theta.reshape(2, 2, 3):
        for s, t in np.ndindex(3, 4):
            place = matrix @ [s * 2 / 3 - 1, t * 2 / 4 - 1, 1]
            total += (np.maximum(np.abs(place) - 1, 0) ** 2).sum() / 2
    assert run(STLoss(3, 4), theta)[0] == pytest.approx(total / 24)
    beyond = np.maximum(np.abs(theta) - 0.5, 0)
    assert run(LocLoss(0.5), theta)[0] == pytest.approx((beyond**2).mean() / 2)


def test_sizes_and_traces():
    first, second = (values(2, 3, 5, 6), values(2, 6)), (values(1, 3, 4, 8), values(1, 6))
    resizes(SpatialTransformer(), first, second)
    traces(SpatialTransformer(3, 4), *first)
    resizes(STLoss(3, 4), first[1:], second[1:])
    meta = SpatialTransformer(4, 5).forward([x.to("meta") for x in first], (), None)
    assert meta.shape == (2, 3, 4, 5)


def test_files():
    layer = round_trip("SpatialTransformer", output_H=4, output_W=5, to_compute_dU=False, theta_1_1=0.5, theta_2_2=0.0)
    assert layer == SpatialTransformer(4, 5, False, theta_1_1=0.5, theta_2_2=0.0)
    assert round_trip("SpatialTransformer") == SpatialTransformer()
    assert round_trip("STLoss", output_H=4, output_W=5) == STLoss(4, 5)
    assert round_trip("LocLoss", threshold=0.25) == LocLoss(0.25)


@pytest.mark.parametrize(
    ("code", "text", "type_name", "message"),
    [
        ("E101", "`transform_type` is supported as `affine` only", "SpatialTransformer",
         {"st_param": {"transform_type": "tps"}}),
        ("E101", "`de_transform` is not supported", "SpatialTransformer", {"st_param": {"de_transform": True}}),
        ("E103", "`output_h` is 0", "SpatialTransformer", {"st_param": {"output_H": 0}}),
        ("E103", "`output_W` is 0", "STLoss", {"st_loss_param": {"output_H": 3, "output_W": 0}}),
        ("E103", "`threshold` is -1: it must be positive", "LocLoss", {"loc_loss_param": {"threshold": -1.0}}),
    ],
)  # fmt: skip
def test_parameters(code, text, type_name, message):
    with raises(code, text):
        layer_of(type_name, message)


def test_shapes():
    assert repr(SpatialTransformer(4).infer(((2, 3, 5, UNKNOWN), (2, 6)), 1)) == "((2, 3, 4, ?),)"
    with raises("E102", "expected images"):
        SpatialTransformer().infer(((2, 3), (2, 6)), 1)
    with raises("E102", r"expected 6 elements of the matrix for each of 2 images, got \[2,5\]"):
        SpatialTransformer().infer(((2, 3, 4, 4), (2, 5)), 1)
    with raises("E102", r"expected matrices \(n, 6\), got \[2,5\]"):
        STLoss(3, 4).infer(((2, 5),), 1)
