"""DataAugmentation, compared with a transcription of FlowNet2's kernels; its mean, blobs, and random numbers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

import netc
from netc.compiler import file_weights, weighted
from netc.diagnostics import Source
from netc.ir.dims import UNKNOWN
from netc.layers.optical_flow._coefficients import NAMES
from netc.layers.optical_flow.data_augmentation import DataAugmentation
from netc.weights import write_caffemodel
from tests.layers.case import Case
from tests.layers.case import Source as Told
from tests.layers.contract import raises, resizes, traces, values
from tests.layers.harness import layer_of, module_of, run
from tests.layers.optical_flow.augmentations import ONES, ORDER, VECTORS, array, augmented, items_of

TOLD = Told(places_lost=True, own_gradient="none: the layer has no backward pass")
CASES = [
    Case(
        DataAugmentation(crop_width=3, crop_height=4, recompute_mean=2),
        ((2, 3, 5, 6),),
        ((3, 3, 7, 5),),
        tops=2,
        source=TOLD,
    ),
    Case(
        DataAugmentation(crop_width=3, crop_height=4, recompute_mean=2, mean_per_pixel=False),
        ((2, 3, 5, 6),),
        ((3, 3, 7, 5),),
        source=TOLD,
    ),
]
NUMBER = {"mean": 1.5}
EIGEN = ["lmult_pow", "lmult_mult", "lmult_add", "sat_pow", "sat_mult", "sat_add", "col_pow", "col_mult", "col_add"]
EIGEN += ["ladd_pow", "ladd_mult", "ladd_add", "col_rotate"]
OTHERS = ["mirror", "translate", "rotate", "zoom", "squeeze", "translate_x", "translate_y", "gamma", "brightness"]
OTHERS += ["contrast", "color", "fog_amount", "fog_size", "motion_blur_angle", "motion_blur_size", "shadow_angle"]
OTHERS += ["shadow_distance", "shadow_strength", "noise"]
WHOLE = {f"augmentation_param.{name}": {"augmentation_param": {name: NUMBER}} for name in (*EIGEN, *OTHERS)}
WHOLE["DataAugmentation augmentation_param.chromatic_eigvec"] = {
    "augmentation_param": {"chromatic_eigvec": list(VECTORS)}
}
WHOLE["augmentation_param.mode"] = {"augmentation_param": {"mode": "replace"}}


def random_items(count: int, names=ORDER, seed: int = 4, noise: bool = False) -> np.ndarray:
    """Coefficients that move and recolor each item in another way."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        item = {name: math.exp(generator.normal() * 0.2) for name in names if name in ONES}
        item |= {name: generator.normal() * 0.1 for name in names if name not in ONES}
        if "mirror" in names:
            item["mirror"] = float(generator.integers(2))
        item |= {"shadow_strength": abs(item["shadow_strength"])} if "shadow_strength" in names else {}
        found.append(item if noise else {**item, "noise": 0.0})
    return array(*found)


def colors(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def test_the_order_of_the_coefficients():
    assert list(NAMES) == ORDER
    assert len(ORDER) == 42


@pytest.mark.parametrize(
    "names", [ORDER[:6], ORDER[6:12], ORDER[12:34], ["shadow_angle", "shadow_distance", "shadow_strength"], ORDER]
)
@pytest.mark.parametrize("seed", range(3))
def test_coefficients_of_a_bottom(names, seed):
    images, blob = colors(3, 3, 7, 9, seed=seed), random_items(3, names, seed)
    layer = DataAugmentation(crop_width=5, crop_height=4, max_multiplier=1.0, chromatic_eigvec=VECTORS)
    top, given = run(layer, images, blob, tops=2)
    np.testing.assert_allclose(top, augmented(images, blob, 4, 5, 1.0), rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(given, blob)


def test_a_batch_in_which_one_item_is_changed_is_limited_as_a_whole():
    images, blob = 2 * colors(2, 3, 5, 6), array({"gamma": 1.5}, {})
    (top,) = run(DataAugmentation(crop_width=4, crop_height=4, max_multiplier=0.9), images, blob)
    np.testing.assert_allclose(top, augmented(images, blob, 4, 4, 0.9), rtol=1e-9)
    assert top[1].max() == 0.9


def test_dark_and_gray_images_whose_components_are_small():
    images = np.full((1, 3, 3, 4), 1e-3) * [[[[1]], [[2]], [[3]]]]
    blob = random_items(1, ORDER[12:34])
    layer = DataAugmentation(crop_width=3, crop_height=2, chromatic_eigvec=VECTORS)
    np.testing.assert_allclose(run(layer, images, blob)[0], augmented(images, blob, 2, 3), rtol=1e-9, atol=1e-12)


def test_coefficients_close_to_the_default_change_nothing():
    images, nearly = colors(1, 3, 5, 6), array({"gamma": 1.0009, "angle": 0.0009, "zoom_x": 0.9995, "dx": -0.0009})
    layer = DataAugmentation(crop_width=4, crop_height=3)
    np.testing.assert_array_equal(run(layer, images, nearly)[0], run(layer, images)[0])
    assert (run(layer, images, array({"gamma": 1.002}))[0] != run(layer, images)[0]).all()


@pytest.mark.parametrize(("size", "crop"), [((7, 9), (4, 5)), ((6, 8), (4, 4)), ((5, 6), (5, 6)), ((1, 3), (1, 2))])
def test_in_test_the_top_is_the_center(size, crop):
    images = values(2, 4, *size).numpy()
    layer = DataAugmentation(crop_width=crop[1], crop_height=crop[0])
    top, given = run(layer, images, tops=2)
    np.testing.assert_allclose(top, augmented(images, np.zeros((2, 42, 1, 1)), *crop), rtol=1e-9)
    assert not given.any()


def test_without_a_crop_nothing_is_drawn():
    layer = layer_of("DataAugmentation", {"augmentation_param": {"gamma": NUMBER, "zoom": NUMBER, "crop_width": 3}})
    images = values(2, 5, 3, 4).numpy()
    top, given = run(layer, images, tops=2, training=True)
    np.testing.assert_array_equal(top, images)
    assert not given.any()


def test_a_mean_of_three_values():
    images = colors(2, 3, 4, 5)
    (top,) = run(DataAugmentation(mean=(0.1, 0.2, 0.3), mean_per_pixel=False), images)
    np.testing.assert_allclose(top, images - np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1))
    np.testing.assert_array_equal(run(DataAugmentation(mean=(0.1, 0.2, 0.3)), images)[0], images)
    np.testing.assert_array_equal(run(DataAugmentation(mean=(0.1,), mean_per_pixel=False), images)[0], images)


@pytest.mark.parametrize("per_pixel", [True, False])
def test_the_mean_of_the_first_passes(per_pixel):
    layer = DataAugmentation(crop_width=4, crop_height=3, recompute_mean=2, mean_per_pixel=per_pixel)
    module = module_of(layer, ((2, 3, 5, 6),)).double().train()
    for buffer in module.buffers():
        buffer.zero_()
    mean = np.zeros((3, 3, 4))
    for number in range(1, 5):
        images = colors(2, 3, 5, 6, seed=number)
        top = augmented(images, np.zeros((2, 42, 1, 1)), 3, 4)
        if number <= 2:
            mean = (mean * (number - 1) + top.mean(0)) / number
        subtracted = mean if per_pixel else mean.mean((1, 2), keepdims=True)
        np.testing.assert_allclose(module(torch.tensor(images)).numpy(), top - subtracted, rtol=1e-9, atol=1e-12)
        assert module.passes.item() == number
    module.eval()
    images = colors(2, 3, 5, 6)
    expected = augmented(images, np.zeros((2, 42, 1, 1)), 3, 4) - subtracted
    np.testing.assert_allclose(module(torch.tensor(images)).numpy(), expected, rtol=1e-9, atol=1e-12)
    assert module.passes.item() == 4, "a test counts nothing"
    np.testing.assert_allclose(module.channel_mean.flatten().numpy(), mean.mean((1, 2)))


def test_a_frozen_layer_leaves_its_blobs():
    layer = DataAugmentation(recompute_mean=2).frozen()
    assert layer != DataAugmentation(recompute_mean=2)
    assert layer.to_caffe() == DataAugmentation(recompute_mean=2).to_caffe()
    assert DataAugmentation(mean=(1.0,)).frozen() == DataAugmentation(mean=(1.0,))
    module = module_of(layer, ((2, 3, 4, 5),)).train()
    before = [buffer.clone() for buffer in module.buffers()]
    module(torch.rand(2, 3, 4, 5))
    assert all(map(torch.equal, before, module.buffers()))


def drawn(count=400, training=True, passes=0, size=(20, 24), crop=(4, 5), channels=3, **parameters):
    """The coefficients of some items, by name."""
    message = {"augmentation_param": {"crop_width": crop[1], "crop_height": crop[0], **parameters}}
    message["coeff_schedule_param"] = message["augmentation_param"].pop("schedule", {})
    layer = layer_of("DataAugmentation", message)
    module = module_of(layer, ((count, channels, *size),), 2).train(training)
    module.passes.fill_(passes)
    torch.manual_seed(3)
    _, blob = module(torch.rand(count, channels, *size))
    items = items_of(blob.numpy().astype(np.float64), tidy=False)
    return {name: np.array([item[name] for item in items]) for name in ORDER}


def test_numbers_without_spread_are_the_mean():
    found = drawn(
        translate={"mean": 0.1},
        translate_y={"mean": -0.2},
        rotate={"mean": 0.3, "multiplier": 2.0},
        zoom={"mean": 0.2, "exp": True},
        squeeze={"mean": 0.1, "exp": True},
        color={"mean": 1.25},
        shadow_strength={"mean": 0.5},
        chromatic_eigvec=list(VECTORS),
        **{name: {"mean": 0.5 + index} for index, name in enumerate(EIGEN)},
    )
    expected = {"dx": 0.1, "dy": -0.2, "angle": 0.6, "zoom_x": math.exp(0.3), "zoom_y": math.exp(0.1)}
    expected |= dict.fromkeys(("color1", "color2", "color3"), 1.25) | {"shadow_strength": 0.5}
    means = {name: 0.5 + index for index, name in enumerate(EIGEN)}
    for kind in ("pow", "mult", "add"):
        expected[f"lmult_{kind}"] = means[f"lmult_{kind}"]
        expected |= {f"{kind}_withmean{i}": means[f"sat_{kind}"] for i in (1, 2)}
        expected |= {f"{kind}_nomean{i}": means[f"col_{kind}"] for i in (1, 2)}
        expected[f"{kind}_nomean0"] = means[f"ladd_{kind}"]
    expected["col_angle"] = means["col_rotate"]
    for name, column in found.items():
        np.testing.assert_allclose(column, expected.get(name, name in ONES), rtol=1e-5, atol=1e-6, err_msg=name)


def test_uniform_and_normal_numbers():
    found = drawn(
        brightness={"mean": 0.1, "spread": 0.2},
        gamma={"rand_type": "gaussian", "mean": 0.3, "spread": 0.1, "exp": True},
        contrast={"mean": 3.0, "spread": 2.0, "discretize": True, "multiplier": 0.5},
        count=4000,
    )
    uniform, normal = found["brightness"], np.log(found["gamma"])
    assert uniform.min() >= -0.1
    assert uniform.max() <= 0.3
    np.testing.assert_allclose((uniform.mean(), uniform.std()), (0.1, 0.2 / math.sqrt(3)), atol=0.01)
    np.testing.assert_allclose((normal.mean(), normal.std()), (0.3, 0.1), atol=0.01)
    assert set(np.round(2 * found["contrast"], 4)) == {1, 2, 3, 4, 5}


def test_bernoulli_trials():
    found = drawn(
        mirror={"rand_type": "bernoulli", "prob": 0.25},
        rotate={"rand_type": "uniform_bernoulli", "prob": 0.5, "mean": 0.1, "multiplier": 2.0},
        zoom={"rand_type": "gaussian_bernoulli", "prob": 0.0, "mean": 7.0, "multiplier": 3.0},
        gamma={"rand_type": "uniform_bernoulli", "prob": 0.5, "mean": 0.2, "exp": True, "multiplier": 2.0},
        shadow_strength={"rand_type": "uniform_bernoulli", "prob": 0.5, "mean": 2.0},
        count=2000,
    )
    assert abs(found["mirror"].mean() - 0.25) < 0.05
    assert set(np.round(found["angle"], 6)) == {0, 0.2}
    assert abs((found["angle"] > 0).mean() - 0.5) < 0.05
    assert (found["zoom_x"] == 1).all(), "the default, not multiplied"
    assert set(np.round(found["gamma"], 5)) == {2.0, round(2 * math.exp(0.2), 5)}
    assert set(found["shadow_strength"]) == {0, 2}


def test_the_factor_of_the_schedule():
    schedule = {"half_life": 10.0, "initial_coeff": 0.5, "final_coeff": 1.0}
    number = {"rand_type": "gaussian", "spread": 1.0}
    for passes, factor in ((0, None), (9, 0.75), (1000, 1.0)):
        found = drawn(
            brightness=number,
            contrast={**number, "apply_schedule": False, "exp": True},
            schedule=schedule,
            passes=passes,
            count=4000,
        )
        if factor is None:
            factor = 0.5 + 0.5 * (2 / (1 + math.exp(-0.10986)) - 1)
        assert abs(found["brightness"].std() - factor) < 0.04
        assert abs(np.log(found["contrast"]).std() - 1) < 0.04
    assert (drawn(mirror={"rand_type": "gaussian", "spread": 5.0})["mirror"] == 0).all(), "mirror has a spread of 0"


def test_draws_in_tests():
    number = {"mean": 2.0}
    assert (drawn(gamma=number, training=False)["gamma"] == 1).all()
    np.testing.assert_allclose(drawn(gamma=number, training=False, augment_during_test=True)["gamma"], 2, rtol=1e-6)


def test_transformations_stay_within_the_image():
    """Whose corners are checked with the transcription; those that never fit are left out."""
    found = drawn(
        translate={"spread": 2.0}, rotate={"spread": 3.0}, zoom={"spread": 0.5, "exp": True}, size=(12, 14), count=300
    )
    moved = 0
    for index in range(300):
        item = {name: column[index] for name, column in found.items()}
        corners = [_position(item, x, y) for x in (0, 4) for y in (0, 3)]
        fits = all(-1e-4 <= x < 13 + 1e-4 and -1e-4 <= y < 11 + 1e-4 for x, y in corners)
        moved += item["angle"] != 0
        assert fits
    assert moved > 290
    none = drawn(translate={"mean": 3.0}, rotate={"spread": 1.0})
    assert not none["dx"].any()
    assert not none["angle"].any()


def _position(item, x, y):
    from tests.layers.optical_flow.augmentations import matrix

    return (matrix(item, 5, 4, 14, 12) @ (x, y, 1))[:2]


def test_noise():
    images, blob = np.full((2, 3, 40, 40), 0.5), array({"noise": 0.1}, {"noise": -0.1})
    layer = DataAugmentation(crop_width=30, crop_height=30, max_multiplier=1.0)
    for one, training in ((layer, True), (dataclasses.replace(layer, augment_during_test=True), False)):
        (top,) = run(one, images, blob, training=training)
        assert abs(top[0].std() - 0.1) < 0.005
        assert abs(top[0].mean() - 0.5) < 0.01
        np.testing.assert_allclose(top[1], 0.5)
    np.testing.assert_allclose(run(layer, images, blob)[0], 0.5)


def test_colors_that_cannot_be_changed_are_not_a_number():
    layer = DataAugmentation(crop_width=4, crop_height=3)
    images = colors(2, 2, 5, 6)
    assert np.isnan(run(layer, images, array({"gamma": 2.0}, {}))[0]).all()
    assert np.isfinite(run(layer, images, array({"angle": 0.1}, {}))[0]).all()
    assert np.isnan(run(layer, colors(2, 3, 5, 6), array({"lmult_pow": 2.0}, {}))[0]).all()


def test_shapes():
    layer = DataAugmentation(crop_width=5, crop_height=4, recompute_mean=1)
    assert layer.infer(((2, 3, UNKNOWN, 9), (2, 42, 1, 1)), 2) == ((2, 3, 4, 5), (2, 42, 1, 1))
    assert [w.shape for w in layer.weights(((2, 3, 8, 9),))] == [(1, 1, 1, 1), (1, 3, 4, 5), (1, 3, 1, 1)]
    assert [w.shape for w in DataAugmentation().weights(((2, 3, 8, 9),))] == [(1, 1, 1, 1)]
    for bottoms, text in (
        (((2, 3, 3, 9),), "a crop of 4 x 5 is larger than the image of .3,9."),
        (((2, 3, 8),), "expects a bottom with 4 axes"),
        (((2, 3, 8, 9), (2, 41, 1, 1)), "expects coefficients of augmentation .2,42,1,1., got .2,41,1,1."),
        (((2, 3, 8, 9), (3, 42, 1, 1)), "expects coefficients"),
    ):
        with raises("E102", text):
            layer.infer(bottoms, 1)
    gamma = layer_of("DataAugmentation", {"augmentation_param": {"crop_width": 5, "crop_height": 4, "gamma": NUMBER}})
    with raises("E102", "`gamma` needs images with 3 channels, got 1"):
        gamma.infer(((2, 1, 8, 9),), 1)
    assert gamma.infer(((2, 1, 8, 9), (2, 42, 1, 1)), 1)[0] == (2, 1, 4, 5)
    with raises("E102", "`mean` needs images with 3 channels"):
        DataAugmentation(mean=(1.0, 2.0, 3.0), mean_per_pixel=False).infer(((2, 1, 8, 9),), 1)


@pytest.mark.parametrize(
    ("parameters", "code", "text"),
    [
        ({"gamma": {"rand_type": "poisson"}}, "E103", "`rand_type` of `gamma` is `poisson`"),
        ({"gamma": {"prob": 1.5}}, "E103", "`prob` of `gamma` is 1.5"),
        ({"gamma": {"mean": math.inf}}, "E103", "`mean` of `gamma` is inf: it must be finite"),
        ({"gamma": {"spread": math.nan}}, "E103", "`spread` of `gamma` is nan"),
        ({"chromatic_eigvec": [1.0, 2.0]}, "E103", "has 2 values: expected 9"),
        ({"crop_width": 1, "crop_height": 1, "sat_pow": {}}, "E101", "`sat_pow` needs `chromatic_eigvec`"),
        ({"max_multiplier": math.nan}, "E103", "not a number"),
        ({"schedule": {"half_life": 0.0}}, "E103", "`half_life` is 0: it must be positive"),
        ({"schedule": {"final_coeff": math.inf}}, "E103", "`final_coeff` is inf"),
    ],
)
def test_parameters_that_do_not_fit(parameters, code, text):
    message = {"augmentation_param": {k: v for k, v in parameters.items() if k != "schedule"}}
    with raises(code, text):
        layer_of("DataAugmentation", {**message, "coeff_schedule_param": parameters.get("schedule", {})})


NET = """
layer {{ name: "data" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 dim: 8 dim: 9 }} }} }}
layer {{ name: "aug" type: "DataAugmentation" bottom: "x" top: "y" top: "coefficients" propagate_down: false
  augmentation_param {{ max_multiplier: 1 recompute_mean: 10 mean_per_pixel: {per_pixel} crop_width: {width}
    crop_height: 4 mirror {{ rand_type: "bernoulli" prob: 0.5 }} zoom {{ exp: true spread: 0.2 }} }}
  coeff_schedule_param {{ half_life: 50000 initial_coeff: 0.5 final_coeff: 1 }} }}
"""


@pytest.mark.parametrize("per_pixel", [True, False])
def test_weights_of_another_size(tmp_path, per_pixel):
    """A net is deployed with images of another size than those of its training."""
    text = NET.format(per_pixel=str(per_pixel).lower(), width=5)
    trained = netc.load(Source("net.prototxt", text), phase="train").train()
    for _ in range(3):
        trained(torch.rand(2, 3, 8, 9))
    file = tmp_path / "trained.caffemodel"
    write_caffemodel(file, file_weights(weighted(trained)))
    same = netc.load(Source("net.prototxt", text), file)
    other = netc.load(Source("net.prototxt", NET.format(per_pixel=str(per_pixel).lower(), width=7)), file)
    mean = [blob for blob in trained.blobs if blob.layer == "aug"]
    for blob, held in zip(mean, same.blobs):
        torch.testing.assert_close(blob.tensor, held.tensor)
    passes, image, channels = (blob.tensor for blob in other.blobs)
    assert passes.item() == 3
    assert image.shape == (1, 3, 4, 7)
    torch.testing.assert_close(channels, mean[2].tensor)
    torch.testing.assert_close(image, channels.expand_as(image))


def test_weights_with_other_blobs():
    one = DataAugmentation()
    shapes = tuple(w.shape for w in DataAugmentation(recompute_mean=1).weights(((1, 3, 4, 5),)))
    arrays = [np.zeros(shape, np.float32) for shape in shapes]
    assert len(one.fitted(arrays, shapes[:1])) == 1
    assert DataAugmentation(recompute_mean=1).fitted(arrays[:1], shapes) == [None] * 3
    wrong = [arrays[0], np.zeros((1, 4, 6, 7), np.float32), np.zeros((1, 4, 1, 1), np.float32)]
    assert DataAugmentation(recompute_mean=1).fitted(wrong, shapes) is wrong
    empty = [arrays[0], np.zeros((1, 3, 0, 7), np.float32), arrays[2]]
    assert DataAugmentation(recompute_mean=1).fitted(empty, shapes) is empty


def test_sizes_and_devices():
    layer = DataAugmentation(crop_width=4, crop_height=3)
    resizes(layer, (values(1, 2, 7, 9),), (values(2, 1, 8, 12),))
    top = layer.forward((torch.empty(1, 3, 7, 9, device="meta"),), (torch.empty(1, 1, 1, 1, device="meta"),), _mode())
    assert top[0].shape == (1, 3, 3, 4)


def _mode():
    from netc.ir.layer import Mode

    return Mode(training=False, tops=1)


@pytest.mark.slow
def test_tracing():
    traces(DataAugmentation(crop_width=4, crop_height=3, recompute_mean=1), values(1, 3, 7, 9))
