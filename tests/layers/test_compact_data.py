import pytest

import netc
from netc.diagnostics import Source
from netc.ir.dims import UNKNOWN
from netc.ir.transform import Transform
from netc.layers.compact_data import CompactData
from tests.layers.contract import raises, round_trip
from tests.layers.harness import layer_of

DATABASE = {"source": "db", "batch_size": 4}


def test_files_and_shapes():
    transform = {"crop_size": 9, "force_color": True, "mirror": True}
    layer = round_trip("CompactData", data_param={**DATABASE, "rand_skip": 2}, transform_param=transform)
    color = Transform(crop_size=9, force_color=True, mirror=True)
    assert layer == CompactData(source="db", batch_size=4, rand_skip=2, transform=color)
    assert layer.batch(None, 2) == ((4, 3, 9, 9), (4,))
    gray = CompactData(source="db", batch_size=4, transform=Transform(crop_size=9))
    assert gray.batch(None, 1) == ((4, 1, 9, 9),)
    assert gray.batch(((1, 12, UNKNOWN), ()), 2) == ((4, 1, 9, 9), (4,))


def test_the_name_of_2013():
    own = 'data_param { source: "a" batch_size: 2 crop_size: 5 }'
    net = Source("net", f'layers {{ name: "d" type: COMPACT_DATA top: "d" top: "l" {own} }}')
    assert [d.code for d in netc.check(net) if d.code[0] == "E"] == []


@pytest.mark.parametrize(
    ("code", "text", "parameters"),
    [
        ("E101", "requires `crop_size`", {"data_param": DATABASE}),
        ("E101", "`source` is missing", {"data_param": {"batch_size": 4}, "transform_param": {"crop_size": 9}}),
        ("E103", "`batch_size` is required", {"data_param": {"source": "a"}, "transform_param": {"crop_size": 9}}),
    ],
)
def test_parameters(code, text, parameters):
    with raises(code, text):
        layer_of("CompactData", parameters)
