import pytest

from netc.diagnostics import NetcError
from netc.ir.dims import UNKNOWN
from netc.ir.fields import Fields
from netc.ir.transform import Transform
from tests.layers.contract import raises

GIVEN = {"scale": 0.5, "mirror": True, "crop_size": 7, "mean_value": [1.0, 2.0, 3.0], "force_color": True}


def read(**values) -> Transform:
    return Transform.read(Fields({"transform_param": Fields(values)}))


def test_fields():
    assert Transform.read(Fields({})) == Transform()
    assert Transform().to_caffe() == {}
    made = read(**GIVEN)
    assert made == Transform(0.5, True, 7, None, (1.0, 2.0, 3.0), True, False)
    assert read(**made.to_caffe()) == made
    assert read(mean_file="mean.binaryproto", force_gray=True) == Transform(
        mean_file="mean.binaryproto", force_gray=True
    )


def test_shapes():
    assert Transform().shape((3, 8, 9)) == (3, 8, 9)
    assert Transform(crop_size=8).shape((3, 8, 9)) == (3, 8, 8)
    assert repr(Transform().shape(None)) == "(?, ?, ?)"
    assert repr(Transform(crop_size=8).shape(None)) == "(?, 8, 8)"
    assert repr(Transform(crop_size=8, mean_value=(1.0, 2.0)).shape(None)) == "(2, 8, 8)"
    assert repr(Transform(mean_value=(1.0,)).shape((5, UNKNOWN, 3))) == "(5, ?, 3)"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"mean_file": "m", "mean_value": [1.0]}, "`mean_file` and `mean_value` exclude each other"),
        ({"force_color": True, "force_gray": True}, "`force_color` and `force_gray` exclude each other"),
    ],
)
def test_settings_that_exclude_each_other(values, text):
    with raises("E101", text):
        read(**values)


@pytest.mark.parametrize(
    ("transform", "record", "text", "field"),
    [
        (Transform(crop_size=9), (3, 8, 9), "`crop_size` 9 is larger than a record of 8x9", "crop_size"),
        (Transform(crop_size=9), (3, 9, 8), "`crop_size` 9 is larger than a record of 9x8", "crop_size"),
        (Transform(mean_value=(1.0, 2.0)), (3, 8, 9), "2 values of `mean_value` for 3 channels", "mean_value"),
    ],
)
def test_records_that_do_not_fit(transform, record, text, field):
    with pytest.raises(NetcError, match=text) as caught:
        transform.shape(record)
    assert [(d.code, d.field) for d in caught.value.diagnostics] == [("E102", f"transform_param.{field}")]
    with raises("E102", "the record has 0 channels"):
        Transform().shape((0, 8, 9))
