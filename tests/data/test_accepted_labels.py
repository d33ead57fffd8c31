"""With `skip_bad`, a label that a loss or an accuracy does not accept is a bad record."""

from __future__ import annotations

import math

import h5py
import numpy as np
import pytest
import torch

from netc.compiler import graph_of, load, read_net, record_shapes
from netc.data import open_source
from netc.data.accepted_labels import AcceptedLabels, accepted_labels
from netc.data.feeds.net_feeds import feeds_of
from netc.diagnostics import NetcError, Source
from netc.ir.graph import State
from netc.layers.hdf5 import HDF5Data
from tests.data.databases import data_layer, database, labels, random_images


def net(parameters="", kind="SoftmaxWithLoss", source="db"):
    data = f'data_param {{ source: "{source}" batch_size: 6 backend: LMDB }}'
    return read_net(
        Source(
            "net",
            f'layer {{ name: "d" type: "Data" top: "d" top: "l" {data} }}'
            'layer { name: "ip" type: "InnerProduct" bottom: "d" top: "ip" inner_product_param { num_output: 4 } }'
            f'layer {{ name: "x" type: "{kind}" bottom: "ip" bottom: "l" top: "x" {parameters} }}',
        )
    )


def accepted(text="", kind="SoftmaxWithLoss"):
    graph = graph_of(net(text, kind), State("TRAIN"), lambda node: ((3, 5, 5), ()))
    return accepted_labels(graph, graph.nodes[0])


@pytest.mark.parametrize("kind", ["SoftmaxWithLoss", "Accuracy", "HingeLoss", "MultinomialLogisticLoss"])
def test_what_a_layer_accepts_is_what_it_runs_with(kind):
    found = accepted(kind=kind)
    assert found == AcceptedLabels(((4, None),))
    shapes = "shape { dim: 1 dim: 4 } shape { dim: 1 }"
    text = f'layer {{ name: "i" type: "Input" top: "ip" top: "l" input_param {{ {shapes} }} }}'
    text += f'layer {{ name: "x" type: "{kind}" bottom: "ip" bottom: "l" top: "x" }}'
    module = load(Source("net", text))
    for label in (-0.5, 0.0, 3.0, 3.7):
        module(torch.full((1, 4), 0.25), torch.tensor([label]))
        assert found(label)
    for label in (-1.0, 4.0, math.nan, math.inf):
        with pytest.raises(NetcError, match=f"label outside 0 to 3: {label:g}"):
            module(torch.full((1, 4), 0.25), torch.tensor([label]))
        assert not found(label)


def test_the_ignored_label_is_accepted():
    found = accepted("loss_param { ignore_label: 255 }")
    assert [found(label) for label in (0, 3, 4, 255, -1)] == [True, True, False, True, False]


def test_labels_that_are_not_classes_are_not_limited():
    graph = graph_of(net(kind="SigmoidCrossEntropyLoss"), State("TRAIN"), lambda node: ((3, 5, 5), (4,)))
    assert accepted_labels(graph, graph.nodes[0]) is None


def test_the_next_record_replaces_one_with_a_label_out_of_range(tmp_path):
    path = database(tmp_path / "db", random_images(6))  # labels 0 to 5
    for threads in (1, 3):
        source = open_source(
            data_layer(path, 12), "TEST", skip_bad=True, accepted=AcceptedLabels(((4, None),)), threads=threads
        )
        assert labels(source, 1) == [0, 1, 2, 3, 0, 0] * 2
        assert sorted(error.diagnostics[0].code for error in source.skipped.values()) == ["E301"] * 2
        assert [str(error).rpartition(": label ")[2] for error in source.skipped.values()] == [
            "outside 0 to 3: 4",
            "outside 0 to 3: 5",
        ]
        source.close()


@pytest.mark.parametrize("skip_bad", [False, True])
def test_rows_of_hdf5_files(tmp_path, skip_bad):
    for name, values in (("a", [0, 9, math.nan]), ("b", [1, -1, 3])):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["d"] = np.arange(6, dtype=np.float32).reshape(3, 2)
            file["l"] = np.array(values, np.float32)
    (tmp_path / "list").write_text(f"{tmp_path}/a.h5\n{tmp_path}/b.h5\n")
    layer = HDF5Data(source=str(tmp_path / "list"), batch_size=6)
    source = open_source(layer, "TEST", tops=("d", "l"), skip_bad=skip_bad, accepted=AcceptedLabels(((4, None),)))
    data, found = source.next_batch().tops
    if skip_bad:
        assert found.tolist() == [0, 1, 1, 1, 3, 3]
        assert data[:, 0].tolist() == [0, 0, 0, 0, 4, 4]
        assert [name.replace(f"{tmp_path}/", "") for name in source.skipped] == [
            "row 1 of `a.h5`",
            "row 2 of `a.h5`",
            "row 1 of `b.h5`",
        ]
    else:
        np.testing.assert_array_equal(found, np.float32([0, 9, math.nan, 1, -1, 3]))
    source.close()


def test_no_row_with_an_accepted_label(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["d"], file["l"] = np.zeros((3, 2), np.float32), np.full(3, 7, np.float32)
    (tmp_path / "list").write_text(f"{tmp_path}/a.h5\n")
    layer = HDF5Data(source=str(tmp_path / "list"), batch_size=2)
    source = open_source(layer, "TEST", tops=("d", "l"), skip_bad=True, accepted=AcceptedLabels(((4, None),)))
    with pytest.raises(NetcError, match=r"row [0-2] of .*: label outside 0 to 3"):
        source.next_batch()
    source.close()


def test_labels_are_not_checked_without_skip_bad(tmp_path):
    path = database(tmp_path / "db", random_images(6))
    source = open_source(data_layer(path, 6), "TEST", accepted=AcceptedLabels(((4, None),)))
    assert labels(source, 1) == [0, 1, 2, 3, 4, 5]
    source.close()


def test_the_feeds_of_a_net_know_what_its_layers_accept(tmp_path):
    path = database(tmp_path / "db", random_images(6))
    graph = graph_of(net(source=path), State("TRAIN"), record_shapes)
    (feed,) = feeds_of(graph, torch.device("cpu"), 1, skip_bad=True).values()
    assert feed.next()[1].tolist() == [0, 1, 2, 3, 0, 0]
    feed.close()
