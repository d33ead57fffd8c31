"""Weights in and out by layer name."""

import numpy as np
import pytest
import torch

from netc.diagnostics import NetcError
from netc.runtime.net_weights import CopyReport, array_of, copy_weights, named_blobs

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "one" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 4 } }
layer { name: "two" type: "InnerProduct" bottom: "a" top: "b" inner_product_param { num_output: 5 bias_term: false } }
"""


def arrays(seed, *shapes):
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


def blobs(net, layer):
    return [blob.data.numpy() for name, found in named_blobs(net) if name == layer for blob in found]


@pytest.fixture
def net(net_from):
    return net_from(NET)


def test_loaded_skipped_and_missing_layers(net):
    given = arrays(1, (4, 3), (4,))
    report = copy_weights(net, [("other", arrays(2, (1,))), ("data", []), ("one", given)])
    assert report == CopyReport(("one",), ("other",), ("two",))
    for blob, array in zip(blobs(net, "one"), given):
        np.testing.assert_array_equal(blob, array)


def test_leading_ones_in_shapes_of_old_files_are_ignored(net):
    given = arrays(1, (1, 1, 4, 3), (1, 1, 1, 4))
    assert copy_weights(net, [("one", given)]).loaded == ("one",)
    np.testing.assert_array_equal(blobs(net, "one")[0], given[0][0, 0])


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        (((3, 4), (4,)), "`one`: [3,4] [4] in the file, [4,3] [4] in the net"),
        (((4, 3),), "`one`: [4,3] in the file, [4,3] [4] in the net"),
        (((12,), (4,)), "`one`: [12] [4] in the file, [4,3] [4] in the net"),
    ],
)
def test_a_mismatch_leaves_the_net_unchanged(net, shapes, text):
    layers = [("two", arrays(1, (5, 4))), ("one", arrays(2, *shapes))]
    before = [blob.data.clone() for blob in net.blobs]
    with pytest.raises(NetcError) as caught:
        copy_weights(net, layers, "x.caffemodel")
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == ("E306", f"the weights in `x.caffemodel` do not match layer {text}")
    assert all(torch.equal(blob.data, old) for blob, old in zip(net.blobs, before))
    report = copy_weights(net, layers, allow_mismatch=True)
    assert (report.loaded, report.missing, [str(m) for m in report.mismatched]) == (("two",), (), [text])


def test_blobs_of_other_layers_than_batch_norm_have_no_note(net_from):
    recurrent = net_from("""
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 1 dim: 3 } } }
        layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 2 dim: 1 } } }
        layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param { num_output: 4 } }
    """)
    with pytest.raises(NetcError) as caught:
        copy_weights(recurrent, [("lstm", arrays(1, *[(2,)] * 5))])
    assert caught.value.diagnostics[0].notes == ()


def test_repeated_names_are_matched_in_order_and_the_last_in_the_file_counts(net_from):
    twice = net_from(NET.replace('"two"', '"one"').replace("num_output: 5 bias_term: false", "num_output: 4"))
    first, second = arrays(1, (4, 3), (4,)), arrays(2, (4, 4), (4,))
    copy_weights(twice, [("one", first), ("one", second)])
    np.testing.assert_array_equal(blobs(twice, "one")[0], first[0])
    np.testing.assert_array_equal(blobs(twice, "one")[2], second[0])
    once, last = net_from(NET), arrays(3, (4, 3), (4,))
    copy_weights(once, [("one", first), ("one", last)])
    np.testing.assert_array_equal(blobs(once, "one")[0], last[0])


def test_views_of_files_are_copied(net):
    """Read-only, in another byte order, and not aligned."""
    given = arrays(1, (4, 3), (4,))
    packed = np.frombuffer(b"x" + given[0].astype(">f4").tobytes(), dtype=">f4", offset=1).reshape(4, 3)
    copy_weights(net, [("one", [packed, given[1]])])
    np.testing.assert_array_equal(blobs(net, "one")[0], given[0])


def test_blobs_missing_in_a_file_keep_their_values(net):
    before = blobs(net, "one")[1].copy()
    copy_weights(net, [("one", [arrays(1, (4, 3))[0], None])])
    np.testing.assert_array_equal(blobs(net, "one")[1], before)


def test_arrays_are_in_caffes_shape():
    tensor = torch.arange(6.0).reshape(1, 6)
    np.testing.assert_array_equal(array_of(tensor, (2, 3)), np.arange(6).reshape(2, 3))
