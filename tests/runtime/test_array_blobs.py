import numpy as np
import torch

from netc.runtime.array_blobs import Blob, BlobVec, HostArray, write_back
from netc.runtime.memory import Memory


def test_on_the_cpu_the_array_is_the_tensors_memory():
    memory = Memory((2, 3), 0.0, torch.device("cpu"), torch.float32)
    blob = Blob(memory)
    blob.data[...] = 4
    assert (memory.data == 4).all()
    memory.write(torch.full((2, 3), 5.0))
    assert (blob.data == 5).all()
    blob.diff[1] = 7
    assert memory.diff.tolist() == [[0, 0, 0], [7, 7, 7]]


def test_a_copy_is_written_back_once():
    # A tensor of doubles stands for one on a GPU: NumPy cannot show either as float32 without a copy.
    tensor = torch.zeros(3, dtype=torch.float64)
    host = HostArray(Memory.over(tensor), "data")
    array = host.array()
    array[0] = 1
    assert host.array() is not None
    assert host.array()[0] == 1
    write_back()
    assert tensor.tolist() == [1, 0, 0]
    tensor[1] = 2
    write_back()
    assert tensor.tolist() == [1, 2, 0]
    np.testing.assert_array_equal(host.array(), [1, 2, 0])


def test_a_copy_keeps_its_array_until_the_shape_changes():
    memory = Memory.over(torch.zeros(3, dtype=torch.float64))
    host = HostArray(memory, "data")
    held = host.array()
    write_back()
    memory.data.add_(6)
    assert host.array().base is held.base or np.shares_memory(host.array(), held)
    assert (held == 6).all()
    memory.resize((2, 2))
    memory.data.fill_(1)
    assert host.array().shape == (2, 2)
    write_back()
    assert (memory.data == 1).all()


def test_reshaping_keeps_values_of_the_same_number():
    blob = Blob(Memory((2, 3), 0.0, torch.device("cpu"), torch.float32))
    blob.data[...] = np.arange(6).reshape(2, 3)
    blob.diff[...] = 1
    blob.reshape(3, 2, 1)
    np.testing.assert_array_equal(blob.data.ravel(), np.arange(6))
    assert blob.diff.shape == (3, 2, 1)
    assert (blob.diff == 1).all()
    blob.reshape(4)
    assert not blob.data.any()
    assert not blob.diff.any()


def test_the_loss_weight_survives_a_reshape():
    memory = Memory((2,), 0.5, torch.device("cpu"), torch.float32)
    assert memory.diff.tolist() == [0.5, 0.5]
    memory.resize((3,))
    assert memory.diff.tolist() == [0.5, 0.5, 0.5]


def test_blobs_are_added_as_zeros():
    blobs = BlobVec()
    blobs.add_blob(2, 5)
    assert [blob.shape for blob in blobs] == [(2, 5)]
    assert not blobs[0].data.any()
