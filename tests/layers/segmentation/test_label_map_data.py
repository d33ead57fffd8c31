import pytest

from netc.compiler import graph_of
from netc.diagnostics import Source
from netc.frontends import read_net
from netc.ir.augmentation import Distortion
from netc.ir.graph import State
from netc.ir.layer import Cost
from netc.ir.transform import Transform
from netc.layers import registry
from netc.layers.segmentation.label_map_data import DenseImageData, ImageLabelmapData, ImageSegData, WindowSegData
from tests.layers.contract import raises, round_trip
from tests.layers.harness import layer_from

LISTED = {
    "source": "list",
    "batch_size": 5,
    "rand_skip": 9,
    "shuffle": True,
    "new_height": 11,
    "new_width": 13,
    "is_color": False,
    "root_folder": "images/",
}
GIVEN = {
    "ImageSegData": {**LISTED, "label_type": "PIXEL", "ignore_label": 21},
    "WindowSegData": {**LISTED, "label_type": "NONE", "ignore_label": 0},
    "DenseImageData": {**LISTED, "mirror": True, "label_divide_factor": 4},
    "ImageLabelmapData": LISTED,
}
TRANSFORM = {"scale": 0.5, "mirror": True, "mean_value": (1.0,)}
SEG = {"scale_factors": (0.5, 1.5), "crop_height": 9, "crop_width": 21}


def message_of(type_name: str) -> str:
    return registry()[type_name].message


def made(type_name: str, transform=None, **changes):
    own = {k: v for k, v in {**GIVEN[type_name], **changes}.items() if v is not None}
    return layer_from(
        type_name, **{message_of(type_name): own}, **({"transform_param": transform} if transform else {})
    )


@pytest.mark.parametrize("type_name", list(GIVEN))
def test_files(type_name):
    transform = {**TRANSFORM, **(SEG if type_name.endswith("SegData") else {})}
    message = {message_of(type_name): GIVEN[type_name]}
    layer = round_trip(type_name, **message, transform_param=transform)
    for name, value in GIVEN[type_name].items():
        assert getattr(layer, name) == value
    assert layer.transform == Transform(**transform)
    assert layer.is_data
    assert layer.to_caffe() == {**message, "transform_param": transform}
    assert layer.cost((), ((5, 3, 7, 7), (5, 1, 7, 7))) == Cost()


def test_defaults():
    assert layer_from("ImageSegData", image_data_param={"source": "list"}) == ImageSegData(source="list")
    assert layer_from("ImageLabelmapData", image_data_param={"source": "list"}) == ImageLabelmapData(source="list")
    assert layer_from("WindowSegData", image_data_param={"source": "list"}) == WindowSegData(source="list")
    assert ImageSegData().label_type == "IMAGE"
    dense = layer_from("DenseImageData", dense_image_data_param={"source": "list", "batch_size": 2})
    assert dense == DenseImageData(source="list", batch_size=2)
    assert [3 in registry()[name].top_count for name in GIVEN] == [True, True, False, False]


def test_shapes():
    assert made("ImageSegData").batch(None, 3) == ((5, 1, 11, 13), (5, 1, 11, 13), (5, 1, 1, 2))
    assert made("ImageSegData", SEG).batch(None, 3) == ((5, 1, 9, 21), (5, 1, 9, 21), (5, 1, 1, 2))
    assert repr(made("ImageSegData", {"scale_factors": [2.0]}).batch(None, 1)) == "((5, 1, ?, ?),)"
    free = {"new_height": None, "new_width": None, "is_color": True}
    record = ((3, 20, 30), (1, 20, 30), (1, 1, 2))
    assert made("WindowSegData", **free).batch(record, 2) == ((5, 3, 20, 30), (5, 1, 20, 30))
    assert made("ImageLabelmapData", **free).batch(record, 2) == ((5, 3, 20, 30), (5, 1, 20, 30))
    assert repr(made("ImageLabelmapData", **free).batch(None, 2)) == "((5, 3, ?, ?), (5, 1, ?, ?))"
    assert made("DenseImageData").batch(None, 2) == ((5, 1, 11, 13), (5, 1, 2, 3))
    cropped = made("DenseImageData", label_divide_factor=None, crop_height=7, crop_width=6)
    assert cropped.batch(None, 2) == ((5, 1, 7, 6), (5, 1, 7, 6))


def test_only_padded_images_may_be_smaller_than_the_crop():
    assert made("ImageSegData", {"crop_size": 12}).batch(None, 1) == ((5, 1, 12, 12),)
    with raises("E102", "the crop of 12x12 is larger than an image of 11x13"):
        made("ImageLabelmapData", {"crop_size": 12}).batch(None, 2)
    with raises("E102", "2 values of `mean_value` for 1 channel"):
        made("ImageSegData", {"mean_value": [1.0, 2.0]}).batch(None, 2)


def test_what_is_random():
    crop = {"crop_size": 7, "mirror": True}
    plain = {"shuffle": None, "label_divide_factor": None}
    assert made("ImageLabelmapData", crop).random_fields(train=False) == ("shuffle", "mirror", "crop_size")
    assert made("ImageSegData", crop, shuffle=None).random_fields(train=False) == ("mirror",)
    assert made("ImageSegData", SEG, shuffle=None).random_fields(train=True) == ("crop_height", "scale_factors")
    dense = made("DenseImageData", crop_height=7, crop_width=6, **plain)
    assert dense.random_fields(train=False) == ("mirror", "crop_height")
    assert made("DenseImageData", crop, mirror=None, **plain).random_fields(train=False) == ("mirror",)


@pytest.mark.parametrize(
    ("type_name", "changes", "code", "text"),
    [
        ("ImageSegData", {"source": None}, "E101", "`source` is missing"),
        ("ImageSegData", {"batch_size": 0}, "E103", "`batch_size` is required and must be positive"),
        ("ImageSegData", {"new_width": None}, "E101", "`new_height` 11 and `new_width` 0 must be given together"),
        ("ImageSegData", {"ignore_label": 256}, "E103", "`ignore_label` 256 must be from 0 to 255"),
        ("WindowSegData", {"ignore_label": -1}, "E103", "`ignore_label` -1 must be from 0 to 255"),
        ("DenseImageData", {"new_height": 1 << 20, "new_width": 1 << 20}, "E104", "larger than the limit"),
        ("DenseImageData", {"crop_height": 3}, "E101", "`crop_height` and `crop_width` must be given together"),
        ("DenseImageData", {"crop_height": 3, "crop_width": 3}, "E101", "`label_divide_factor` and a crop exclude"),
        ("DenseImageData", {"label_divide_factor": 0}, "E103", "`label_divide_factor` must be positive"),
        ("DenseImageData", {"label_divide_factor": 12}, "E103", "`label_divide_factor` leaves no pixels"),
        ("DenseImageData", {"new_height": None, "new_width": None}, "E101", "`label_divide_factor` requires"),
    ],
)
def test_parameters_that_do_not_fit(type_name, changes, code, text):
    with raises(code, text):
        made(type_name, **changes)


@pytest.mark.parametrize(
    ("type_name", "transform", "code", "text"),
    [
        ("ImageSegData", {"mean_file": "m"}, "E106", "`ImageSegData` does not support a `mean_file`"),
        ("ImageSegData", {"scale_factors": [0.0]}, "E103", "`scale_factors` must be positive and at most 100"),
        ("ImageSegData", {"scale_factors": [float("nan")]}, "E103", "`scale_factors` must be positive"),
        ("ImageSegData", {"crop_width": 3}, "E101", "`crop_height` requires `crop_width`"),
        ("ImageSegData", {**SEG, "crop_size": 3}, "E101", "`crop_size` and `crop_height` exclude each other"),
        ("ImageSegData", {**SEG, "crop_h": 3, "crop_w": 3}, "E101", "`crop_h` and `crop_height` exclude each other"),
        ("ImageSegData", {"vertical_stretch_upper": 2.0}, "E106", "`vertical_stretch_upper` is not supported"),
        ("DenseImageData", SEG, "E106", "`scale_factors` is specific to layers with label maps of DeepLab's Caffe"),
    ],
)
def test_transformations_that_do_not_fit(type_name, transform, code, text):
    with raises(code, text):
        made(type_name, transform)


def test_augmentations_that_would_not_move_the_map():
    layer = DenseImageData(source="list", transform=Transform(distort_param=Distortion()))
    with raises("E106", "`distort_param` is not supported for label maps"):
        layer._check()
    with raises("E101", "`crop_height` and `crop_size` exclude each other"):
        DenseImageData(source="l", crop_height=2, crop_width=2, transform=Transform(crop_size=2))._check()


def test_fields_of_label_maps_in_other_layers_are_errors():
    for field in ("scale_factors: 0.5", "crop_height: 5 crop_width: 6"):
        text = f"""layer {{ name: "d" type: "ImageData" top: "data" top: "label" image_data_param {{ source: "list" }}
          transform_param {{ {field} }} }}"""
        with raises("E106", "is specific to layers with label maps of DeepLab's Caffe"):
            graph_of(read_net(Source("net", text)), State("TRAIN"))


def test_v1_files():
    text = """layers { name: "data" type: WINDOW_SEG_DATA top: "data" top: "seg-label"
      image_data_param { source: "list" label_type: PIXEL batch_size: 8 new_width: 250 new_height: 260 }
      transform_param { mean_value: 104.0 mean_value: 116.0 mean_value: 122.0 crop_size: 224 mirror: true } }"""
    net = read_net(Source("net", text))
    net.report.raise_errors()
    (node,) = graph_of(net, State("TRAIN")).nodes
    assert type(node.layer) is WindowSegData
    assert node.layer.batch(None, 2) == ((8, 3, 224, 224), (8, 1, 224, 224))
    assert type(made("ImageLabelmapData")) is ImageLabelmapData
