from netc.ir.gradients import gradient_needs, values_with_gradient

NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}
layer {{ name: "t" type: "Input" top: "t" input_param {{ shape {{ dim: 2 dim: 5 }} }} }}
layer {{ name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param {{ num_output: 4 }} {a} }}
layer {{ name: "r" type: "ReLU" bottom: "a" top: "a" }}
layer {{ name: "b" type: "InnerProduct" bottom: "a" top: "b" inner_product_param {{ num_output: 5 }} {b} }}
layer {{ name: "side" type: "InnerProduct" bottom: "a" top: "side" inner_product_param {{ num_output: 6 }} }}
layer {{ name: "l" type: "EuclideanLoss" bottom: "b" bottom: "t" top: "l" {l} }}
"""
FROZEN = "param { lr_mult: 0 } param { lr_mult: 0 }"


def needs(graph_from, a="", b="", loss="", head=""):
    return gradient_needs(graph_from(head + NET.format(a=a, b=b, l=loss)))


def layers(found):
    return "".join(key for key, need in found.items() if need.layer)


def test_layers_that_no_loss_reads_are_excluded(graph_from):
    found = needs(graph_from)
    assert layers(found) == "arbl"
    assert found["a"].bottoms == (False,)
    assert found["b"].bottoms == (True,)
    assert found["l"].bottoms == (True, False)


def test_no_gradient_is_computed_before_the_first_learned_layer(graph_from):
    found = needs(graph_from, a=FROZEN)
    assert layers(found) == "bl"
    assert found["b"].bottoms == (False,)
    assert found["b"].weights == (True, True)


def test_one_frozen_blob_does_not_stop_its_layer(graph_from):
    found = needs(graph_from, a="param { lr_mult: 0 }")
    assert found["a"].weights == (False, True)
    assert found["a"].layer


def test_propagate_down_stops_the_gradient_of_earlier_layers(graph_from):
    found = needs(graph_from, b="propagate_down: false")
    assert layers(found) == "bl"
    assert found["b"].weights == (True, True)


def test_propagate_down_forces_a_gradient_for_an_input(graph_from):
    assert needs(graph_from, a="propagate_down: true")["a"].bottoms == (True,)


def test_a_loss_without_weight_needs_no_backward_pass(graph_from):
    assert layers(needs(graph_from, loss="loss_weight: 0")) == ""


def test_force_backward_reaches_everything_but_labels(graph_from):
    text = NET.format(a=FROZEN, b="", l="").replace("EuclideanLoss", "SigmoidCrossEntropyLoss")
    found = gradient_needs(graph_from("force_backward: true " + text))
    assert layers(found) == "arbsidel"
    assert found["a"].bottoms == (True,)
    assert found["a"].weights == (True, True)
    assert found["l"].bottoms == (True, False)


def test_a_value_stopped_by_one_of_two_readers_still_gets_the_others_gradient(graph_from):
    text = NET.format(a="", b="propagate_down: false", l="").replace('top: "side"', 'top: "side" loss_weight: 2')
    found = gradient_needs(graph_from(text))
    assert found["side"].bottoms == (True,)
    assert found["r"].layer
    assert found["a"].layer


def test_layers_that_pass_no_gradient_on_have_none_at_their_tops(graph_from):
    head = 'layer { name: "m" type: "ArgMax" bottom: "side" top: "m" }'
    text = NET.format(a="", b="", l="").replace("EuclideanLoss", "Silence").replace('top: "l"', "") + head
    assert values_with_gradient(graph_from(text)) == frozenset()
    forced = values_with_gradient(graph_from("force_backward: true " + NET.format(a="", b="", l="") + head))
    assert {"side", "m"} & forced == set()
    assert "l" in forced
