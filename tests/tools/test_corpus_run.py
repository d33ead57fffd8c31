"""The run of all nets of a folder on made-up input."""

import importlib
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

DATA = """
    layer {{ name: "data" type: "{type}" top: "data" top: "label" include {{ phase: {phase} }}
        {param} {{ source: "none" batch_size: 8 }} transform_param {{ crop_size: 20 {transform} }} {more} }}
"""
CLASSES = """
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SSD = """
    layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 6 kernel_size: 20 } }
    layer { name: "priors" type: "PriorBox" bottom: "c" bottom: "data" top: "priors"
        prior_box_param { min_size: 8 } }
    layer { name: "codes" type: "Convolution" bottom: "c" top: "codes"
        convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
    layer { name: "scores" type: "Convolution" bottom: "c" top: "scores"
        convolution_param { num_output: 2 kernel_size: 1 weight_filler { type: "xavier" } } }
    layer { name: "f1" type: "Flatten" bottom: "codes" top: "f1" }
    layer { name: "f2" type: "Flatten" bottom: "scores" top: "f2" }
    layer { name: "loss" type: "MultiBoxLoss" bottom: "f1" bottom: "f2" bottom: "priors" bottom: "label" top: "loss"
        multibox_loss_param { num_classes: 2 } }
"""
SAMPLED = "annotated_data_param { batch_sampler { sampler { min_scale: 0.5 } } }"
YOLO = """
    layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 7 kernel_size: 20 weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "RegionLoss" bottom: "c" bottom: "label" top: "loss"
        region_loss_param { num_class: 2 num: 1 biases: 1 biases: 1 } }
"""
REGIONS = """
    layer { name: "data" type: "Python" top: "data" top: "rois" top: "label" top: "codes" top: "inside" top: "outside"
        python_param { module: "roi_data_layer.layer" layer: "RoIDataLayer" param_str: "'num_classes': 3" } }
    layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 9 } }
    layer { name: "pool" type: "ROIPooling" bottom: "c" bottom: "rois" top: "pool"
        roi_pooling_param { pooled_h: 2 pooled_w: 2 } }
    layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 3 } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
    layer { name: "silence" type: "Silence" bottom: "codes" bottom: "inside" bottom: "outside" }
"""


def data(
    kind: str = "Data", phase: str = "TRAIN", param: str = "data_param", transform: str = "", more: str = ""
) -> str:
    return DATA.format(type=kind, phase=phase, param=param, transform=transform, more=more)


FILES = {
    "deploy.prototxt": 'input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9\n'
    + 'layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }',
    "train.prototxt": data() + CLASSES,
    "ssd.prototxt": data("AnnotatedData", more=SAMPLED) + SSD,
    "yolo.prototxt": data("BoxData").replace("crop_size: 20", "resize_param { height: 20 width: 20 }") + YOLO,
    "yolo_rows.prototxt": data("AnnotatedData") + YOLO.replace("num: 1", "num: 1 side: 1"),
    "sub/regions.prototxt": REGIONS,
    "test.prototxt": data(phase="TEST") + CLASSES,
    "template.prototxt": CLASSES.replace("3", "cls6x"),
    "bare.prototxt": CLASSES,
    "faulty.prototxt": data() + CLASSES.replace('bottom: "data"', 'bottom: "date"'),
    "foreign.prototxt": data() + CLASSES.replace("InnerProduct", "FromAFork"),
    "solver.prototxt": 'base_lr: 0.01 lr_policy: "fixed" max_iter: 10\n',
    "notes.md": "no net",
}
KINDS = {
    "deploy.prototxt": "deploy",
    "train.prototxt": "train",
    "ssd.prototxt": "train",
    "yolo.prototxt": "train",
    "yolo_rows.prototxt": "train",
    "sub/regions.prototxt": "train",
    "test.prototxt": "test",
    "template.prototxt": "template",
    "bare.prototxt": "no data",
    "faulty.prototxt": "train",
    "foreign.prototxt": "train",
    "solver.prototxt": "",
}


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    for name in ("corpus_run", "made_up_batch"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("corpus_run")


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "nets" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return tmp_path / "nets"


def test_every_file_has_a_kind_and_a_reason_if_it_does_not_run(tool, folder):
    found = {str(path.relative_to(folder)): tool.run(path) for path in tool.files_of(folder, "")}
    assert {name: outcome.kind for name, outcome in found.items()} == KINDS
    reasons = {name: outcome.reason[:4] for name, outcome in found.items() if outcome.reason}
    assert reasons == {
        "template.prototxt": "E033",
        "bare.prototxt": "E011",
        "faulty.prototxt": "E011",
        "foreign.prototxt": "E010",
    }


@pytest.mark.slow
def test_the_shares_and_the_results_of_each_file(tool, folder, tmp_path, capsys):
    results = tmp_path / "results.json"
    assert tool.main([str(folder), "--only", "train", "--json", str(results)]) == 0
    out = capsys.readouterr().out
    assert "train       5 of    7 run  71.4%" in out
    assert "test        1 of    1 run  100.0%" in out
    assert "faulty.prototxt: E011" in out
    assert "deploy.prototxt" not in json.loads(results.read_text())
    (folder / "faulty.prototxt").write_text(FILES["train.prototxt"])
    (folder / "train.prototxt").write_text("")
    assert tool.main([str(folder), "--json", str(results), "--failed"]) == 0
    assert "train       6 of    7 run" in capsys.readouterr().out


@pytest.mark.slow
def test_an_exception_and_a_process_that_ends_are_bugs(tool, folder, monkeypatch, capsys):
    def fail(path, only):
        if "yolo" in path.name:
            sys.exit(3)
        raise KeyError("gone")

    monkeypatch.setattr(tool, "run", fail)
    assert tool.main([str(folder), "--match", "yolo.p"]) == 1
    assert "yolo.prototxt: BUG the process ended without an answer" in capsys.readouterr().out
    assert tool.main([str(folder), "--match", "ssd"]) == 1
    assert "ssd.prototxt: BUG KeyError: 'gone'" in capsys.readouterr().out


def test_a_batch_has_valid_boxes(tool, folder):
    from made_up_batch import batch

    graph = tool._graph(tool.read(folder / "ssd.prototxt"), "TRAIN", tool.RECORDS)
    tensors = batch(graph)
    rows = tensors["label"].reshape(-1, 8)
    assert tuple(tensors["data"].shape) == (2, 3, 20, 20)
    assert rows[:, 0].tolist() == [0, 0, 1, 1]
    assert ((rows[:, 3:5] >= 0) & (rows[:, 5:7] <= 1) & (rows[:, 5:7] > rows[:, 3:5])).all()
