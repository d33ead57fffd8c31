"""netc.summary: rows, totals, batch sizes, formats."""

from __future__ import annotations

import csv
import io
import json

import pytest

import netc
from netc.diagnostics import Source

NET = """
name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 9 dim: 11 } } }
layer {
  name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_h: 3 kernel_w: 5 }
}
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer {
  name: "one" type: "InnerProduct" bottom: "conv" top: "one"
  param { name: "w" } inner_product_param { num_output: 5 }
}
layer {
  name: "two" type: "InnerProduct" bottom: "conv" top: "two"
  param { name: "w" } inner_product_param { num_output: 5 }
}
layer { name: "sum" type: "Eltwise" bottom: "one" bottom: "two" top: "sum" }
"""
PLANE = 4 * 7 * 7
"""Elements of `conv` for one item: 4 x (9 - 3 + 1) x (11 - 5 + 1)."""


def summary(text: str = NET, **settings):
    return netc.summary(Source("net.prototxt", text), **settings)


def test_rows_hold_what_each_layer_costs():
    rows = {row.name: row for row in summary().rows}
    assert list(rows) == ["data", "conv", "relu", "one", "two", "sum"]
    conv = rows["conv"]
    assert (conv.type, conv.bottoms, conv.tops) == ("Convolution", ((2, 3, 9, 11),), ((2, 4, 7, 7),))
    assert conv.parameters == 4 * 3 * 3 * 5 + 4
    assert conv.macs == 2 * PLANE * 3 * 3 * 5
    assert conv.activation_bytes == conv.gradient_bytes == 4 * 2 * PLANE
    assert [field.size for field in conv.receptive_field] == [3, 5]
    assert (rows["relu"].activation_bytes, rows["relu"].gradient_bytes) == (0, 0)
    assert (rows["data"].activation_bytes, rows["data"].gradient_bytes) == (4 * 2 * 3 * 9 * 11, 0)
    assert rows["sum"].operations == 2 * 5
    # shared weights are counted where they are owned, the bias of each is its own
    assert (rows["one"].parameters, rows["two"].parameters) == (5 * PLANE + 5, 5)


def test_totals_add_up():
    found = summary()
    rows = found.rows
    assert found.parameters == sum(row.parameters for row in rows) == 184 + 5 * PLANE + 10
    assert found.macs == sum(row.macs for row in rows) == 2 * PLANE * 45 + 2 * (2 * 5 * PLANE)
    assert found.activation_bytes == sum(row.activation_bytes for row in rows)
    assert found.gradient_bytes == found.activation_bytes - rows[0].activation_bytes
    assert found.parameter_bytes == 4 * found.parameters


def test_peaks_hold_the_blobs_and_what_lives():
    found = summary()
    data, conv, fc = 2 * 3 * 9 * 11, 2 * PLANE, 2 * 5
    assert found.inference_peak_bytes == 4 * (found.parameters + data + conv)
    # the most is at the turn of `two`: all values but the sum's, and the gradients of `one`, `two` and `conv`
    backward = data + conv + 2 * fc + 2 * fc + conv
    assert found.training_peak_bytes == 4 * (2 * found.parameters + backward)


def test_a_batch_size_replaces_that_of_every_input_that_has_it():
    one = summary(batch=1)
    assert [row.tops[0][0] for row in one.rows] == [1] * 6
    assert summary().macs == 2 * one.macs
    assert summary().parameters == one.parameters
    assert summary(batch=7).batch == 7
    text = NET + 'layer { name: "rois" type: "Input" top: "rois" input_param { shape { dim: 30 dim: 5 } } }'
    assert [row.tops[0] for row in summary(text, batch=1).rows][-1] == (30, 5)


def test_a_batch_must_be_positive():
    with pytest.raises(netc.NetcError):
        summary(batch=0)


def test_unknown_extents_stay_open():
    text = NET.replace('type: "Input"', 'type: "Data"').replace(
        "input_param { shape { dim: 2 dim: 3 dim: 9 dim: 11 } }", 'data_param { source: "nowhere" batch_size: 2 }'
    )
    found = summary(text)
    assert (found.inference_peak_bytes, found.training_peak_bytes) == (None, None)
    assert found.rows[1].macs is None
    assert "[2,4,?,?]" in str(found)
    assert summary(text, shapes={"data": (2, 3, 9, 11)}).macs == summary().macs
    plain = json.loads(found.to_json())
    assert plain["rows"][1]["tops"] == [[2, 4, None, None]]
    assert plain["rows"][1]["parameters"] is None
    assert plain["total"]["inference_peak_bytes"] is None


def test_a_net_that_is_not_sound_is_an_error():
    with pytest.raises(netc.NetcError) as caught:
        summary(NET.replace('bottom: "two"', 'bottom: "three"'))
    assert caught.value.diagnostics[0].code == "E011"


def test_the_table(golden):
    golden("summaries/small.txt", f"{summary()}\n")


def test_markdown(golden):
    golden("summaries/small.md", summary().to_markdown() + "\n")


def test_json_and_csv_say_the_same():
    found = summary()
    plain = json.loads(found.to_json())
    assert (plain["net"], plain["phase"], plain["batch"]) == ("small", "TEST", 2)
    assert plain["total"]["macs"] == found.macs
    lines = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [line["name"] for line in lines] == [row["name"] for row in plain["rows"]]
    conv = lines[1]
    assert (conv["tops"], conv["receptive_field"], conv["macs"]) == ("2x4x7x7", "3x5", str(found.rows[1].macs))
    assert lines[5]["bottoms"] == "2x5 2x5"


def test_names_that_would_break_a_table_are_kept_apart():
    text = NET.replace('name: "sum"', r'name: "a|b,\"c"')
    assert "a\\|b" in summary(text).to_markdown()
    assert list(csv.DictReader(io.StringIO(summary(text).to_csv())))[5]["name"] == 'a|b,"c'


def test_a_solver_is_no_net():
    with pytest.raises(netc.NetcError, match="`solver` is a solver definition, expected a net"):
        netc.summary(Source("solver", 'net: "net.prototxt" base_lr: 0.1'))


def test_a_shape_for_what_is_no_input():
    net = 'layer { name: "d" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 } } }'
    with pytest.raises(netc.NetcError, match="shape given for `dat`, which is not an input of the net"):
        netc.summary(Source("net", net), shapes={"dat": (2, 3)})


def test_a_given_shape_that_contradicts_the_labels_names_both_batch_sizes():
    text = 'layer { name: "d" type: "Data" top: "data" top: "label" data_param { source: "x" batch_size: 50 } }'
    net = Source("net", text)
    with pytest.raises(netc.NetcError) as caught:
        netc.summary(net, shapes={"data": (7, 3, 6, 6)})
    (found,) = caught.value.diagnostics
    assert found.message == "the shape given for `data` has 7 items, but `label` of the same layer has 50"
    assert found.help == "pass `--shape data=50,3,6,6`, or also `--shape label=7`"
    assert netc.summary(net, shapes={"data": (7, 3, 6, 6), "label": (7,)}).rows
