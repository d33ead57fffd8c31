from netc.diagnostics import Source
from netc.frontends import read
from netc.ir.graph import State
from netc.ir.transform import Transform
from netc.layers.yolo.box_data import BoxData
from tests.layers.contract import raises, round_trip
from tests.layers.harness import layer_from

SOURCE = {"source": "db", "batch_size": 5, "backend": "LMDB"}


def test_files_and_shapes():
    layer = round_trip("BoxData", data_param={**SOURCE, "side": [13]}, transform_param={"scale": 0.5})
    assert layer == BoxData(5, Transform(scale=0.5), "db", "LMDB", side=(13,))
    assert layer.batch(((3, 8, 9), (150,)), 2) == ((5, 3, 8, 9), (5, 150))
    assert repr(layer.batch(None, 2)) == "((5, ?, ?, ?), (5, 150))"
    assert layer.random_fields(train=True) == ("source",)
    assert layer.random_fields(train=False) == ()


def test_boxes_do_not_move_by_a_mirror_or_crop():
    for name, value in (("mirror", True), ("crop_size", 5)):
        with raises("E101", f"`BoxData` does not move boxes by `{name}`"):
            layer_from("BoxData", data_param=SOURCE, transform_param={name: value})


def test_the_side_of_a_text_is_read():
    text = 'layer { name: "d" type: "BoxData" top: "x" data_param { source: "db" batch_size: 5 side: 13 } }'
    graph, report = read(Source("net", text)).graph(State("TEST"))
    assert not report.errors
    assert graph.nodes[0].layer == BoxData(5, Transform(), "db", side=(13,))
