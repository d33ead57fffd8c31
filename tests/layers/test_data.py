import pytest

from netc.ir.dims import UNKNOWN
from netc.ir.layer import Cost
from netc.ir.transform import Transform
from netc.layers.data import Data, ImageData, MemoryData, WindowData
from tests.layers.contract import raises, round_trip, v1_name
from tests.layers.harness import layer_from

TRANSFORM = {"scale": 0.5, "mirror": True, "crop_size": 7, "mean_value": (1.0, 2.0, 3.0)}
GIVEN = {
    "Data": {
        "source": "db",
        "batch_size": 5,
        "backend": "LMDB",
        "rand_skip": 9,
        "force_encoded_color": True,
        "prefetch": 2,
    },
    "ImageData": {
        "source": "list",
        "batch_size": 5,
        "rand_skip": 9,
        "shuffle": True,
        "new_height": 11,
        "new_width": 13,
        "is_color": False,
        "root_folder": "images/",
    },
    "WindowData": {
        "source": "windows",
        "batch_size": 5,
        "fg_threshold": 0.75,
        "bg_threshold": 0.25,
        "fg_fraction": 0.125,
        "context_pad": 16,
        "crop_mode": "square",
        "cache_images": True,
        "root_folder": "images/",
    },
    "MemoryData": {"batch_size": 5, "channels": 3, "height": 11, "width": 13},
}
WHOLE = {
    "ImageData image_data_param.new_dim": {"image_data_param": {"source": "a", "batch_size": 5, "new_dim": 9}},
}
MESSAGE = {
    "Data": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
    "MemoryData": "memory_data_param",
}


def made(type_name: str, transform=None, **changes):
    own = {k: v for k, v in {**GIVEN[type_name], **changes}.items() if v is not None}
    message = {MESSAGE[type_name]: own}
    return layer_from(type_name, **message, **({"transform_param": transform} if transform else {}))


@pytest.mark.parametrize("type_name", list(GIVEN))
def test_files(type_name):
    message = {MESSAGE[type_name]: GIVEN[type_name]}
    layer = round_trip(type_name, **message, transform_param=TRANSFORM)
    for name, value in GIVEN[type_name].items():
        assert getattr(layer, name) == value
    assert layer.transform == Transform(**TRANSFORM)
    assert layer.is_data
    assert layer.to_caffe() == {**message, "transform_param": TRANSFORM}
    assert layer.cost((), ((5, 3, 7, 7), (5,))) == Cost()


def test_defaults_and_names():
    small = layer_from("Data", data_param={"source": "db", "batch_size": 3})
    assert small == Data(3, Transform(), "db", "LEVELDB", 0, False, 4)
    assert small.to_caffe() == {"data_param": {"source": "db", "batch_size": 3}}
    assert layer_from("ImageData", image_data_param={"source": "list"}) == ImageData(source="list", batch_size=1)
    for type_name, v1 in zip(GIVEN, ("DATA", "IMAGE_DATA", "WINDOW_DATA", "MEMORY_DATA")):
        assert v1_name(type_name) == v1
    assert [2 in c.top_count and 1 in c.top_count for c in (Data, ImageData, WindowData, MemoryData)] == [
        True,
        False,
        False,
        False,
    ]


def test_data_shapes():
    layer = Data(source="db", batch_size=5, transform=Transform(crop_size=7))
    assert layer.batch(((3, 8, 9), ()), 2) == ((5, 3, 7, 7), (5,))
    assert layer.batch(((3, 8, 9), (4,)), 2) == ((5, 3, 7, 7), (5, 4))
    assert layer.batch(((3, 8, 9),), 1) == ((5, 3, 7, 7),)
    assert repr(layer.batch(None, 2)) == "((5, ?, 7, 7), (5,))"
    assert repr(Data(source="db", batch_size=5).batch(None, 1)) == "((5, ?, ?, ?),)"
    with raises("E102", "`crop_size` 7 is larger than a record of 6x9"):
        layer.batch(((3, 6, 9), ()), 2)


def test_image_data_shapes():
    layer = made("ImageData", {"crop_size": 7})
    assert layer.batch(None, 2) == ((5, 1, 7, 7), (5,))
    assert made("ImageData", is_color=True).batch(((3, 20, 30), ()), 2) == ((5, 3, 11, 13), (5,))
    plain = made("ImageData", new_height=None, new_width=None, is_color=True)
    assert plain.batch(((3, 20, 30), ()), 2) == ((5, 3, 20, 30), (5,))
    assert repr(plain.batch(None, 2)) == "((5, 3, ?, ?), (5,))"
    with raises("E102", "`crop_size` 12 is larger than a record of 11x13"):
        made("ImageData", {"crop_size": 12}).batch(None, 2)


def test_window_data_shapes():
    layer = made("WindowData", {"crop_size": 7})
    assert layer.batch(((3, 2, 2), ()), 2) == ((5, 3, 7, 7), (5,))
    assert repr(layer.batch(None, 2)) == "((5, ?, 7, 7), (5,))"
    assert repr(layer.batch(((UNKNOWN, 2, 2), ()), 2)) == "((5, ?, 7, 7), (5,))"


def test_memory_data_shapes():
    assert made("MemoryData", {"crop_size": 12}).batch(None, 2) == ((5, 3, 11, 13), (5,))
    with raises("E102", "2 values of `mean_value` for 3 channels"):
        made("MemoryData", {"mean_value": [1.0, 2.0]}).batch(None, 2)


@pytest.mark.parametrize("type_name", ["Data", "ImageData", "WindowData"])
def test_missing_source(type_name):
    with raises("E101", "`source` is missing"):
        made(type_name, source=None)


@pytest.mark.parametrize(
    ("type_name", "changes", "code", "text"),
    [
        ("Data", {"batch_size": None}, "E103", "`batch_size` is required and must be positive"),
        ("Data", {"prefetch": 0}, "E103", "`prefetch` must be positive"),
        ("ImageData", {"batch_size": 0}, "E103", "`batch_size` is required and must be positive"),
        ("ImageData", {"new_width": None}, "E101", "`new_height` 11 and `new_width` 0 must be given together"),
        ("ImageData", {"new_height": None}, "E101", "`new_height` 0 and `new_width` 13 must be given together"),
        ("WindowData", {"crop_mode": "wrap"}, "E103", "unknown `crop_mode` `wrap`"),
        ("WindowData", {}, "E101", "`WindowData` requires `crop_size`"),
        ("MemoryData", {"width": None}, "E103", "`width` is required and must be positive"),
    ],
)
def test_parameters_that_do_not_fit(type_name, changes, code, text):
    with raises(code, text):
        made(type_name, **changes)


def test_a_mean_file_and_mean_values_exclude_each_other():
    with raises("E101", "`mean_file` and `mean_value` exclude each other"):
        made("Data", {"mean_file": "m", "mean_value": [1.0]})
