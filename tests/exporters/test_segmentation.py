"""Layers of segmentation nets as .py and ONNX: the net's results at the net's own batch and another."""

import pytest

from netc.exporters.onnx import onnx_model
from netc.exporters.onnx.rules import RULES as ONNX
from netc.exporters.python.rules import RULES as PYTHON
from tests.conversion.nets import inputs_of, trained, write
from tests.exporters.test_layers import expected, loaded, net, results, same
from tests.exporters.test_onnx import run

IMAGE = (2, 3, 6, 8)
POOLED = net(IMAGE, type="Pooling", tops=["one", "mask"], text="pooling_param { kernel_size: 2 stride: 2 }")
NETS = {
    "zoomed": net(IMAGE, type="Interp", text="interp_param { zoom_factor: 3 pad_beg: -1 pad_end: -2 }"),
    "shrunk": net(IMAGE, type="Interp", text="interp_param { shrink_factor: 2 pad_end: -1 }"),
    "both": net(IMAGE, type="Interp", text="interp_param { shrink_factor: 2 zoom_factor: 3 pad_beg: -1 }"),
    "sized": net(IMAGE, type="Interp", text="interp_param { height: 9 width: 5 }"),
    "one": net(IMAGE, type="Interp", text="interp_param { height: 1 width: 1 }"),
    "like": net(IMAGE, (2, 1, 4, 11), type="Interp"),
    "repeated": net(IMAGE, type="Upsample", text="upsample_param { scale: 3 }"),
    "unpooled": POOLED + '\nlayer { name: "up" type: "Upsample" bottom: "one" bottom: "mask" top: "up" }',
    "averages": net(IMAGE, type="BN", text="bn_param { slope_filler { value: 1 } eps: 0.01 }"),
    "frozen": net((2, 3), type="BN", text="bn_param { frozen: true }"),
    "decaying": net(IMAGE, type="BN", text="bn_param { scale_filler { value: 1 } moving_average: true }"),
    "by the batch": net(IMAGE, type="BN", text="bn_param { bn_mode: LEARN }"),
    "for inference": net(IMAGE, type="BN", text="bn_param { bn_mode: INFERENCE }"),
}


@pytest.mark.parametrize("name", NETS)
def test_python_and_onnx(tmp_path, name):
    pytest.importorskip("onnxruntime")
    model = trained(write(tmp_path, NETS[name]))
    assert all(rules.rule_for(model.nodes[-1].layer) for rules in (ONNX, PYTHON))
    module, exported = loaded(tmp_path, model), onnx_model(model).proto()
    for batch in (2, 3):
        feed = inputs_of(model, batch)
        same(results(module, feed), expected(model, feed))
        found = run(exported, feed)
        same([found[value] for value in model.outputs], expected(model, feed))


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        'type: "BN" bn_param { var_eps: 0.01 }',
        'type: "Interp" interp_param { height: 7 width: 5 interp_type: "nearest_neighbor" }',
        'type: "Unpooling" unpooling_param { unpool: AVE kernel_size: 2 stride: 2 }',
        'type: "Unpooling" unpooling_param { kernel_size: 2 stride: 2 }',
    ],
)
def test_the_general_path_exports_the_others(tmp_path, text):
    pytest.importorskip("onnxruntime")
    kind, _, rest = text.partition('" ')
    model = trained(write(tmp_path, net(IMAGE, type=kind.removeprefix('type: "'), text=rest)))
    feed = inputs_of(model, 2)
    same(results(loaded(tmp_path, model), feed), expected(model, feed))
    same(list(run(onnx_model(model).proto(), feed).values()), expected(model, feed))
