"""`netc explain Pooling`, and the value object that an editor shows."""

from __future__ import annotations

import subprocess
import sys

import pytest

import netc
from netc.inspection import explain, layer_documentation
from netc.inspection.layer_pages import layer_page, layer_types
from netc.layers import how_recognized, layer_classes, operator_types, registry
from tests.layers.meanings import register_upsample


def test_a_page_has_every_section():
    page = explain("Pooling")
    assert page.startswith("# Pooling: a layer type of BVLC Caffe (`POOLING` in V1 files)\n\n")
    assert "Takes 1 bottom, returns 1 or 2 tops." in page
    assert "\n  stride (list of int, default 1, 1)\n    Vertical and horizontal distance between windows.\n" in page
    assert "Read from pooling_param.stride, pooling_param.stride_h, pooling_param.stride_w." in page
    assert "\nReference: `pooling_layer.cpp`" in page


@pytest.mark.parametrize("name", sorted(registry()))
def test_every_page_is_narrow_and_names_every_parameter(name):
    page = layer_page(name)
    assert all(len(line) <= 100 for line in page.splitlines())
    assert all(f"\n  {one.name} (" in page for one in layer_documentation(name).parameters)


def test_blobs_are_listed():
    assert "Blobs: `weight` (num_output, inputs)" in explain("InnerProduct")
    assert layer_documentation("ReLU").blobs == ""


@pytest.mark.parametrize("name", ["pooling", "POOLING", " Pooling "])
def test_names_in_any_case(name):
    assert layer_documentation(name).type == "Pooling"


def test_names_of_v1_files():
    assert layer_documentation("SOFTMAX_LOSS").type == "SoftmaxWithLoss"


@pytest.mark.parametrize(
    ("word", "near"), [("Poling", "`Pooling`"), ("E0100", "`E100`"), ("InnerProdct", "`InnerProduct`")]
)
def test_an_unknown_word_is_answered_with_the_most_similar_code_or_type(word, near):
    with pytest.raises(netc.NetcError) as caught:
        explain(word)
    (found,) = caught.value.diagnostics
    assert found.code == "E100"
    assert near in found.help


@pytest.mark.parametrize("word", ["", "_"])
def test_no_word_is_no_layer_type(word):
    with pytest.raises(netc.NetcError, match="neither a code nor a layer type"):
        explain(word)


def test_an_unknown_layer_type():
    with pytest.raises(netc.NetcError, match="unknown layer type `Poling`") as caught:
        layer_documentation("Poling")
    assert caught.value.diagnostics[0].help == "did you mean `Pooling`?"


def test_every_meaning_of_a_name_is_on_its_page(monkeypatch):
    register_upsample(monkeypatch)
    page = layer_page("Upsample")
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Upsample: a layer type of dialect `segnet`",
        "# Upsample: a layer type of dialect `weighted`",
        "# Upsample: a layer type of dialect `yolo`",
    ]
    assert layer_documentation("Upsample", "yolo").summary == "Each value is repeated."
    with pytest.raises(netc.NetcError, match="unknown dialect `yol` of layer type `Upsample`"):
        layer_documentation("Upsample", "yol")


def test_types_are_sorted():
    assert layer_types() == sorted(registry())


def test_pages_import_neither_torch_nor_protobuf():
    code = (
        "import sys; from netc.inspection import layer_documentation; layer_documentation('LSTM');"
        "assert not {'torch', 'numpy', 'google.protobuf'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_importing_a_layer_reads_no_source():
    code = (
        "import sys, ast; parse, read = ast.parse, []; ast.parse = lambda *a, **k: read.append(a) or parse(*a, **k);"
        "from netc.layers import layer_classes; (cls,) = layer_classes('Pooling'); assert not read;"
        "assert 'Parameters:' in cls.__doc__ and read"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_decides_between_meanings_is_a_sentence():
    classes = [cls for name in registry() for cls in layer_classes(name)]
    found = {cls: how_recognized(cls) for cls in classes if how_recognized(cls) is not None}
    assert len(found) > 10
    assert not [cls for cls, words in found.items() if not words.startswith("Whether ") or not words.endswith(".")]


def test_every_operator_has_a_page():
    for name in sorted(operator_types()):
        page = explain(name)
        assert f"# {name}: an operator of Caffe2\n" in page
        assert "Shapes: " in page, name
