"""Names, order and gradients of the Split layers that Caffe inserts."""

from netc.passes.insert_splits import insert_splits

NET = """
layer { name: "data" type: "Input" top: "x" top: "y" input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "h" inner_product_param { num_output: 4 } }
layer { name: "act" type: "ReLU" bottom: "h" top: "h" }
layer { name: "top" type: "InnerProduct" bottom: "h" top: "z" inner_product_param { num_output: 4 } }
layer { name: "sum" type: "Eltwise" bottom: "h" bottom: "z" bottom: "h" top: "s" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "y" top: "loss" }
layer { name: "hit" type: "Accuracy" bottom: "s" bottom: "y" top: "hit" }
"""


def rows(graph):
    def blobs(names):
        return " ".join(graph.values[name].blob for name in names)

    return [f"{node.name}: {blobs(node.bottoms)} -> {blobs(node.tops)}" for node in graph.nodes]


def test_names_are_caffes(graph_from):
    graph = insert_splits(graph_from(NET))
    assert rows(graph) == [
        "data:  -> x y",
        "y_data_1_split: y -> y_data_1_split_0 y_data_1_split_1",
        "fc: x -> h",
        "act: h -> h",
        "h_act_0_split: h -> h_act_0_split_0 h_act_0_split_1 h_act_0_split_2",
        "top: h_act_0_split_0 -> z",
        "sum: h_act_0_split_1 z h_act_0_split_2 -> s",
        "s_sum_0_split: s -> s_sum_0_split_0 s_sum_0_split_1",
        "loss: s_sum_0_split_0 y_data_1_split_0 -> loss",
        "hit: s_sum_0_split_1 y_data_1_split_1 -> hit",
    ]


def test_values_are_in_caffes_order(graph_from):
    graph = insert_splits(graph_from(NET))
    assert list(dict.fromkeys(value.blob for value in graph.values.values()))[:5] == [
        *["x", "y", "y_data_1_split_0", "y_data_1_split_1", "h"]
    ]
    assert {value.shape for value in graph.values.values() if "split" in value.blob} == {(2, 4), (2,)}


def test_a_loss_that_is_read_has_its_weight_at_the_first_top(graph_from):
    more = 'layer { name: "twice" type: "Power" bottom: "loss" top: "twice" loss_weight: 3 }'
    graph = insert_splits(graph_from(NET + more))
    assert [(graph.values[name].blob, weight) for name, weight in graph.losses] == [
        *[("loss_loss_0_split_0", 1.0), ("twice", 3.0)]
    ]
    assert rows(graph)[-3:] == [
        "loss_loss_0_split: loss -> loss_loss_0_split_0 loss_loss_0_split_1",
        "hit: s_sum_0_split_1 y_data_1_split_1 -> hit",
        "twice: loss_loss_0_split_1 -> twice",
    ]


def test_names_that_a_file_uses_stay_unique(graph_from):
    taken = 'layer { name: "y_data_1_split" type: "Input" top: "y_data_1_split_0" input_param { shape { dim: 1 } } }'
    graph = insert_splits(graph_from(taken + NET))
    assert len({node.key for node in graph.nodes}) == len(graph.nodes)
    tops = [top for node in graph.nodes for top in node.tops]
    assert len(set(tops)) == len(tops)


def test_a_net_without_shared_blobs_is_returned_as_it_is(graph_from):
    graph = graph_from(NET.split('layer { name: "top"')[0])
    assert insert_splits(graph) is graph
