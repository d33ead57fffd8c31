from netc.diagnostics import Source, Span
from netc.frontends.caffe.origin import LayerOrigin
from netc.ir.fields import Fields
from netc.ir.graph import Graph, Node, Value
from netc.ir.layer import Cost
from netc.ir.parameters import ParamSpec
from netc.ir.shapes import infer
from netc.layers.cross_entropy import SoftmaxWithLoss
from netc.layers.python import Python, PythonData
from tests.layers.contract import raises, round_trip, v1_name, values
from tests.layers.harness import layer_from, module_of

LAYER = Python("my_layers", "Shift")


def test_files():
    given = {"module": "my_layers", "layer": "Shift", "param_str": "by: 2", "share_in_parallel": True}
    layer = round_trip("Python", **given)
    assert layer == PythonData("my_layers", "Shift", "by: 2", True)
    assert layer.to_caffe() == given
    read = Python.from_caffe(Fields({"bottom": ["x"], "python_param": Fields({"share_in_parallel": False, **given})}))
    assert read == Python("my_layers", "Shift", "by: 2", True)
    assert v1_name("Python") is None
    with raises("E101", "`module` is missing"):
        layer_from("Python", layer="Shift")
    with raises("E101", "`layer` is missing"):
        layer_from("Python", module="my_layers")


def test_does_not_run_without_permission():
    module = module_of(LAYER, ((2, 3),), 1)
    with raises("E201", "running class `Shift` of Python module `my_layers` is not allowed"):
        module(values(2, 3))


def test_without_bottoms_it_is_a_data_layer():
    data = PythonData("my_layers", "Loader")
    assert data.is_data
    assert not LAYER.is_data
    assert data.batch(None, 2) == (None, None)
    assert data.cost((), ((2, 3),)) == Cost()
    assert data.bottom_count.text("bottom") == "0 bottoms"


def test_unknown_shapes_pass_through_a_graph():
    later = SoftmaxWithLoss()
    nodes = (
        Node("p", "p", LAYER, ("x",), ("y", "t"), param_specs=(ParamSpec(lr_mult=2.0),)),
        Node("s", "s", later, ("y", "t"), ("loss",)),
    )
    known = {"x": Value("x", "x", (2, 3))}
    graph = Graph("net", nodes, {**known, **{n: Value(n, n) for n in ("y", "t", "loss")}}, inputs=("x",))
    shaped, report = infer(graph)
    assert not report.diagnostics
    assert [shaped.shape(name) for name in ("x", "y", "t", "loss")] == [(2, 3), None, None, None]


def test_a_field_of_another_message_is_found():
    source = Source("net", 'type: "SoftmaxWithLoss" softmax_param { axis: 3 }')
    at = {"axis": Span(source, 40, 47)}
    axis = Fields({"axis": 3}, locate=lambda name, index: at.get(name))
    fields = Fields({"name": "s", "softmax_param": axis}, {"type": ""})
    node = Node("s", "s", SoftmaxWithLoss(axis=3), ("x", "t"), ("loss",), origin=LayerOrigin(fields))
    shaped = {"x": Value("x", "x", (2, 3)), "t": Value("t", "t", (2,)), "loss": Value("loss", "loss")}
    _, report = infer(Graph("net", (node,), shaped, inputs=("x", "t")))
    (found,) = report.diagnostics
    assert found.span == at["axis"]
    assert found.span.text == "axis: 3"
    assert found.notes == ("in layer `s`, bottoms: x[2,3], t[2]",)
