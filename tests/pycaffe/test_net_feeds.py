import numpy as np
import pytest

import netc.pycaffe as caffe
from netc.diagnostics import NetcError

MEMORY = """
layer { name: "data" type: "MemoryData" top: "data" top: "label"
        memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }
layer { name: "double" type: "Power" bottom: "data" top: "double" power_param { scale: 2 } }
"""
DUMMY = """
layer { name: "data" type: "DummyData" top: "a" top: "b"
        dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 4 }
                           data_filler { type: "constant" value: 7 } data_filler { type: "gaussian" std: 2 } } }
"""


def images(count):
    return np.arange(count * 60, dtype=np.float32).reshape(count, 3, 4, 5)


def test_memory_data_cycles_through_its_arrays(load):
    net = load(MEMORY)
    data, labels = images(4), np.arange(4, dtype=np.float32)
    net.set_input_arrays(data, labels)
    for first in (0, 2, 0):
        net.forward()
        np.testing.assert_array_equal(net.blobs["double"].data, 2 * data[first : first + 2])
        np.testing.assert_array_equal(net.blobs["label"].data, labels[first : first + 2])


def test_new_arrays_start_from_their_beginning(load):
    net = load(MEMORY)
    net.set_input_arrays(images(4), np.zeros(4))
    net.forward()
    net.set_input_arrays(images(2) + 5, np.ones(2).reshape(2, 1, 1, 1))
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data, images(2) + 5)
    assert (net.blobs["label"].data == 1).all()


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        (images(3), np.zeros(3), "expected a multiple of the batch size 2, got 3 items"),
        (images(2), np.zeros(3), r"expected as many labels as items of data \(2\), got 3"),
        (images(2)[:, :2], np.zeros(2), r"expected data of shape \[n,3,4,5\], got \[2,2,4,5\]"),
    ],
)
def test_arrays_that_do_not_fit_are_rejected(load, data, labels, message):
    with pytest.raises(NetcError, match=message):
        load(MEMORY).set_input_arrays(data, labels)


def test_memory_data_without_arrays_is_an_error_with_help(load):
    with pytest.raises(NetcError, match="call `set_input_arrays"):
        load(MEMORY).forward()


def test_only_memory_data_takes_arrays(load):
    with pytest.raises(NetcError, match="is not `MemoryData`"):
        load(DUMMY).set_input_arrays(images(2), np.zeros(2))


def test_dummy_data_fills_constants_once_and_the_rest_in_each_pass(load):
    net = load(DUMMY)
    net.forward()
    first = net.blobs["b"].data.copy()
    assert (net.blobs["a"].data == 7).all()
    net.forward()
    assert (net.blobs["b"].data != first).all()


def test_values_written_into_a_dummy_data_constant_are_kept(load):
    net = load(DUMMY)
    net.blobs["a"].data[...] = 3
    net.forward()
    assert (net.blobs["a"].data == 3).all()


def test_dummy_data_is_in_its_blobs_from_the_start(load):
    assert (load(DUMMY).blobs["a"].data == 7).all()


def test_a_missing_database_is_reported_at_the_first_pass(load):
    net = load(
        """
        layer { name: "records" type: "Data" top: "data" top: "label"
                data_param { source: "nowhere_lmdb" backend: LMDB batch_size: 3 } transform_param { crop_size: 5 } }
        """
    )
    with pytest.raises(NetcError) as caught:
        net.forward()
    found = caught.value.diagnostics[0]
    assert found.line == 2
    assert "nowhere_lmdb" in found.message
    assert "in layer `records`" in found.notes


def test_the_random_data_of_one_seed_is_the_same(load):
    runs = []
    for _ in range(2):
        caffe.set_random_seed(5)
        net = load(DUMMY)
        net.forward()
        runs.append(net.blobs["b"].data.copy())
    np.testing.assert_array_equal(*runs)
