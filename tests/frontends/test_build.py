"""NetParameter to Graph: versions of blobs, losses, parameters, and every fault once."""

from __future__ import annotations

import pytest

from netc.diagnostics import Source
from netc.frontends.caffe.build import build
from netc.frontends.caffe.read import read_net
from netc.ir.graph import State
from netc.ir.parameters import ParamSpec
from netc.ir.verify import verify

DATA = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }\n'
FC = 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }\n'


def built(text: str, phase="TEST", faulty=frozenset()):
    return build(read_net(Source("net.prototxt", text))[0], State(phase), faulty)


def codes(text: str, **settings) -> list[tuple[str, int | None]]:
    return [(d.code, d.line) for d in built(text, **settings)[1].diagnostics]


def relu(bottom: str, top: str, more: str = "") -> str:
    return f'layer {{ name: "{bottom}_{top}" type: "ReLU" bottom: "{bottom}" top: "{top}" {more} }}\n'


def test_an_in_place_layer_creates_a_new_version():
    graph, report = built(DATA + FC + relu("fc", "fc") + relu("fc", "out"))
    assert not report.diagnostics
    assert [node.tops for node in verify(graph).nodes] == [("data",), ("fc",), ("fc.1",), ("out",)]
    assert graph.nodes[3].bottoms == ("fc.1",)
    assert graph.blobs["fc"] == "fc.1"


def test_a_reader_before_an_in_place_layer_reads_the_old_version():
    graph, _ = built(DATA + FC + relu("fc", "side") + relu("fc", "fc"))
    assert graph.nodes[2].bottoms == ("fc",)
    assert graph.nodes[3].tops == ("fc.1",)


def test_a_blob_whose_name_looks_like_a_version_stays_apart():
    graph, report = built(DATA + relu("data", "fc.1") + FC + relu("fc", "fc") + relu("fc.1", "out"))
    assert not report.diagnostics
    assert verify(graph).nodes[4].bottoms == ("fc.1",)
    assert graph.values[graph.nodes[3].tops[0]].blob == "fc"
    assert graph.nodes[3].tops != ("fc.1",)


def test_a_loss_without_a_top_gets_one():
    text = DATA + 'layer { name: "loss" type: "EuclideanLoss" bottom: "data" bottom: "data" }'
    graph, report = built(text)
    assert not report.diagnostics
    assert graph.losses == ((graph.nodes[1].tops[0], 1.0),)


def test_loss_weights_and_params_are_kept():
    text = FC.replace("top:", 'param { lr_mult: 2 decay_mult: 0 } param { name: "b" } loss_weight: 0.5 top:')
    node = built(DATA + text)[0].nodes[1]
    assert node.loss_weights == (0.5,)
    assert node.param_specs == (ParamSpec(lr_mult=2, decay_mult=0), ParamSpec("b"))
    assert node.param_spec(7) == ParamSpec()


def test_a_weight_of_zero_is_not_a_loss():
    graph, _ = built(DATA + relu("data", "out", "loss_weight: 0"))
    assert graph.nodes[1].loss_weights == ()
    assert graph.losses == ()


def test_layers_of_another_phase_are_omitted():
    text = DATA + relu("data", "a", "include { phase: TRAIN }") + relu("data", "b", "exclude { phase: TRAIN }")
    assert [node.name for node in built(text, phase="TRAIN")[0].nodes] == ["data", "data_a"]
    assert [node.name for node in built(text)[0].nodes] == ["data", "data_b"]


def test_names_that_torch_cannot_take_get_keys():
    graph, report = built(DATA + "".join(relu("data", f"t{i}").replace(f"data_t{i}", "a.b") for i in range(2)))
    assert [node.key for node in graph.nodes] == ["data", "a%2Eb", "a%2Eb%1"]
    assert [d.code for d in report.diagnostics] == ["W010"]


def test_every_independent_error_is_reported_once():
    text = DATA + relu("nothing", "a") + relu("a", "b") + 'layer { name: "x" type: "Nope" bottom: "data" top: "x" }\n'
    text += relu("x", "y") + relu("data", "twice") + relu("data", "twice").replace("data_twice", "other")
    assert codes(text) == [("E011", 2), ("E010", 4), ("E012", 7)]


def test_an_invalid_layer_after_a_failed_one_is_still_reported():
    text = DATA + 'layer { name: "x" type: "Nope" bottom: "data" top: "x" }\n'
    text += 'layer { name: "pool" type: "Pooling" bottom: "x" top: "pool" }\n'
    assert codes(text) == [("E010", 2), ("E101", 3)]


def test_an_unread_layer_is_not_reported():
    text = DATA + relu("nothing", "a") + relu("a", "b")
    graph, report = built(text, faulty={1})
    assert not report.diagnostics
    assert [node.name for node in graph.nodes] == ["data"]


@pytest.mark.parametrize("type", ["Flatten", "Reshape"])
def test_a_layer_that_caffe_never_runs_in_place(type):
    text = DATA + f'layer {{ name: "flat" type: "{type}" bottom: "data" top: "data" }}\n'
    assert codes(text) == [("E023", 2)]
    assert codes(text.replace('top: "data" }\n', 'top: "flat" }\n')) == []


def test_a_missing_bottom_names_the_source_of_the_blob():
    notes = {
        relu("late", "a") + DATA + relu("data", "late"): "which comes later",
        DATA + relu("data", "train", "include { phase: TRAIN }") + relu("train", "a"): "which is not in the TEST net",
    }
    for text, note in notes.items():
        (found,) = built(text)[1].diagnostics
        assert found.code == "E011"
        assert note in found.notes[0]
        assert found.span.text in ('"late"', '"train"')


def test_the_span_of_an_extra_value_is_the_value():
    text = DATA + relu("data", "out", "loss_weight: 1 loss_weight: 7")
    (found,) = built(text)[1].diagnostics
    assert (found.code, found.span.text) == ("E021", "7")
    assert found.message == "`loss_weight` has 2 values for 1 top"


def sharing(name: str, rates: str) -> str:
    param = f'param {{ name: "w" {rates} }} inner_product_param {{ num_output: 4 }}'
    return f'layer {{ name: "{name}" type: "InnerProduct" bottom: "data" top: "{name}" {param} }}\n'


def test_a_rate_that_one_layer_sets_for_a_shared_blob_applies_to_all():
    graph, report = built(DATA + sharing("a", "") + sharing("b", "lr_mult: 2") + sharing("c", "decay_mult: 0"))
    assert not report.diagnostics
    assert [node.param_specs for node in graph.nodes[1:]] == [(ParamSpec("w", 2.0, 0.0),)] * 3


@pytest.mark.parametrize("rate", ["lr_mult", "decay_mult"])
def test_layers_that_share_a_blob_must_agree_on_its_rates(rate):
    text = (
        DATA + sharing("a", f"{rate}: 2") + sharing("b", "") + sharing("c", f"{rate}: 3") + sharing("d", f"{rate}: 2")
    )
    (found,) = built(text)[1].diagnostics
    assert (found.code, found.line) == ("E022", 4)
    assert found.message == f"`{rate}` of the shared parameter `w` is 3, but 2 before"


def test_a_layer_error_does_not_hide_a_missing_bottom():
    text = DATA + 'layer { name: "fc" type: "InnerProduct" bottom: "dta" top: "fc" inner_product_param { } }'
    assert codes(text) == [("E103", 2), ("E011", 2)]
